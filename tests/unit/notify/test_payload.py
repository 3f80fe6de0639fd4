"""The webhook's body."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellhop.events import MalformedEventError, parse
from bellhop.known_text import MARKS, KnownText, names_in
from notify.payload import SYSTEM, Payload
from tests.support.fakes import NOW, issue_event

ADA = {"id": 7, "name": "Ada"}


def written(text: str) -> bytes:
    return Payload(parse(text), NOW.timestamp()).body("created", "in-pager")


def frozen(**changes: Any) -> bytes:
    return written(json.dumps(issue_event(**changes)))


def body(**changes: Any) -> dict[str, Any]:
    return dict(json.loads(frozen(**changes)))


def test_an_event_that_says_when_it_happened_is_delivered_with_that_time_unchanged() -> None:
    assert body(occurred_at="2026-11-23T14:00:00.5+02:00")["occurred_at"] == "2026-11-23T14:00:00.5+02:00"


@pytest.mark.parametrize("unsaid", [{}, {"occurred_at": None}])
def test_an_event_that_does_not_say_when_it_happened_is_delivered_with_the_time_of_its_publishing(
    unsaid: dict[str, None],
) -> None:
    assert body(**unsaid)["occurred_at"] == "2026-11-23T12:00:00.000Z"


def test_a_receiver_reads_in_the_signed_body_what_the_event_is_and_where_it_happened() -> None:
    found = body(event_id="ev7", project_id="web")
    assert [*found] == [
        "action", "installation", "data", "actor",
        "event_id", "resource", "occurred_at", "organization_id", "project_id",
    ]  # fmt: skip
    assert (found["event_id"], found["resource"], found["organization_id"]) == ("ev7", "issue", "acme")
    assert found["project_id"] == "web"


def test_an_event_without_a_project_has_the_project_null() -> None:
    assert body(project_id=None)["project_id"] is None


def test_copies_of_an_event_have_the_same_bytes() -> None:
    when = "2026-11-23T12:00:00Z"
    assert frozen(occurred_at=when) == frozen(occurred_at=when)


def test_without_a_user_the_actor_is_the_system() -> None:
    assert body(user=None)["actor"] == SYSTEM


def test_an_apps_own_user_acts_as_an_application() -> None:
    proxy = {"type": "application", "id": "uuid-pager", "name": "Pager"}
    assert body(user=proxy)["actor"] == proxy


def test_of_a_user_only_type_id_and_name_are_delivered() -> None:
    assert body(user=ADA | {"email": "ada@acme.example"})["actor"] == ADA | {"type": "user"}


def test_data_cannot_replace_the_issue() -> None:
    assert body(data={"issue": "forged"})["data"]["issue"]["id"] == "42"


def event_text(**fields: str) -> str:
    """An event with these fields exactly as written."""
    least = {"event_id": '"ev1"', "type": '"created"', "organization_id": '"acme"', "issue": '{"id":"42"}'}
    return "{" + ",".join(f'"{name}": {text}' for name, text in (least | fields).items()) + "}"


@pytest.mark.parametrize(
    "number", ["1e5", "1.10", "-0", "-0.0", "1E+30", "123456789012345678901234567890", "0.1e-7"]
)
def test_numbers_reach_receivers_as_they_were_written(number: str) -> None:
    issue, data = '{"id": 7, "n": ' + number + "}", '{"deep": [{"n": ' + number + "}]}"
    body = written(event_text(issue=issue, data=data)).decode()
    assert f'"deep":[{{"n": {number}}}]' in body
    assert f'"issue":{{"id":"7","n":{number}}}' in body


def test_strings_reach_receivers_as_they_were_written() -> None:
    title = r'"Gr\u00fc\u00dfe \ud83d\ude00 \/ \" \\ "'
    assert title.encode() in written(event_text(issue='{"title": ' + title + ', "id": "1"}'))


@pytest.mark.parametrize(("identifier", "expected"), [("42", '"42"'), ('"42"', '"42"'), ("-0", '"-0"')])
def test_an_issue_id_becomes_a_string_with_the_text_that_was_written(identifier: str, expected: str) -> None:
    text = event_text(issue='{"a": 1, "id": ' + identifier + ', "b": 2}')
    body = written(text)
    assert Payload(parse(text), 0.0).values("created", "in-pager")["data"]["issue"]["id"] == json.loads(expected)
    assert ('"issue":{"a":1,"id":' + expected + ',"b":2}').encode() in body


def test_data_beside_the_issue_keeps_its_order() -> None:
    body = written(event_text(data='{"z": 1, "issue": "forged", "a": 2}'))
    assert b'"data":{"z":1,"a":2,"issue":{"id":"42"}}' in body


def test_an_alert_without_an_issue_keeps_what_its_data_calls_an_issue() -> None:
    text = event_text(resource='"metric_alert"', type='"open"', issue="null", data='{"issue": {"id": 1.50}}')
    assert b'"data":{"issue":{"id": 1.50}}' in written(text)
    assert Payload(parse(text), 0.0).values("open", "in-pager")["data"] == {"issue": {"id": 1.5}}


FINITE = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | FINITE | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


OBJECTS = st.dictionaries(st.text(), JSON)


def test_for_its_filters_a_batch_kept_a_second_copy_of_all_that_its_events_say() -> None:
    event = parse(json.dumps(issue_event(issue={"id": 7, "tags": [1, 2]}, data={"x": {"y": 1}})))
    values = Payload(event, NOW.timestamp()).values("created", "in-pager")
    assert event.data
    assert event.issue
    assert values["data"]["x"] is event.data["x"]
    assert values["data"]["issue"]["tags"] is event.issue["tags"]
    assert values["data"]["issue"]["id"] == "7"
    assert event.issue["id"] == 7


@given(issue=OBJECTS, data=OBJECTS, indent=st.none() | st.integers(0, 4))
def test_whatever_is_published_is_delivered_with_the_same_meaning(
    issue: dict[str, Any], data: dict[str, Any], indent: int | None
) -> None:
    event = issue_event(issue=issue | {"id": 42}, data=data)
    try:
        parsed = parse(json.dumps(event, indent=indent))
    except MalformedEventError as error:
        assert "UTF-8" in error.reason  # noqa: PT017 - a lone surrogate is refused
        return
    payload = Payload(parsed, NOW.timestamp())
    delivered = json.loads(payload.body("created", "in-pager"))
    assert delivered["data"] == {k: v for k, v in data.items() if k != "issue"} | {"issue": issue | {"id": "42"}}
    assert json.dumps(payload.values("created", "in-pager")) == json.dumps(delivered)


def test_of_a_body_that_is_kept_only_what_is_the_events_own_is_written_out() -> None:
    event = issue_event(issue={"id": "X"}, user=ADA, project_id="web", occurred_at="2026-11-23T12:34:56Z")
    made = written(json.dumps(event))
    assert names_in(made) == ("acme", "in-pager", "web")
    known = KnownText(f"issue.{event['type']}", event["event_id"], "2026-11-23T12")
    assert set(known.shorten(made)) >= set(MARKS)
    for name in ("action", "installation", "data", "issue", "actor", "event_id", "resource", "organization_id"):
        assert f'"{name}"'.encode() not in known.shorten(made)
