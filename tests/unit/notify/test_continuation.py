"""Events that are too large for one invocation, or of which something was refused, go on by a message."""

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from bellhop.deliveries import Delivery, decode
from bellhop.newer import WAIT_SECONDS
from bellhop.queues import MAX_BATCH_BYTES, SENDS, Queue
from notify import report
from notify.continuation import ATTRIBUTE
from notify.intake import STOP_SECONDS, TURN, NotifyDependencies, process
from tests.support.fakes import NOW, FakeRegistry, Recorder, app, installation, issue_event, organization

EVENTS, DELIVERIES = "events", "deliveries"
TIMEOUT = 30.0
GIVEN_UP = 10  # receives


def received_again(message: dict[str, Any], count: int) -> dict[str, Any]:
    return message | {"attributes": message["attributes"] | {"ApproximateReceiveCount": str(count)}}


class Crash(BaseException):
    """The process died."""


@dataclass
class Sqs:
    """The queues, with time in the test's hands: a call costs `seconds`, and some things go wrong."""

    seconds: float = 0.0
    now: float = 0.0
    refused: set[str] = field(default_factory=set)  # message groups
    silent: set[str] = field(default_factory=set)  # queues
    crash_after: int | None = None  # calls
    calls: int = 0
    waiting: list[dict[str, Any]] = field(default_factory=list)
    dead: list[dict[str, Any]] = field(default_factory=list)
    enqueued: list[Delivery] = field(default_factory=list)
    delays: list[int] = field(default_factory=list)

    def publish(self, *events: dict[str, Any]) -> None:
        for event in events:
            self._receive_later(json.dumps(event), {})

    def send_message_batch(self, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        if self.calls == self.crash_after:
            raise Crash
        self.calls += 1
        self.now += self.seconds
        if QueueUrl in self.silent:
            raise ConnectionError("no response")
        assert len(Entries) <= 10
        assert sum(len(entry["MessageBody"]) for entry in Entries) <= MAX_BATCH_BYTES
        taken = [entry for entry in Entries if entry.get("MessageGroupId") not in self.refused]
        for entry in taken:
            self._take(QueueUrl, entry)
        return {"Successful": [{"Id": entry["Id"]} for entry in taken]}

    def _take(self, queue: str, entry: dict[str, Any]) -> None:
        if queue == EVENTS:
            self.delays.append(entry["DelaySeconds"])
            self._receive_later(entry["MessageBody"], entry["MessageAttributes"])
        else:
            delivery = decode(entry["MessageBody"])
            assert isinstance(delivery, Delivery)
            self.enqueued.append(delivery)

    def _receive_later(self, body: str, attributes: dict[str, Any]) -> None:
        received = {name: {"stringValue": value["StringValue"]} for name, value in attributes.items()}
        self.waiting.append(
            {
                "messageId": f"m{len(self.waiting)}-{self.calls}-{len(self.delays)}",
                "body": body,
                "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": str(int(self.now * 1000))},
                "messageAttributes": received,
            }
        )


@dataclass
class World:
    """notify between its queues, one invocation at a time."""

    sqs: Sqs
    hooks: FakeRegistry
    telemetry: Recorder = field(default_factory=Recorder)
    rounds: int = 0
    timeout: float = TIMEOUT

    @property
    def deps(self) -> NotifyDependencies:
        deliveries, dead, events = (Queue(cast("Any", self.sqs), name) for name in (DELIVERIES, "dead", EVENTS))
        return NotifyDependencies(
            self.hooks, deliveries, dead, events, self.telemetry, lambda _: None, NOW.timestamp
        )

    def invoke(self) -> None:
        """One batch; what comes back has been received once more, or is dead."""
        batch, self.sqs.waiting = self.sqs.waiting[:10], self.sqs.waiting[10:]
        self.rounds += 1
        end = self.sqs.now + self.timeout
        try:
            returned = process(batch, self.deps, lambda: end - self.sqs.now)
        except Crash:
            self.sqs.crash_after = None
            returned = [message["messageId"] for message in batch]
        assert self.sqs.now < end
        for message in batch:
            count = int(message["attributes"]["ApproximateReceiveCount"])
            if message["messageId"] in returned:
                again = received_again(message, count + 1)
                (self.sqs.dead if count == GIVEN_UP else self.sqs.waiting).append(again)

    def run(self, rounds: int = 200) -> None:
        while self.sqs.waiting:
            assert self.rounds < rounds
            self.invoke()

    def reached(self, event_id: str = "ev1") -> list[str]:
        return [d.installation_id for d in self.sqs.enqueued if d.event_id == event_id]


def world(installations: int, **changes: Any) -> World:
    names = [f"{number:05}" for number in range(installations)]
    hooks = FakeRegistry({"acme": organization()}, {n: app(n) for n in names}, [installation(n) for n in names])
    return World(Sqs(**changes), hooks)


def slow_down(made: World, seconds: float) -> None:
    """Let the registry need that long for an app."""
    look_up = made.hooks.app

    def slow(app_id: str) -> Any:
        made.sqs.now += seconds
        return look_up(app_id)

    made.hooks.app = slow  # type: ignore[method-assign]


def everyone(made: World) -> list[str]:
    return [found.installation_id for found in made.hooks.installed]


def test_an_event_for_more_installations_than_fit_the_time_goes_on_and_reaches_each_once() -> None:
    made = world(300, seconds=2.0)
    made.sqs.publish(issue_event())
    made.run()
    assert made.reached() == everyone(made)
    assert made.rounds == 3
    assert set(made.sqs.delays) == {0}
    assert made.telemetry.counts["EventReceived"] == 1
    assert made.telemetry.counts["EventContinued"] == 2


def test_a_small_event_behind_a_large_one_is_enqueued_in_the_first_invocation() -> None:
    made = world(1000, seconds=2.0)
    small = [issue_event(event_id=f"small{n}", installation_id="in-00007") for n in range(9)]
    made.sqs.publish(issue_event(issue={"id": "1", "title": "x" * 50_000}), *small)
    made.invoke()
    assert [made.reached(event["event_id"]) for event in small] == [["in-00007"]] * 9
    made.run()
    assert made.reached() == everyone(made)
    assert made.sqs.dead == []


@pytest.mark.parametrize("timeout", [1, 5, 10, 15])
def test_a_short_timeout_returns_no_event_that_there_is_time_for(timeout: float) -> None:
    made = world(1)
    made.timeout = timeout
    made.sqs.publish(*(issue_event(event_id=f"ev{n}") for n in range(10)))
    made.run()
    assert made.rounds == 1
    assert len(made.sqs.enqueued) == 10


def test_ten_large_events_share_the_time() -> None:
    made = world(100, seconds=1.0)
    made.sqs.publish(*(issue_event(event_id=f"ev{n}") for n in range(10)))
    made.invoke()
    assert set(Counter(delivery.event_id for delivery in made.sqs.enqueued).values()) == {20, 30}
    made.run()
    assert Counter(delivery.event_id for delivery in made.sqs.enqueued) == {f"ev{n}": 100 for n in range(10)}


def test_an_event_that_had_no_turn_goes_back_and_comes_first_the_next_time() -> None:
    made = world(20)
    slow_down(made, (TIMEOUT - STOP_SECONDS) / TURN + 0.1)
    made.sqs.publish(*(issue_event(event_id=f"ev{n}") for n in range(3)))
    made.invoke()
    assert {message["attributes"]["ApproximateReceiveCount"] for message in made.sqs.waiting} == {"1", "2"}
    made.run()
    assert Counter(delivery.event_id for delivery in made.sqs.enqueued) == {f"ev{n}": 20 for n in range(3)}
    assert made.sqs.dead == []


def test_an_organisation_in_which_nobody_wants_the_event_does_not_use_up_the_time() -> None:
    made = world(1000)
    for found in made.hooks.installed:
        found.events = []
    slow_down(made, 0.1)
    made.sqs.publish(issue_event())
    made.run()
    assert made.rounds > 1
    assert made.telemetry.counts["Skipped_event_not_in_hook"] == 1000
    assert made.telemetry.counts["EventSkipped"] == 1


def test_all_webhooks_of_an_event_say_when_it_was_published_however_often_it_goes_on() -> None:
    made = world(1000)
    slow_down(made, 0.1)
    made.sqs.now = 1_795_435_200.0
    made.sqs.publish(issue_event())
    made.run()
    assert made.rounds > 1
    assert {json.loads(sent.body)["occurred_at"] for sent in made.sqs.enqueued} == {"2026-11-23T12:00:00.000Z"}


def test_a_refused_delivery_goes_on_alone_and_nothing_that_was_accepted_is_sent_again() -> None:
    made = world(40, refused={"00013"})
    made.sqs.publish(issue_event())
    made.invoke()
    assert len(made.reached()) == 39
    assert made.sqs.delays == [30]
    [line] = made.telemetry.logged(
        "delivery rejected by its queue: it will be sent by a continuation of its event"
    )
    assert line["event_id"] == "ev1"
    made.sqs.refused.clear()
    made.run()
    assert sorted(made.reached()) == everyone(made)


def test_a_delivery_that_is_refused_for_ever_ends_as_a_dead_letter_that_names_it() -> None:
    made = world(40, refused={"00013", "00021"})
    made.sqs.publish(issue_event())
    made.run()
    [dead] = made.sqs.dead
    cursor = json.loads(dead["messageAttributes"][ATTRIBUTE]["stringValue"])
    assert cursor == {
        "v": 1,
        "after": "in-00039",
        "finished": True,
        "refused": ["in-00013", "in-00021"],
        "enqueued": 38,
        "published_at": 0.0,
    }
    assert len(made.reached()) == 38
    made.sqs.refused.clear()
    made.sqs.waiting, made.sqs.dead = [received_again(dead, 1)], []  # redriven
    made.run()
    assert sorted(made.reached()) == everyone(made)


def test_what_is_refused_is_offered_again_before_the_event_goes_on() -> None:
    made = world(1, refused={"00000"})
    made.sqs.publish(issue_event())
    made.invoke()
    assert made.sqs.calls == SENDS
    assert [message["attributes"]["ApproximateReceiveCount"] for message in made.sqs.waiting] == ["2"]


def test_a_queue_that_does_not_respond_returns_every_event_after_one_call_and_loses_nothing() -> None:
    made = world(40, silent={DELIVERIES})
    made.sqs.publish(issue_event(), issue_event(event_id="ev2"))
    made.invoke()
    assert made.sqs.calls == 1
    assert len(made.sqs.waiting) == 2
    made.sqs.silent.clear()
    made.run()
    assert made.reached() == made.reached("ev2") == everyone(made)


def test_a_continuation_that_its_queue_does_not_take_lets_the_event_begin_anew() -> None:
    made = world(300, seconds=2.0, silent={EVENTS})
    made.sqs.publish(issue_event())
    made.invoke()
    assert [message["messageAttributes"] for message in made.sqs.waiting] == [{}]
    assert made.telemetry.logged("event not finished: the queue will retry it from its beginning")
    made.sqs.silent.clear()
    made.run()
    assert set(made.reached()) == set(everyone(made))
    assert len({d.delivery_id for d in made.sqs.enqueued}) == 300


@pytest.mark.parametrize("calls", range(32))
def test_a_crash_at_any_call_repeats_only_under_the_same_webhook_id_and_loses_nothing(calls: int) -> None:
    made = world(250, seconds=2.0, crash_after=calls)
    made.sqs.publish(issue_event(), issue_event(event_id="small", installation_id="in-00007"))
    made.run()
    assert set(made.reached()) == set(everyone(made))
    assert len({d.delivery_id for d in made.sqs.enqueued}) == 251
    assert made.sqs.dead == []


def test_a_registry_that_stops_responding_half_way_keeps_what_was_enqueued() -> None:
    made = world(40)
    works = made.hooks.app

    def broken(app_id: str) -> Any:
        if app_id == "00025":
            raise ConnectionError("no response")
        return works(app_id)

    made.hooks.app = broken  # type: ignore[method-assign]
    made.sqs.publish(issue_event())
    made.invoke()
    assert made.reached() == everyone(made)[:25]
    made.hooks.app = works  # type: ignore[method-assign]
    made.run()
    assert made.reached() == everyone(made)


@pytest.mark.parametrize(
    "written", ['{"v":0,"after":"in-00003"}', "{}", "[]", "?", '{"v":1,"refused":7}', '{"v":1,"after":{}}', "null"]
)
def test_a_cursor_that_notify_did_not_write_is_dead_lettered_and_its_neighbours_go_on(written: str) -> None:
    made = world(3)
    made.sqs.publish(issue_event(), issue_event(event_id="ev2"))
    made.sqs.waiting[0]["messageAttributes"] = {ATTRIBUTE: {"stringValue": written}}
    made.invoke()
    assert made.reached() == []
    assert made.reached("ev2") == everyone(made)
    assert len(made.telemetry.logged("event not handled: what is left will be retried by the queue")) == 1
    made.run()
    assert len(made.sqs.dead) == 1


def test_a_newer_versions_continuation_waits_as_a_new_message_and_its_neighbours_go_on() -> None:
    made = world(3)
    made.sqs.publish(issue_event(), issue_event(event_id="ev2"))
    made.sqs.waiting[0]["messageAttributes"] = {ATTRIBUTE: {"stringValue": '{"v":2,"after":"in-00003"}'}}
    made.invoke()
    assert (made.reached(), made.reached("ev2")) == ([], everyone(made))
    [waiting] = made.sqs.waiting
    assert waiting["attributes"]["ApproximateReceiveCount"] == "1"
    assert waiting["messageAttributes"] == {ATTRIBUTE: {"stringValue": '{"v":2,"after":"in-00003"}'}}
    assert made.sqs.delays == [WAIT_SECONDS]
    assert made.telemetry.counts["NewerVersionWaits"] == 1


def test_fields_that_a_newer_version_added_are_ignored() -> None:
    made = world(3)
    made.sqs.publish(issue_event())
    newer = {ATTRIBUTE: {"stringValue": '{"v":1,"after":"in-00000","colour":"red"}'}}
    made.sqs.waiting[0]["messageAttributes"] = newer
    made.run()
    assert made.reached() == everyone(made)[1:]


@pytest.mark.parametrize("field", ["cursor", "after", ATTRIBUTE, "continuation"])
def test_no_field_of_an_event_makes_it_a_continuation(field: str) -> None:
    made = world(3)
    written = {field: {"v": 1, "after": "in-00002", "finished": True}}
    made.sqs.publish(issue_event(data=written))
    made.run()
    assert made.reached() == everyone(made)


def test_the_largest_event_with_the_fullest_cursor_fits_a_queue_message() -> None:
    made = world(0)
    long = [f"{number:04}{'ü' * 500}" for number in range(1000)]  # 1,004 bytes of the 1,024 that a key may have
    made.hooks = FakeRegistry(
        {"acme": organization()},
        {"pager": app(), "other": app("other")},
        [installation("pager" if n == long[0] else "other", installation_id=n) for n in long],
    )
    event = issue_event(issue={"id": "1", "title": ""})
    event["issue"]["title"] = "x" * (262_144 - len(json.dumps(event)))
    made.sqs.refused = {"other"}
    made.sqs.publish(event)
    made.invoke()
    [message] = made.sqs.waiting
    written = message["messageAttributes"][ATTRIBUTE]["stringValue"]
    assert len(json.loads(written)["refused"]) == 400
    assert len(message["body"].encode()) + len(written.encode()) < 1_048_576


def test_the_record_names_event_organisation_issue_user_and_installations_in_one_line_for_the_batch() -> None:
    made = world(2)
    made.sqs.publish(
        issue_event(user={"id": 7, "name": "Ada"}), issue_event(event_id="ev2", installation_id="in-00001")
    )
    made.run()
    [line] = made.telemetry.logged("deliveries enqueued")
    assert line["columns"] == (*("event_id", "event", "organization_id", "issue_id", "user_id", "installations"),)
    assert sorted(line["events"]) == [
        ["ev1", "issue.created", "acme", "42", "7", ["in-00000", "in-00001"]],
        ["ev2", "issue.created", "acme", "42", None, ["in-00001"]],
    ]


def test_a_record_that_is_too_large_for_a_line_goes_on_in_the_next_and_loses_no_installation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(report, "LINE_BYTES", 10_000)
    made = world(1_000)
    made.sqs.publish(issue_event())
    made.run()
    lines = made.telemetry.logged("deliveries enqueued")
    assert len(lines) > 1
    assert all(len(json.dumps(line)) < 10_500 for line in lines)
    named = [name for line in lines for *_, installations in line["events"] for name in installations]
    assert named == everyone(made)
