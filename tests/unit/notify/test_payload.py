"""The webhook's body."""

import json
from typing import Any

from bellhop.events import parse
from notify.payload import SYSTEM, freeze
from tests.support.fakes import issue_event

ADA = {"id": 7, "name": "Ada"}


def frozen(**changes: Any) -> bytes:
    return freeze(parse(json.dumps(issue_event(**changes))), "created", "in-pager")


def body(**changes: Any) -> dict[str, Any]:
    return dict(json.loads(frozen(**changes)))


def test_an_event_that_says_when_it_happened_is_delivered_with_that_time_unchanged() -> None:
    assert body(occurred_at="2026-11-23T14:00:00.5+02:00")["occurred_at"] == "2026-11-23T14:00:00.5+02:00"


def test_an_event_that_does_not_say_when_it_happened_has_no_such_field() -> None:
    assert [*body()] == [*body(occurred_at=None)] == ["action", "installation", "data", "actor"]


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
