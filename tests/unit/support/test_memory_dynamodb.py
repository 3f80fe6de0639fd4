"""The tests' own DynamoDB means by every request what moto means by it, and with `--tables dynalite` dynalite."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st
from pynamodb.attributes import ListAttribute, MapAttribute, NumberAttribute, UnicodeAttribute, UnicodeSetAttribute
from pynamodb.exceptions import PynamoDBException, TransactWriteError
from pynamodb.indexes import GlobalSecondaryIndex, IncludeProjection
from pynamodb.models import Model
from pynamodb.transactions import TransactWrite

from bellhop import tables
from tests.support.dynalite import Dynalite
from tests.support.memory_dynamodb import MemoryConnection, MemoryDynamoDB


class _ByText(GlobalSecondaryIndex["Row"]):  # type: ignore[no-untyped-call]
    class Meta:
        index_name = "by_text"
        projection = IncludeProjection(["number"])

    text = UnicodeAttribute(hash_key=True)
    at = UnicodeAttribute(range_key=True)


class Row(Model):
    """A bit of everything that Bellhop's tables have."""

    class Meta:
        table_name = "rows"
        region = "eu-west-1"

    scope = UnicodeAttribute(hash_key=True)
    at = UnicodeAttribute(range_key=True)
    number = NumberAttribute(null=True)
    text = UnicodeAttribute(null=True)
    log: ListAttribute[Any] = ListAttribute(null=True)
    apps = UnicodeSetAttribute(null=True)
    mails: MapAttribute[str, Any] = MapAttribute(null=True)  # type: ignore[no-untyped-call]
    by_text = _ByText()


CONDITIONS = [
    None,
    Row.number.exists(),
    Row.number.does_not_exist() | (Row.number < 2),
    (Row.number >= 1) & ~(Row.text == "b"),
    Row.number.between(1, 2) | Row.text.is_in("a", "c"),
    (Row.text == "a") & (Row.number.does_not_exist() | (Row.number > 1)) & Row.scope.exists(),
    Row.text.startswith("a"),
    Row.apps.contains("x"),
    Row.mails["ada"] == "sent",
]
ACTIONS = [
    Row.number.set(1),
    Row.number.add(2),
    Row.number.remove(),
    Row.text.set("a"),
    Row.text.set("b"),
    Row.log.set([{"n": 1}]),
    Row.log.set((Row.log | []).append([{"n": 2}])),
    Row.apps.add({"x", "y"}),
    Row.apps.delete({"x"}),
    Row.mails.set({"ada": "pending"}),
]
NAMES = ("number", "number", "number", "text", "text", "log", "log", "apps", "apps", "mails")
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["update", "unseen", "put", "delete", "mail", "transact"]),
        st.sampled_from("pq"),
        st.sampled_from("123"),
        st.lists(st.sampled_from(range(len(ACTIONS))), min_size=1, max_size=3, unique=True),
        st.sampled_from(range(len(CONDITIONS))),
    ),
    max_size=12,
)


@pytest.fixture(scope="module")
def memory() -> None:
    """Here moto keeps the tables, if dynalite does not."""


@pytest.fixture(scope="module")
def emulated(aws_in_memory: None) -> None:
    tables.bind(tables.connect(retries=0), {Row: "rows"})
    Row.create_table(billing_mode="PAY_PER_REQUEST")


def _changed(row: Row, actions: list[Any], when: Any, *, unseen: bool) -> bool:
    return (tables.change_unseen if unseen else tables.change)(row, actions, when)


def does(step: tuple[str, str, str, list[int], int]) -> str:
    """Do a step; what came of it."""
    kind, scope, at, actions, condition = step
    row, when = Row(scope, at), CONDITIONS[condition]
    changes = {NAMES[n]: ACTIONS[n] for n in actions}  # each attribute once
    try:
        match kind:
            case "update" | "unseen":
                return str(_changed(row, [*changes.values()], when, unseen=kind == "unseen"))
            case "put":
                Row(scope, at, number=len(actions), text="c").save(condition=when)
            case "delete":
                row.delete(condition=when)
            case "mail":
                row.update(actions=[Row.mails["ada"].set("sent")], condition=Row.mails.exists())
            case _:
                with TransactWrite(connection=row._get_connection().connection) as transaction:
                    transaction.update(row, actions=[*changes.values()], condition=when)
                    transaction.save(Row("other", at, text="t"), condition=Row.text.does_not_exist())
    except TransactWriteError as error:
        return str([reason and reason.code for reason in error.cancellation_reasons])
    except PynamoDBException as error:
        if tables.lost_condition(error):
            return "condition"
        raise
    return "done"


def story(steps: list[tuple[str, str, str, list[int], int]]) -> list[Any]:
    """What comes of the steps one after another, and what is then there and found."""
    came = [does(step) for step in steps]
    with Row.batch_write() as batch:
        batch.save(Row("p", "1", number=7))
        batch.delete(Row("q", "1"))
    rows = sorted(
        ({name: _in_order(value) for name, value in row.serialize().items()} for row in Row.scan()), key=repr
    )
    found = [row.at for row in Row.query("p", Row.at.between("1", "2"), limit=2, scan_index_forward=False)]
    filtered = [row.at for row in Row.query("p", filter_condition=Row.number > 1)]
    indexed = sorted((row.at, row.number, row.log) for row in Row.by_text.query("a", Row.at > "1"))
    return [came, rows, found, filtered, indexed]


def _in_order(value: dict[str, Any]) -> dict[str, Any]:
    return {kind: sorted(content) if kind == "SS" else content for kind, content in value.items()}


@contextmanager
def in_memory() -> Iterator[None]:
    """Have the rows be kept by the tests' own."""
    memory, real = MemoryDynamoDB(), Row._get_connection()
    memory.add(Row)
    Row._connection = None
    tables.bind(MemoryConnection(memory), {Row: "rows"})
    try:
        yield
    finally:
        Row._connection = real


def clear() -> None:
    for row in [*Row.scan()]:
        row.delete()


@given(STEPS)
@settings(max_examples=60)
def test_every_story_ends_as_with_the_emulator(emulated: None, dynalite: Dynalite | None, steps: Any) -> None:
    if dynalite:
        steps = [step for step in steps if step[0] != "transact"]
    clear()
    expected = story(steps)
    with in_memory():
        assert story(steps) == expected


def dispatched(operation: str, asked: Any) -> Any:
    return Row._get_connection().connection.dispatch(operation, {"RequestItems": {"rows": asked}})


def grown() -> None:
    row = Row("p", "2", log=["x" * 300_000])
    row.save()
    row.update(actions=[Row.log.set(Row.log.append(["y" * 200_000]))])


KEYS = [{"scope": {"S": "p"}, "at": {"S": str(n)}} for n in range(101)]
PUTS = [{"PutRequest": {"Item": key}} for key in KEYS]
REFUSED: dict[str, Callable[[], Any]] = {
    "too large": lambda: Row("p", "1", log=["x" * 410_000]).save(),
    "grows too large": grown,
    "empty key": lambda: Row("p", "").save(),
    "empty key of an index": lambda: Row("p", "1", text="").save(),
    "101 reads at once": lambda: dispatched("BatchGetItem", {"Keys": KEYS}),
    "consistent read of an index": lambda: [*Row.by_text.query("a", consistent_read=True)],
    "26 writes at once": lambda: dispatched("BatchWriteItem", PUTS[:26]),
    "two writes of an item": lambda: dispatched("BatchWriteItem", [PUTS[1], {"DeleteRequest": {"Key": KEYS[1]}}]),
}
NOT_BY_DYNALITE = {"empty key of an index"}
NOT_BY_MOTO = {"26 writes at once", "two writes of an item"}


def code_of(name: str) -> Any:
    """The code by which a request is refused; None when it is not."""
    try:
        REFUSED[name]()
    except PynamoDBException as error:
        return error.cause_response_code
    except ClientError as error:
        return error.response["Error"]["Code"]
    return None


@pytest.mark.parametrize("name", REFUSED)
def test_what_dynamodb_refuses_is_refused(emulated: None, dynalite: Dynalite | None, name: str) -> None:
    if name not in (NOT_BY_DYNALITE if dynalite else NOT_BY_MOTO):
        assert code_of(name) == "ValidationException"
    with in_memory():
        assert code_of(name) == "ValidationException"


def test_a_query_comes_in_pages_of_one_megabyte() -> None:
    with in_memory():
        for n in "12345":
            Row("p", n, log=["x" * 300_000]).save()
        pages = Row.query("p", page_size=5)
        first = next(iter(pages.page_iter))
        assert [item["at"]["S"] for item in first["Items"]] == ["1", "2", "3"]
        assert first["LastEvaluatedKey"]["at"] == {"S": "3"}
