"""Copies of events, where they are dropped: nothing is lost by it, whatever dies or does not respond."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, cast

import pytest
from botocore.exceptions import ReadTimeoutError
from pynamodb.exceptions import GetError, PutError

from bellhop import handled_events, tables
from bellhop.deliveries import Delivery, decode
from bellhop.events import parse
from bellhop.handled_events import PREFIX, HandledEvent
from bellhop.queues import Queue
from notify.duplicates import Duplicates
from notify.intake import NotifyDependencies, process
from tests.support.fakes import (
    NOW,
    FakeRegistry,
    Recorder,
    app,
    installation,
    issue_event,
    organization,
    queue_message,
)

HOURS = 24
SKIPPED = "event skipped as a duplicate: `bellhop resend --event` sends its webhooks again"


@dataclass
class Sqs:
    """Takes messages, but none of the groups that are `refused`."""

    refused: set[str] = field(default_factory=set)
    sent: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def send_message_batch(self, QueueUrl: str, Entries: Sequence[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        taken = [entry for entry in Entries if entry.get("MessageGroupId") not in self.refused]
        self.sent.setdefault(QueueUrl, []).extend(taken)
        return {"Successful": [{"Id": entry["Id"]} for entry in taken]}

    def send_message(self, QueueUrl: str, **entry: Any) -> None:  # noqa: N803
        self.sent.setdefault(QueueUrl, []).append(entry)


@dataclass
class World:
    """notify, its queues, and the marks of events."""

    sqs: Sqs = field(default_factory=Sqs)
    hooks: FakeRegistry = field(default_factory=FakeRegistry)
    telemetry: Recorder = field(default_factory=Recorder)
    now: float = NOW.timestamp()
    hours: int = HOURS

    def install(self, *names: str) -> None:
        self.hooks.organizations["acme"] = organization()
        self.hooks.apps |= {name: app(name) for name in names}
        self.hooks.installed += [installation(name) for name in names]

    @property
    def deps(self) -> NotifyDependencies:
        work, dead, events = (Queue(cast("Any", self.sqs), name) for name in ("work", "dead", "events"))
        keep = timedelta(hours=self.hours)
        duplicates = Duplicates(tables.connect(retries=0), keep, self.telemetry, lambda: self.now)
        deps = NotifyDependencies(self.hooks, work, dead, events, self.telemetry, lambda _: None, lambda: self.now)
        return replace(deps, duplicates=duplicates if self.hours else None)

    def invoke(self, *messages: dict[str, Any]) -> list[str]:
        return process(list(messages), self.deps, lambda: 900.0)

    @property
    def reached(self) -> list[tuple[str, str]]:
        """The deliveries that were enqueued: event and app."""
        found = [decode(each["MessageBody"]) for each in self.sqs.sent.get("work", [])]
        return [(each.event_id, each.app_id) for each in found if isinstance(each, Delivery)]

    def skipped(self) -> list[str]:
        return [line["event_id"] for line in self.telemetry.logged(SKIPPED)]


@pytest.fixture
def world(aws: None) -> World:
    made = World()
    made.install("pager")
    return made


def message(number: int = 1, name: str = "m", **changes: Any) -> dict[str, Any]:
    return queue_message(issue_event(event_id=f"ev{number}", **changes), f"{name}{number}")


def received(sent: dict[str, Any]) -> dict[str, Any]:
    """A continuation as notify receives it."""
    attributes = {name: {"stringValue": value["StringValue"]} for name, value in sent["MessageAttributes"].items()}
    return queue_message(sent["MessageBody"], "c1") | {"messageAttributes": attributes}


def test_a_copy_of_an_event_that_was_fanned_out_is_skipped_with_a_line_and_a_metric(world: World) -> None:
    assert world.invoke(message()) == []
    world.now += 60
    assert world.invoke(message()) == []
    assert world.reached == [("ev1", "pager")]
    [line] = world.telemetry.logged(SKIPPED)
    assert line == {
        "message_id": "m1",
        "event_id": "ev1",
        "organization_id": "acme",
        "event_name": "issue.created",
        "reasons": "duplicate",
        "fanned_out_at": "2026-11-23T12:00:00.000Z",
    }
    assert world.telemetry.counts["Skipped_duplicate"] == 1
    assert world.telemetry.counts["EventReceived"] == 2


def test_a_copy_that_comes_later_than_the_hours_is_sent_even_while_its_mark_is_there(world: World) -> None:
    world.invoke(message())
    world.now += HOURS * 3600
    assert world.invoke(message()) == []
    assert world.reached == [("ev1", "pager")] * 2


def test_events_of_other_ids_organisations_and_installations_are_no_copies(world: World) -> None:
    world.hooks.organizations["globex"] = organization(organization_id="globex")
    world.hooks.installed.append(installation(organization_id="globex"))
    world.invoke(message())
    others = [message(2), message(1, "g", organization_id="globex"), message(1, "i", installation_id="in-pager")]
    assert world.invoke(*others) == []
    assert len(world.reached) == 4
    assert world.skipped() == []


def test_a_copy_in_the_same_batch_is_skipped_once_the_first_is_done(world: World) -> None:
    assert world.invoke(message(1, "a"), message(1, "b"), message(2)) == []
    assert sorted(world.reached) == [("ev1", "pager"), ("ev2", "pager")]
    assert world.skipped() == ["ev1"]


def test_a_copy_in_the_same_batch_comes_back_if_the_first_is_not_done(world: World) -> None:
    world.sqs.refused = {"pager"}
    assert world.invoke(message(1, "a"), message(1, "b")) == ["a1", "b1"]
    world.sqs.refused = set()
    assert world.invoke(message(1, "a"), message(1, "b")) == []
    assert world.reached == [("ev1", "pager")]


def test_an_event_is_marked_after_its_last_piece_so_that_a_copy_until_then_is_sent(world: World) -> None:
    world.install("chat")
    world.sqs.refused = {"chat"}
    assert world.invoke(message()) == []
    [continuation] = world.sqs.sent["events"]
    world.sqs.refused = set()
    assert world.invoke(message()) == []  # somebody published it again meanwhile
    assert sorted(world.reached) == [("ev1", "chat"), ("ev1", "pager"), ("ev1", "pager")]
    assert world.invoke(received(continuation)) == []  # a continuation is never taken for a copy
    assert sorted(world.reached)[:2] == [("ev1", "chat")] * 2
    world.sqs.sent.clear()
    assert world.invoke(message()) == []
    assert world.reached == []


def test_the_last_piece_marks_its_event(world: World) -> None:
    world.install("chat")
    world.sqs.refused = {"chat"}
    world.invoke(message())
    [continuation] = world.sqs.sent["events"]
    assert list(HandledEvent.scan()) == []
    world.sqs.refused = set()
    world.invoke(received(continuation))
    assert [mark.key for mark in HandledEvent.scan()] == [handled_events.key(parse(message()["body"]))]


class Died(BaseException):
    """The function died."""


def test_whoever_dies_before_the_mark_sends_again_as_ever(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: Any) -> None:
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(handled_events, "mark", die)
        with pytest.raises(Died):
            world.invoke(message())
    assert world.invoke(message()) == []
    assert world.reached == [("ev1", "pager")] * 2


def test_an_event_that_nobody_got_is_sent_when_it_is_published_again_after_somebody_was_registered(
    aws: None,
) -> None:
    world = World()
    assert world.invoke(message()) == []
    world.install("pager")
    assert world.invoke(message()) == []
    assert world.reached == [("ev1", "pager")]


def test_a_malformed_event_is_dead_lettered_once(world: World) -> None:
    assert world.invoke(message(), message(2, project_id=7)) == []
    assert len(world.sqs.sent["dead"]) == 1
    assert world.reached == [("ev1", "pager")]


SILENCE = ReadTimeoutError(endpoint_url="https://dynamodb")


def test_while_marks_cannot_be_read_copies_are_sent(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> dict[str, float]:
        raise GetError("no response", SILENCE)

    world.invoke(message())
    monkeypatch.setattr(handled_events, "find", fail)
    assert world.invoke(message(), message(2)) == []
    assert sorted(world.reached) == [("ev1", "pager"), ("ev1", "pager"), ("ev2", "pager")]
    [line] = world.telemetry.logged("duplicates not looked for: copies of events are sent again")
    assert line == {"events": 2}


def test_while_marks_cannot_be_written_events_stay_done_and_copies_are_sent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise PutError("no response", SILENCE)

    with monkeypatch.context() as patch:
        patch.setattr(handled_events, "mark", fail)
        assert world.invoke(message()) == []
    assert world.telemetry.logged("events not marked: copies of them will be sent again") == [{"events": 1}]
    assert world.invoke(message()) == []
    assert world.reached == [("ev1", "pager")] * 2


def test_a_batch_takes_one_read_and_one_write_together(world: World, dynamodb_calls: list[str]) -> None:
    world.invoke(*(message(number) for number in range(10)))
    assert dynamodb_calls == ["BatchGetItem", "BatchWriteItem"]
    dynamodb_calls.clear()
    world.invoke(*(message(number) for number in range(10)))
    assert dynamodb_calls == ["BatchGetItem"]
    assert len(world.reached) == 10


def test_where_duplicates_are_not_dropped_no_table_is_asked(world: World, dynamodb_calls: list[str]) -> None:
    world.hours = 0
    world.invoke(message(), message())
    assert dynamodb_calls == []
    assert len(world.reached) == 2


def test_notify_reaches_no_other_keys_of_the_table(world: World) -> None:
    world.invoke(*(message(number) for number in range(3)))
    marks: Iterable[HandledEvent] = HandledEvent.scan()
    assert all(mark.key.startswith(PREFIX) for mark in marks)
