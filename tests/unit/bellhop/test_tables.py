"""Whether a write lost its condition, was throttled, or failed."""

from types import NoneType
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from pynamodb.exceptions import GetError, PynamoDBException, TransactWriteError, UpdateError
from pynamodb.transactions import TransactWrite

from bellhop import tables
from bellhop.circuits import Circuit
from bellhop.registry import App
from bellhop.secrets import SigningSecret
from bellhop.tables import ItemKey, change, change_unseen, lost_condition, read_at_once, throttled
from tests.conftest import NAMES
from tests.support.fakes import SECRET, app


def error(code: str) -> PynamoDBException:
    return UpdateError(cause=ClientError({"Error": {"Code": code}}, "UpdateItem"))


def test_a_change_is_made_only_if_its_condition_holds(aws: None) -> None:
    app().save()
    assert change(App("pager"), [App.generation.set(2)], App.generation == 1)
    assert not change(App("pager"), [App.generation.set(3)], App.generation == 1)
    assert App.get("pager").generation == 2


def test_a_change_that_the_table_refuses_for_another_reason_is_a_fault(aws: None) -> None:
    tables.bind(tables.connect(retries=0), {App: "nowhere"})
    with pytest.raises(UpdateError):
        change(App("pager"), [App.generation.set(2)], App.generation == 1)


def test_a_change_of_what_must_not_be_seen_is_made_in_the_same_way_and_nothing_comes_back(
    aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    app().save()
    returned, dispatch = list[Any](), tables._Connection.dispatch

    def noting(*asked: Any) -> Any:
        returned.append(dispatch(*asked))
        return returned[-1]

    monkeypatch.setattr(tables._Connection, "dispatch", noting)
    found = App("pager")
    assert change_unseen(found, [App.generation.set(2)], App.generation == 1)
    assert not change_unseen(found, [App.generation.set(3)], App.generation == 1)
    assert "Attributes" not in returned[0]
    assert found.attribute_values.get("url") is None
    assert App.get("pager").generation == 2
    tables.bind(tables.connect(retries=0), {App: "nowhere"})
    with pytest.raises(UpdateError):
        change_unseen(App("pager"), [App.generation.set(2)], App.generation == 1)


def test_items_of_several_tables_are_read_in_one_call(aws: None, dynamodb_calls: list[str]) -> None:
    app().save()
    SigningSecret("pager", secret=SECRET).save()
    dynamodb_calls.clear()
    found = read_at_once(
        [ItemKey(App, "pager"), ItemKey(SigningSecret, "pager"), ItemKey(Circuit, "pager")],
        tables.connect(retries=0),
    )
    assert [type(each) for each in found.values()] == [App, NoneType, SigningSecret]
    assert dynamodb_calls == ["BatchGetItem"]


def test_more_items_than_a_call_may_ask_for_take_several(aws: None, dynamodb_calls: list[str]) -> None:
    names = [f"app{number}" for number in range(120)]
    for name in names:
        app(name).save()
    dynamodb_calls.clear()
    found = read_at_once([ItemKey(App, name) for name in names], tables.connect(retries=0))
    assert {key.hash_key for key, item in found.items() if item} == set(names)
    assert dynamodb_calls == ["BatchGetItem", "BatchGetItem"]


def test_what_a_table_left_unprocessed_is_not_taken_for_absent(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    app().save()
    unprocessed = {NAMES[Circuit]: {"Keys": [{"app_id": {"S": "pager"}}]}}
    response = {"Responses": {NAMES[App]: [app().to_dynamodb_dict()]}, "UnprocessedKeys": unprocessed}
    monkeypatch.setattr(tables._Connection, "dispatch", lambda *_: response)
    found = read_at_once([ItemKey(App, "pager"), ItemKey(Circuit, "pager")], tables.connect(retries=0))
    assert [key.model for key in found] == [App]


def test_a_row_that_cannot_be_read_kept_the_others_from_being_read(aws: None) -> None:
    app("a").save()
    app("b").save()
    boto3.client("dynamodb").update_item(
        TableName=NAMES[App],
        Key={"app_id": {"S": "a"}},
        UpdateExpression="SET headers = :broken",
        ExpressionAttributeValues={":broken": {"S": "{"}},
    )
    found = read_at_once([ItemKey(App, "a"), ItemKey(App, "b"), ItemKey(App, "c")], tables.connect(retries=0))
    assert {key.hash_key: bool(item) for key, item in found.items()} == {"b": True, "c": False}


def test_a_read_that_is_refused_is_a_fault_of_ours(aws: None) -> None:
    tables.bind(tables.connect(retries=0), {App: "nowhere"})
    with pytest.raises(GetError):
        read_at_once([ItemKey(App, "pager")], tables.connect(retries=0))


def transact(*conditions: Any) -> None:
    with TransactWrite(connection=tables.connect()) as transaction:
        for app_id, condition in conditions:
            transaction.update(App(app_id), actions=[App.generation.set(2)], condition=condition)


def test_a_transaction_lost_its_condition_if_any_of_its_writes_did(aws: None) -> None:
    app("a").save()
    app("b").save()
    with pytest.raises(TransactWriteError) as caught:
        transact(("a", App.generation == 1), ("b", App.generation == 7))
    assert lost_condition(caught.value)
    assert App.get("a").generation == 1


def test_only_a_failed_condition_counts_as_lost() -> None:
    assert lost_condition(error("ConditionalCheckFailedException"))
    assert not lost_condition(error("ThrottlingException"))
    assert not lost_condition(
        TransactWriteError("busy", ClientError({"Error": {"Code": "Busy"}}, "TransactWriteItems"))
    )


def test_a_table_that_does_not_respond_is_a_fault_of_ours_and_no_bug(
    aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    silence = UpdateError(cause=ReadTimeoutError(endpoint_url="https://dynamodb"))
    assert not lost_condition(silence)
    assert not throttled(silence)

    def silent(*_: Any, **__: Any) -> None:
        raise silence

    monkeypatch.setattr(App, "update", silent)
    with pytest.raises(UpdateError):
        change(App("pager"), [App.generation.set(2)], App.generation == 1)


@pytest.mark.parametrize(
    ("code", "expected"),
    [("ThrottlingException", True), ("RequestLimitExceeded", True), ("InternalServerError", False)],
)
def test_only_a_definite_throttle_is_safe_to_repeat(code: str, expected: bool) -> None:
    assert throttled(error(code)) is expected
