"""Recovery checks of an app that is off: at growing intervals, until its endpoint responds with a 2xx."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from pynamodb.exceptions import UpdateError

from bellhop import attempts, circuits
from bellhop.attempts import DELIVERED, STOPPED, Attempt, NextState
from bellhop.deliveries import Delivery
from bellhop.registry import App, AuditEntry
from health import messages
from health.dependencies import HealthDependencies
from health.messages import FollowUp, RecoveryCheck
from health.recovery import first_check, interval, step
from health.transitions import disabled_id, enabled_id
from tests.support.endpoint import Clock
from tests.support.fakes import NOW, Recorder, app, organization
from tests.support.health import health_dependencies
from tests.support.ses import ADA, disabled

START = NOW.timestamp()
FIRST = RecoveryCheck("pager", 2, START, START + 900)


@dataclass
class World:
    """A chain of checks; `results` are the states of the pings' records, None where deliver writes none."""

    results: list[str | None] = field(default_factory=list)
    pings: list[tuple[float, Delivery]] = field(default_factory=list)
    chain: list[tuple[RecoveryCheck, int]] = field(default_factory=list)
    announced: list[FollowUp] = field(default_factory=list)
    clock: Clock = field(default_factory=Clock)
    telemetry: Recorder = field(default_factory=Recorder)

    def deps(self) -> HealthDependencies:
        return health_dependencies(
            ping=self.ping,
            send_later=self.send,
            announce=self.announced.append,
            telemetry=self.telemetry,
            now=self.clock,
        )

    def send(self, check: RecoveryCheck, delay: int) -> None:
        assert 1 <= delay <= 900
        self.chain.append((check, delay))

    def ping(self, ping: Delivery) -> None:
        self.pings.append((self.clock().timestamp() - START, ping))
        state = self.results.pop(0) if self.results else STOPPED
        if state:
            attempt = Attempt(1, self.clock(), 12, "r", "http_200" if state == DELIVERED else "http_500", 200)
            attempts.open_record(ping, NextState(state, attempt=attempt), self.clock())

    def run(self, check: RecoveryCheck = FIRST, hours: float = 1000) -> None:
        self.chain.append((check, 0))
        while self.chain and self.clock().timestamp() < START + hours * 3600:
            following, delay = self.chain.pop(0)
            self.clock.move(delay)
            step(messages.decode(messages.encode(following)), self.deps())  # type: ignore[arg-type]


@pytest.fixture
def world(aws: None) -> World:
    app(state="disabled", generation=2, auto_enable=True).save()
    organization().save()
    disabled().save()
    return World()


def found() -> App:
    return App.get("pager", consistent_read=True)


def test_intervals_double_from_a_quarter_of_an_hour_to_a_day() -> None:
    assert [interval(n) for n in (1, 2, 3, 7, 8, 30)] == [900, 1800, 3600, 57_600, 86_400, 86_400]


@pytest.mark.parametrize(
    ("rule", "hours", "number"),
    [("recovery_check", 23, 5), ("recovery_check", 25, 1), ("operator", 1, 1), (None, 0, 1)],
)
def test_where_a_check_switched_on_in_vain_the_intervals_go_on_growing(
    world: World, rule: str | None, hours: int, number: int
) -> None:
    if rule:
        at = (NOW - timedelta(hours=hours)).isoformat(timespec="seconds")
        evidence = {"rule": rule, "recovery_check": 4}
        disabled(enabled_id(2), action="app.enabled", at=at, evidence=evidence).save()
    check = first_check("pager", 4, START, START + 60)
    assert check == RecoveryCheck("pager", 4, START, START + 60 + interval(number), number)


def test_an_endpoint_that_stays_broken_is_pinged_more_and_more_rarely_and_given_up_after_a_month(
    world: World,
) -> None:
    world.run()
    at = [when for when, _ in world.pings]
    gaps = [round((b - a) / 900) for a, b in pairwise(at)]
    assert gaps[:7] == [2, 4, 8, 16, 32, 64, 96]
    assert at[-1] <= 30 * 86_400 < at[-1] + 2 * 86_400
    assert found().state == "disabled"
    assert world.telemetry.logged("recovery checks given up: the app stays off until a person switches it on")


def test_an_endpoint_that_responds_is_switched_on_and_its_owners_are_told(world: World) -> None:
    world.results = [STOPPED, DELIVERED]
    world.run()
    assert (found().state, found().generation) == ("enabled", 3)
    [entry] = [e for e in AuditEntry.query("pager") if e.action == "app.enabled"]
    assert (entry.actor, dict(entry.mails.attribute_values)) == ("recovery_check", {ADA: "pending"})
    assert entry.evidence["response"] == {"status": 200, "ms": 12}
    assert entry.evidence["off_since"] == "2026-11-23T12:00:00+00:00"
    assert entry.evidence["replay"] == {"states": ["parked"]}
    assert world.announced == [FollowUp("pager", enabled_id(2))]
    assert len(world.pings) == 2


def test_a_ping_that_deliver_never_sent_counts_as_failed_in_the_end(world: World) -> None:
    world.results = [None, DELIVERED]
    world.run()
    assert len({ping.delivery_id for _, ping in world.pings}) == 2
    assert found().state == "enabled"


def test_copies_of_a_check_multiplied_from_step_to_step(world: World) -> None:
    arriving = [FIRST]
    for _ in range(12):
        world.clock.move(900)
        for check in arriving * 2:  # each comes twice
            step(check, world.deps())
        arriving = [check for check, _ in world.chain]
        world.chain.clear()
        assert len(arriving) == 1
    assert len(world.telemetry.logged("duplicate message dropped: its recovery checks have gone on")) == 12


def test_a_check_whose_next_message_was_not_noted_is_sent_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(circuits, "note_chain", failing)
        with pytest.raises(UpdateError):
            step(FIRST, world.deps())
    world.clock.move(360)
    step(FIRST, world.deps())
    assert [check for check, _ in world.chain] == [FIRST, FIRST]


def failing(app_id: str, until: float) -> None:
    raise UpdateError("the table does not respond")


def test_a_check_that_was_sent_by_a_worker_which_then_froze_was_taken_for_a_copy(world: World) -> None:
    def send_and_freeze(check: Any, delay: int) -> None:
        world.send(check, delay)
        world.clock.move(60)

    step(FIRST, replace(world.deps(), send_later=send_and_freeze))
    [(following, delay)] = world.chain
    world.clock.move(delay - 60)
    step(following, world.deps())
    assert len(world.pings) == 1


def test_a_step_that_was_repeated_later_pinged_under_the_same_id_with_other_bytes(world: World) -> None:
    world.clock.move(900)
    for _ in range(3):
        step(replace(FIRST, due=world.clock().timestamp()), world.deps())
        world.clock.move(60)
    assert len({(ping.delivery_id, ping.body) for _, ping in world.pings}) == 1


@pytest.mark.parametrize(
    "changes",
    [{"state": "enabled", "generation": 3}, {"generation": 4}, {"auto_enable": False}, {"auto_enable": None}],
)
def test_checks_end_when_the_app_was_switched_on_or_asks_for_none_any_more(
    world: World, changes: dict[str, Any]
) -> None:
    settings: dict[str, Any] = {"state": "disabled", "generation": 2, "auto_enable": True}
    app(**settings | changes).save()
    world.run()
    assert world.pings == []


def test_a_worker_that_died_before_it_announced_the_switching_on_is_made_up_for(world: World) -> None:
    world.results = [DELIVERED]

    def crash(_: FollowUp) -> None:
        raise ConnectionError("the queue does not respond")

    world.clock.move(900)
    step(FIRST, world.deps())
    [(check, delay)] = world.chain
    world.clock.move(delay)
    broken = replace(world.deps(), announce=crash)
    with pytest.raises(ConnectionError):
        step(check, broken)
    assert found().state == "enabled"
    step(check, world.deps())
    step(check, world.deps())
    assert world.announced == [FollowUp("pager", enabled_id(2))]


def test_an_operator_who_switches_the_app_first_ends_the_checks(world: World) -> None:
    world.results = [DELIVERED]
    world.clock.move(900)
    step(FIRST, world.deps())
    [(check, _)] = world.chain
    app(generation=3).save()
    step(check, world.deps())
    assert [e.transition_id for e in AuditEntry.query("pager")] == [disabled_id(1)]
