"""The sweep of retries: what is long overdue is sent again, once, in bounded pages, and nothing else is."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import boto3
import pytest

from bellhop import attempts, deliveries
from bellhop.attempts import DELIVERED, EXHAUSTED, PARKED, RETRYING, Attempt, DeliveryRecord, NextState
from bellhop.deliveries import Retry
from bellhop.due import SHARDS, shard
from bellhop.queues import OutgoingMessage
from health import messages
from health.dependencies import HealthDependencies
from health.messages import RetrySweep
from health.sweep import retries
from health.sweep.retries import MOST_WAITING, PAGE, RUN_SECONDS, SweepError
from tests.support.endpoint import Clock, record
from tests.support.fakes import NOW, Recorder, delivery
from tests.support.health import health_dependencies

START = NOW.timestamp()
OVERDUE = 7200.0
LONG_AGO = START - OVERDUE - 1
FAILED = Attempt(1, NOW - timedelta(days=1), 120, "request-1", "http_500", 500, "oops")


@dataclass
class World:
    """The Retries queue, of which `waiting` messages wait and which refuses those at the positions `refuses`."""

    waiting: int = 0
    refuses: set[int] = field(default_factory=set)
    sent: list[OutgoingMessage] = field(default_factory=list)
    chain: list[tuple[RetrySweep, int]] = field(default_factory=list)
    clock: Clock = field(default_factory=Clock)
    telemetry: Recorder = field(default_factory=Recorder)

    def deps(self) -> HealthDependencies:
        return health_dependencies(
            retry=self.take,
            retries_waiting=lambda: self.waiting,
            send_later=lambda message, delay: self.chain.append((message, delay)),
            overdue_seconds=OVERDUE,
            telemetry=self.telemetry,
            now=self.clock,
        )

    def take(self, offered: Sequence[OutgoingMessage]) -> set[int]:
        self.sent += [message for number, message in enumerate(offered) if number not in self.refuses]
        return self.refuses

    def step(self, message: RetrySweep | None = None) -> None:
        sweep = messages.decode(messages.encode(message or RetrySweep()))
        assert isinstance(sweep, RetrySweep)
        retries.step(sweep, self.deps())

    def run(self) -> None:
        """A whole sweep, as time passes."""
        self.chain.append((RetrySweep(), 0))
        while self.chain:
            following, delay = self.chain.pop(0)
            self.clock.move(delay)
            self.step(following)

    def ids(self) -> list[str]:
        return [retry.delivery_id for retry in self.retries()]

    def retries(self) -> list[Retry]:
        found = [deliveries.decode(message.body) for message in self.sent]
        return [retry for retry in found if isinstance(retry, Retry)]


@pytest.fixture
def world(aws: None) -> World:
    return World()


def keep(number: int = 0, due: float = LONG_AGO, state: str = RETRYING, **changes: Any) -> str:
    name = f"msg_{number:032d}"
    of = delivery(delivery_id=name, **changes)
    assert attempts.open_record(of, NextState(state, due, FAILED), NOW - timedelta(days=1))
    return name


def in_the_index() -> list[str]:
    return [row.delivery_id for number in range(SHARDS) for row in DeliveryRecord.due.query(number)]


def same_shard(number: int) -> list[int]:
    """So many numbers whose records are of one shard."""
    numbers = (n for n in range(100_000) if shard(f"msg_{n:032d}") == 0)
    return [next(numbers) for _ in range(number)]


def test_a_retry_whose_message_was_lost_is_sent_again(world: World) -> None:
    name = keep()
    world.run()
    [message] = world.sent
    assert deliveries.decode(message.body) == Retry(name, "pager", 2, organization_id="acme")
    assert (message.group, record(name).state, record(name).next_attempt_at) == ("pager", RETRYING, START)
    assert world.telemetry.counts == {"SweepFound": 1}
    assert world.telemetry.logged("overdue retries sent again: their messages are lost or hours late") == [
        {"deliveries": {name: "pager"}}
    ]


def test_it_is_sent_once_and_if_that_is_lost_too_once_more_as_much_later(world: World) -> None:
    name = keep()
    for _ in range(3):
        world.run()
    assert world.ids() == [name]
    world.clock.move(OVERDUE + 1)
    world.run()
    assert world.ids() == [name, name]


@pytest.mark.parametrize("late", [-3600.0, 0.0, OVERDUE - 60])
def test_a_retry_that_is_not_long_overdue_is_left_alone(world: World, late: float) -> None:
    keep(due=START - late)
    world.run()
    assert (world.sent, world.telemetry.counts) == ([], {})


def test_an_attempt_that_is_being_made_is_left_alone(world: World) -> None:
    name = keep()
    assert attempts.claim(name, 2, "worker", NOW, 30)
    world.run()
    assert world.sent == []
    world.clock.move(31)
    world.run()
    assert world.ids() == [name]


def test_a_deferred_first_attempt_keeps_its_count_of_deferrals(world: World) -> None:
    name = keep()
    DeliveryRecord(name).update(actions=[DeliveryRecord.deferrals.set(3), DeliveryRecord.attempts_made.set(0)])
    world.run()
    assert world.retries() == [Retry(name, "pager", 1, organization_id="acme", deferral=3)]


def test_nothing_but_what_waits_for_a_retry_is_in_the_index(world: World) -> None:
    for number, state in enumerate((DELIVERED, EXHAUSTED, PARKED)):
        keep(number, state=state)
    waits, ends = keep(10), keep(11)
    ending = attempts.claim(ends, 2, "worker", NOW, 30)
    assert ending
    attempts.finish(ending, NextState(EXHAUSTED, attempt=FAILED), NOW)
    assert in_the_index() == [waits]
    assert attempts.park(Retry(waits, "pager", 2), NOW)
    assert in_the_index() == []


def test_a_delivery_that_is_released_and_fails_is_in_the_index_again(world: World) -> None:
    name = keep(state=PARKED)
    released = attempts.claim(name, 2, "worker", NOW, 30, replay=True)
    assert released
    attempts.finish(released, NextState(RETRYING, START + 60, FAILED), NOW)
    assert in_the_index() == [name]


def test_a_record_that_the_version_before_left_in_the_index_leaves_it(world: World) -> None:
    name = keep()
    DeliveryRecord(name).update(actions=[DeliveryRecord.state.set(DELIVERED)])
    world.run()
    assert (world.sent, in_the_index()) == ([], [])


def test_a_record_that_has_expired_leaves_the_index_as_its_retry_would_only_be_dropped(world: World) -> None:
    name = keep()
    DeliveryRecord(name).update(actions=[DeliveryRecord.expires_at.set(int(START) - 1)])
    world.run()
    assert (world.sent, in_the_index()) == ([], [])


def test_a_record_in_a_newer_versions_state_is_left_to_it_and_keeps_nobody_waiting(world: World) -> None:
    newer, *others = (keep(number, due=LONG_AGO - 100 + n) for n, number in enumerate(same_shard(3)))
    DeliveryRecord(newer).update(actions=[DeliveryRecord.state.set("from_tomorrow")])
    world.run()
    assert world.ids() == others
    assert newer in in_the_index()


def test_ever_so_many_are_sent_in_pages_each_once(world: World) -> None:
    names = [keep(number, app_id=f"app-{number % 40}") for number in range(350)]
    world.run()
    assert sorted(world.ids()) == names
    assert world.telemetry.counts == {"SweepFound": 350}
    pages = world.telemetry.logged("overdue retries sent again: their messages are lost or hours late")
    assert all(len(page["deliveries"]) <= PAGE for page in pages)


def test_a_shard_of_several_pages_is_read_to_its_end(world: World) -> None:
    names = [keep(number) for number in same_shard(PAGE + 20)]
    world.run()
    assert sorted(world.ids()) == names


def test_a_sweep_that_finds_nothing_is_one_message(world: World) -> None:
    world.step()
    assert world.chain == []


def test_an_apps_retries_are_sent_as_quickly_as_a_replay_would_send_them(world: World) -> None:
    for number in same_shard(25):
        keep(number)
    keep(same_shard(26)[-1], app_id="chat")
    world.step()
    delays = {app: [m.delay for m in world.sent if m.group == app] for app in ("pager", "chat")}
    assert delays == {"pager": [0] * 10 + [1] * 10 + [2] * 5, "chat": [0]}
    [(_, wait)] = world.chain
    assert wait == 3


def test_one_tenant_that_kept_the_retry_queue_behind_had_nothing_of_anybody_found(world: World) -> None:
    late = [keep(number, app_id="loud") for number in same_shard(PAGE // 2)]
    lost = keep(PAGE, app_id="quiet")
    world.waiting = MOST_WAITING
    world.run()
    assert sorted(world.ids()) == sorted([late[0], lost])
    [*_, (severity, _text, fields)] = [
        line for line in world.telemetry.lines if "most overdue retries not sent again" in line[1]
    ]
    assert (severity, fields) == ("warning", {"waiting": MOST_WAITING})


def test_what_sqs_refuses_is_sent_when_the_message_comes_back(world: World) -> None:
    names = [keep(number, due=LONG_AGO - 100 + n) for n, number in enumerate(same_shard(3))]
    world.refuses = {1}
    with pytest.raises(SweepError):
        world.step()
    assert world.ids() == [names[0], names[2]]
    world.refuses = set()
    world.step()
    assert world.ids() == [names[0], names[2], names[1]]


def test_one_record_that_cannot_be_read_stopped_the_sweep_of_all_others(world: World) -> None:
    broken, *names = [keep(number) for number in same_shard(3)]
    boto3.client("dynamodb").update_item(
        TableName=DeliveryRecord.Meta.table_name,
        Key={"delivery_id": {"S": broken}},
        UpdateExpression="SET deferrals = :text",
        ExpressionAttributeValues={":text": {"S": "many"}},
    )
    world.run()
    assert world.ids() == names
    assert world.telemetry.logged("record not swept: the next sweep looks at it again") == [
        {"delivery_id": broken}
    ]


def test_each_hour_another_key_comes_first_so_that_none_is_always_the_last(world: World) -> None:
    names = [keep(number) for number in range(40)]
    begun = []
    for _ in range(SHARDS):
        world.sent.clear()
        world.run()
        assert set(world.ids()) == set(names)
        begun.append(shard(world.ids()[0]))
        world.clock.move(3 * 3600)
    assert len(set(begun)) > 1


def test_where_sqs_takes_nothing_no_retry_is_said_to_be_sent_again(world: World) -> None:
    keep(same_shard(1)[0])
    world.refuses = {0}
    with pytest.raises(SweepError):
        world.step()
    assert world.telemetry.lines == []
    assert "SweepFound" not in world.telemetry.counts


def test_a_sweep_ends_before_the_next_one_begins_and_that_goes_on_where_it_was(world: World) -> None:
    for number in same_shard(2 * PAGE):
        keep(number)
    world.step()
    [(following, _)] = world.chain
    world.clock.move(RUN_SECONDS + 1)
    world.step(following)
    assert len(world.chain) == 1
    assert len(set(world.ids())) == 2 * PAGE
