"""Probing an app that is off: at growing intervals, until its endpoint answers 2xx."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from bellhop import attempts, tables
from bellhop.attempts import DELIVERED, STOPPED, Attempt, NextState
from bellhop.deliveries import Delivery
from bellhop.registry import App, AuditEntry
from health import messages, transitions
from health.messages import FollowUp, Probe
from health.recovery import RecoveryDependencies, begin, interval, step
from health.transitions import disabled_entry, enabled_entry
from tests.support.endpoint import Clock
from tests.support.fakes import NOW, Recorder, app, organization
from tests.support.ses import ADA, disabled

START = NOW.timestamp()
FIRST = Probe("pager", 2, START, START + 900)


@dataclass
class World:
    """A chain of probes; `answers` are the states of the pings' records, None where deliver made none."""

    answers: list[str | None] = field(default_factory=list)
    pings: list[tuple[float, Delivery]] = field(default_factory=list)
    chain: list[tuple[Probe, int]] = field(default_factory=list)
    announced: list[FollowUp] = field(default_factory=list)
    clock: Clock = field(default_factory=Clock)
    telemetry: Recorder = field(default_factory=Recorder)

    def deps(self) -> RecoveryDependencies:
        switching = transitions.TransitionDependencies(
            tables.connect(), self.announced.append, self.telemetry, self.clock
        )
        return RecoveryDependencies(self.ping, self.send, 30.0, switching, self.telemetry, self.clock)

    def send(self, probe: Probe, delay: int) -> None:
        assert 1 <= delay <= 900
        self.chain.append((probe, delay))

    def ping(self, ping: Delivery) -> None:
        self.pings.append((self.clock().timestamp() - START, ping))
        state = self.answers.pop(0) if self.answers else STOPPED
        if state:
            made = Attempt(1, self.clock(), 12, "r", "http_200" if state == DELIVERED else "http_500", 200)
            attempts.open_record(ping, NextState(state, attempt=made), self.clock())

    def run(self, probe: Probe = FIRST, hours: float = 1000) -> None:
        self.chain.append((probe, 0))
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
    ("rule", "hours", "number"), [("probe", 23, 5), ("probe", 25, 1), ("operator", 1, 1), (None, 0, 1)]
)
def test_where_a_probe_switched_on_in_vain_the_intervals_go_on_growing(
    world: World, rule: str | None, hours: int, number: int
) -> None:
    if rule:
        at = (NOW - timedelta(hours=hours)).isoformat(timespec="seconds")
        shown = {"rule": rule, "probe": 4}
        disabled(enabled_entry(2), action="app.enabled", at=at, evidence=shown).save()
    assert begin("pager", 4, START) == Probe("pager", 4, START, START + interval(number), number)


def test_an_endpoint_that_stays_broken_is_pinged_more_and_more_rarely_and_given_up_after_a_month(
    world: World,
) -> None:
    world.run()
    at = [when for when, _ in world.pings]
    gaps = [round((b - a) / 900) for a, b in pairwise(at)]
    assert gaps[:7] == [2, 4, 8, 16, 32, 64, 96]
    assert at[-1] <= 30 * 86_400 < at[-1] + 2 * 86_400
    assert found().state == "disabled"
    assert world.telemetry.said("probing given up")


def test_an_endpoint_that_answers_is_switched_on_and_its_owners_are_told(world: World) -> None:
    world.answers = [STOPPED, DELIVERED]
    world.run()
    assert (found().state, found().generation) == ("enabled", 3)
    [entry] = [e for e in AuditEntry.query("pager") if e.action == "app.enabled"]
    assert (entry.actor, dict(entry.mails.attribute_values)) == ("probe", {ADA: "pending"})
    assert entry.evidence["response"] == {"status": 200, "ms": 12}
    assert entry.evidence["off_since"] == "2026-11-23T12:00:00+00:00"
    assert entry.evidence["replay"] == {"states": ["parked"]}
    assert world.announced == [FollowUp("pager", enabled_entry(2))]
    assert len(world.pings) == 2


def test_a_ping_that_deliver_never_made_counts_as_failed_in_the_end(world: World) -> None:
    world.answers = [None, DELIVERED]
    world.run()
    assert len({ping.delivery_id for _, ping in world.pings}) == 2
    assert found().state == "enabled"


def test_a_step_that_is_repeated_pings_under_the_same_id(world: World) -> None:
    world.clock.move(900)
    for _ in range(3):
        step(FIRST, world.deps())
    assert len({ping.delivery_id for _, ping in world.pings}) == 1


@pytest.mark.parametrize(
    "changes",
    [{"state": "enabled", "generation": 3}, {"generation": 4}, {"auto_enable": False}, {"auto_enable": None}],
)
def test_probing_ends_when_the_app_was_switched_on_or_wants_no_probes_any_more(
    world: World, changes: dict[str, Any]
) -> None:
    app(**{"state": "disabled", "generation": 2, "auto_enable": True} | changes).save()
    world.run()
    assert world.pings == []


def test_a_worker_that_died_before_it_announced_the_switching_on_is_made_up_for(world: World) -> None:
    world.answers = [DELIVERED]

    def crash(_: FollowUp) -> None:
        raise ConnectionError("the queue does not respond")

    world.clock.move(900)
    step(FIRST, world.deps())
    [(look, delay)] = world.chain
    world.clock.move(delay)
    broken = replace(world.deps(), transitions=replace(world.deps().transitions, announce=crash))
    with pytest.raises(ConnectionError):
        step(look, broken)
    assert found().state == "enabled"
    step(look, world.deps())
    step(look, world.deps())
    assert world.announced == [FollowUp("pager", enabled_entry(2))]


def test_an_operator_who_is_quicker_ends_the_probing(world: World) -> None:
    world.answers = [DELIVERED]
    world.clock.move(900)
    step(FIRST, world.deps())
    [(look, _)] = world.chain
    app(generation=3).save()
    step(look, world.deps())
    assert [e.entry for e in AuditEntry.query("pager")] == [disabled_entry(1)]
