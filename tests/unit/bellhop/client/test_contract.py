import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellhop.client import check, contract
from bellhop.events import MalformedEventError, parse
from bellhop.json_text import Member, members
from tests.docs.pages import ROOT
from tests.support.fakes import issue_event

TABLE = json.loads(
    (ROOT / "tests" / "support" / "contract_events.json").read_text()
)  # the JavaScript client's too


def faults(event: Any) -> list[str]:
    return [str(fault) for fault in check(event if isinstance(event, str) else json.dumps(event))]


def test_a_valid_event_has_no_fault_as_a_mapping_or_as_json() -> None:
    assert check(issue_event()) == []
    assert faults(issue_event(resource="comment", issue=None, user={"id": 7, "name": "Ada"})) == []


@pytest.mark.parametrize("entry", TABLE, ids=lambda entry: entry["name"])
def test_a_fault_names_the_field_its_value_and_the_way_out(entry: dict[str, Any]) -> None:
    assert faults(entry.get("text", entry.get("event"))) == entry["faults"]


def test_all_faults_are_told_at_once_and_each_field_once() -> None:
    event = {"event_id": 7, "type": 3, "organization_id": "a b", "issue": {}, "user": [], "x": 1}
    assert {line.partition(":")[0] for line in faults(event)} == {
        "event_id", "type", "organization_id", "issue.id", "user", "x"
    }  # fmt: skip
    assert len(faults(event)) == 6


def test_a_value_is_bounded_and_does_nothing_to_a_terminal() -> None:
    [line] = faults(issue_event(event_id="\x1b[2J\u202e" + "x" * 1000))
    assert len(line) < 200
    assert line.isprintable()


def test_what_is_there_twice_is_refused_wherever_it_was_written() -> None:
    ids = '"event_id": "a", "event_id": "b", "organization_id": "o"'
    text = f'{{{ids}, "type": "created", "issue": {{"id": 1, "id": 2}}}}'
    assert faults(text) == ["event_id: is there twice; write it once", "issue.id: is there twice; write it once"]


@pytest.mark.parametrize("text", ["", "{", "[" * 70, "NaN", "[1]", "7", "null", '"\\ud800"', "x" * 300_000])
def test_what_cannot_be_read_has_one_fault(text: str) -> None:
    assert len(check(text)) == 1


def test_a_value_that_json_does_not_know_is_named() -> None:
    [fault] = check(issue_event(data={"at": object()}))
    assert str(fault).startswith("body: cannot be written as JSON: Object of type object is not")
    [fault] = check(issue_event(data={"n": float("nan")}))
    assert "NaN is not a JSON number" in str(fault)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-9, 9),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "a", "a b", "a\n", "issue", "comment", "created", "updated", "open", "x" * 65]),
    st.sampled_from(["2026-02-29T00:00:00Z", "2024-02-29T23:59:60+01:00", "2026-1-1", "2026-11-23t12:00:00.5z"]),
    st.fixed_dictionaries(
        {},
        optional={
            "id": st.sampled_from([1, 1.5, "1", None, True]),
            "name": st.just("n"),
            "type": st.sampled_from(["user", "robot", None]),
        },
    ),
    st.just([]),
)
OPTIONAL = ("resource", "installation_id", "project_id", "user", "issue", "data", "occurred_at", "other")
FIELDS = st.fixed_dictionaries(
    {
        "event_id": st.just("e") | VALUES,
        "type": st.just("created") | VALUES,
        "organization_id": st.just("o") | VALUES,
    },
    optional=dict.fromkeys(OPTIONAL, VALUES),
)


@given(FIELDS | VALUES)
def test_the_client_and_notify_agree_on_what_is_valid(event: Any) -> None:
    text = json.dumps(event)
    try:
        parse(text)
    except MalformedEventError:
        valid = False
    else:
        valid = True
    assert (check(text) == []) == valid


class Counting(str):
    """A name that counts how often it is compared."""

    __slots__ = ()
    compared = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        Counting.compared += 1
        return str.__eq__(self, other)


def test_the_search_for_repeated_names_took_the_square_of_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def counting(text: str) -> Iterator[Member]:
        return (replace(member, name=Counting(member.name)) for member in members(text))

    def compared(number: int) -> int:
        Counting.compared = 0
        check(issue_event(event_id="a b", data={f"name_{n}": 1 for n in range(number)}))
        return Counting.compared

    monkeypatch.setattr(contract, "members", counting)
    assert compared(400) <= 3 * compared(200) + 400
