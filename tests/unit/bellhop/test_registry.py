"""What was looked up in the registry is remembered for a while, and no longer."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from pynamodb.exceptions import PynamoDBException

from bellhop import tables
from bellhop.events import parse
from bellhop.registry import PAGE, App, Installation, Organization, Registry
from bellhop.tables import UnreadableError
from notify.fanout import FanOut
from tests.support.damage import damage
from tests.support.endpoint import Clock
from tests.support.fakes import NOW, app, installation, issue_event, organization

SECONDS = 60

Lookup = Callable[[Registry], Any]
Row = Callable[[], Any]

each_kind = pytest.mark.parametrize(
    ("look_up", "row"),
    [
        pytest.param(lambda registry: registry.organization("acme"), organization, id="organization"),
        pytest.param(lambda registry: registry.app("pager"), app, id="app"),
        pytest.param(lambda registry: registry.installations("acme"), installation, id="installations"),
    ],
)


@pytest.fixture
def registry(clock: Clock) -> Registry:
    return Registry(SECONDS, lambda: clock().timestamp())


@pytest.fixture
def reads(aws: None, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    done, dispatch = list[str](), tables._Connection.dispatch

    def noting(self: Any, operation: str, request: Any) -> Any:
        done.extend({operation} & {"GetItem", "Query"})
        return dispatch(self, operation, request)

    monkeypatch.setattr(tables._Connection, "dispatch", noting)
    return done


@each_kind
def test_what_was_looked_up_is_not_read_again_until_its_time_is_over(
    look_up: Lookup, row: Row, registry: Registry, reads: list[str], clock: Clock
) -> None:
    row().save()
    assert look_up(registry)
    clock.move(SECONDS - 1)
    assert look_up(registry)
    assert len(reads) == 1
    clock.move(1)
    assert look_up(registry)
    assert len(reads) == 2


@each_kind
def test_an_absence_is_remembered_as_long(
    look_up: Lookup, row: Row, registry: Registry, reads: list[str], clock: Clock
) -> None:
    assert not look_up(registry)
    row().save()
    clock.move(SECONDS - 1)
    assert not look_up(registry)
    assert len(reads) == 1
    clock.move(1)
    assert look_up(registry)


def test_a_change_takes_effect_once_the_time_is_over(registry: Registry, aws: None, clock: Clock) -> None:
    app(url="https://old.example/in").save()
    seen = [registry.app("pager")]
    App("pager").update(actions=[App.url.set("https://new.example/in")])
    for seconds in (SECONDS - 1, 1):
        clock.move(seconds)
        seen.append(registry.app("pager"))
    assert [found.url for found in seen if found] == [
        "https://old.example/in",
        "https://old.example/in",
        "https://new.example/in",
    ]


def test_an_organisation_an_app_and_installations_of_one_id_are_kept_apart(registry: Registry, aws: None) -> None:
    organization().save()
    app("acme").save()
    installation().save()
    assert isinstance(registry.organization("acme"), Organization)
    assert isinstance(registry.app("acme"), App)
    assert [found.app_id for found in registry.installations("acme")] == ["pager"]
    assert registry.app("pager") is None


def test_a_look_up_that_failed_is_no_absence(registry: Registry, aws: None) -> None:
    App.delete_table()
    with pytest.raises(PynamoDBException):
        registry.app("pager")
    App.create_table(billing_mode="PAY_PER_REQUEST")
    app().save()
    assert registry.app("pager")


def test_a_row_that_is_damaged_is_named_and_its_values_are_not(registry: Registry, aws: None) -> None:
    app().save()
    damage(App, "pager", "headers", {"S": "{secret"})
    with pytest.raises(UnreadableError, match="pager in the table apps cannot be read") as caught:
        registry.app("pager")
    assert "secret" not in str(caught.value)
    installation().save()
    damage(Installation, ("acme", "in-pager"), "events")
    with pytest.raises(UnreadableError, match=r"acme, in-pager in the table installations .*'events'"):
        registry.installation("acme", "in-pager")


def test_an_installation_that_cannot_be_read_kept_its_organisations_events_from_everybody(
    registry: Registry, aws: None
) -> None:
    for row in (organization(), *(row for name in "abc" for row in (app(name), installation(name)))):
        row.save()
    damage(Installation, ("acme", "in-b"), "filter")
    event = parse(json.dumps(issue_event()))
    fan_out = FanOut(event, registry, NOW.timestamp())
    assert [delivery.app_id for delivery in fan_out.steps() if delivery] == ["a", "c"]
    assert fan_out.unreadable == ["in-b"]
    for delivery in ("in-a", "in-c"):
        del fan_out.refused[delivery]
    again = FanOut(event, registry, NOW.timestamp(), fan_out.cursor)
    assert [*again.steps()] == [None]
    assert again.unreadable == ["in-b"]
    assert not again.done


def test_an_event_fans_out_from_what_is_remembered_as_it_did_from_the_tables(
    registry: Registry, reads: list[str]
) -> None:
    rows = organization(), app("a"), app("b", events=[]), installation("a"), installation("b")
    for row in rows:
        row.save()
    event = parse(json.dumps(issue_event()))
    for _ in range(2):
        fan_out = FanOut(event, registry, NOW.timestamp())
        assert [delivery.app_id for delivery in fan_out.steps() if delivery] == ["a"]
        assert fan_out.skipped == {"event_not_in_app": ["in-b"]}
        assert len(reads) == 4


def test_a_large_organisation_is_read_in_pages_from_the_last_one_on(registry: Registry, reads: list[str]) -> None:
    with Installation.batch_write() as batch:
        for number in range(PAGE + 1):
            batch.save(installation(f"{number:03}"))
    first = registry.installations("acme")
    rest = registry.installations("acme", first[-1].installation_id)
    assert [found.app_id for found in first + rest] == [f"{number:03}" for number in range(PAGE + 1)]
    assert len(first) == PAGE
    assert reads.count("Query") == 2


def test_the_cache_is_bounded_by_what_it_holds_and_takes_nothing_that_could_never_fit(
    clock: Clock, reads: list[str]
) -> None:
    small = Registry(SECONDS, lambda: clock().timestamp(), size=100)
    app("a", events=["issue.created"] * 70).save()
    app("b", events=["issue.created"] * 70).save()
    app("huge", events=["issue.created"] * 1000).save()
    for name in ("a", "b", "a", "huge", "huge", "a"):
        assert small.app(name)
    assert len(reads) == 5
