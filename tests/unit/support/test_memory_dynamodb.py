"""The DynamoDB of the simulations means by every expression what moto means by it, and with --witness dynalite."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pynamodb.attributes import ListAttribute, MapAttribute, NumberAttribute, UnicodeAttribute, UnicodeSetAttribute
from pynamodb.exceptions import PynamoDBException, TransactWriteError
from pynamodb.models import Model
from pynamodb.transactions import TransactWrite

from bellhop import tables
from tests.support.dynalite import Dynalite
from tests.support.memory_dynamodb import MemoryConnection, MemoryDynamoDB


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
        st.sampled_from(["update", "put", "delete", "mail", "transact"]),
        st.sampled_from("pq"),
        st.sampled_from("123"),
        st.lists(st.sampled_from(range(len(ACTIONS))), min_size=1, max_size=3, unique=True),
        st.sampled_from(range(len(CONDITIONS))),
    ),
    max_size=12,
)


@pytest.fixture(scope="module")
def emulated(aws_in_memory: None) -> None:
    tables.bind(tables.connect(retries=0), {Row: "rows"})
    Row.create_table(billing_mode="PAY_PER_REQUEST")


def does(step: tuple[str, str, str, list[int], int]) -> str:
    """Do a step; what came of it."""
    kind, scope, at, actions, condition = step
    row, when = Row(scope, at), CONDITIONS[condition]
    changes = {NAMES[n]: ACTIONS[n] for n in actions}  # each attribute once
    try:
        match kind:
            case "update":
                row.update(actions=[*changes.values()], condition=when)
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
    return [came, rows, found, filtered]


def _in_order(value: dict[str, Any]) -> dict[str, Any]:
    return {kind: sorted(content) if kind == "SS" else content for kind, content in value.items()}


@given(STEPS)
@settings(max_examples=60)
def test_every_story_ends_as_with_the_emulator(emulated: None, dynalite: Dynalite | None, steps: Any) -> None:
    if dynalite:
        steps = [step for step in steps if step[0] != "transact"]

    def clear() -> None:
        for row in [*Row.scan()]:
            row.delete()

    memory, real = MemoryDynamoDB(), Row._get_connection()
    memory.add(Row)
    clear()
    expected = story(steps)
    Row._connection = None
    tables.bind(MemoryConnection(memory), {Row: "rows"})
    try:
        assert story(steps) == expected
    finally:
        Row._connection = real
