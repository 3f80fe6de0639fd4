"""Whether a write lost its condition, was throttled, or failed."""

from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from pynamodb.exceptions import PynamoDBException, TransactWriteError, UpdateError
from pynamodb.transactions import TransactWrite

from bellhop import tables
from bellhop.registry import App
from bellhop.tables import change, lost_condition, throttled
from tests.support.fakes import app


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
