"""The sweep of apps: whatever goes on by messages begins anew once its message is lost, and not before."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from bellhop import attempts, circuits, deliveries
from bellhop.attempts import PARKED, NextState
from bellhop.budget import OutOfBudgetError
from bellhop.circuits import Circuit
from bellhop.deliveries import Trial
from bellhop.index_keys import all_keys
from bellhop.queues import OutgoingMessage
from bellhop.registry import KINDS, App, AuditEntry
from bellhop.replays import Replay
from health import messages, recovery
from health.dependencies import HealthDependencies
from health.messages import AppSweep, FollowUp, RecoveryCheck
from health.recovery import interval
from health.sweep import apps
from health.sweep.apps import PAGE
from health.transitions import disabled_id, enabled_id, registration
from tests.docs import capacity
from tests.support.damage import damage
from tests.support.endpoint import Clock
from tests.support.fakes import NOW, Recorder, app, delivery
from tests.support.health import health_dependencies
from tests.support.ses import disabled

START = NOW.timestamp()
OVERDUE = 7200.0
HOURS = 3600.0
LONG_AGO = START - OVERDUE - 1
OLD = (NOW - timedelta(hours=5)).isoformat(timespec="seconds")


@dataclass
class World:
    """What health sends; Retries refuses everything while it `refuses`."""

    refuses: bool = False
    retries: list[OutgoingMessage] = field(default_factory=list)
    later: list[tuple[messages.OwnMessage, int]] = field(default_factory=list)
    announced: list[FollowUp] = field(default_factory=list)
    clock: Clock = field(default_factory=Clock)
    telemetry: Recorder = field(default_factory=Recorder)

    def deps(self) -> HealthDependencies:
        return health_dependencies(
            retry=self.take,
            send_later=lambda message, delay: self.later.append((message, delay)),
            announce=self.announced.append,
            overdue_seconds=OVERDUE,
            telemetry=self.telemetry,
            now=self.clock,
        )

    def take(self, offered: Sequence[OutgoingMessage]) -> set[int]:
        self.retries += [] if self.refuses else offered
        return set(range(len(offered))) if self.refuses else set()

    def run(self) -> None:
        """A whole sweep, without what it sends."""
        waiting: list[messages.OwnMessage] = [AppSweep()]
        while waiting:
            sweep = messages.decode(messages.encode(waiting.pop()))
            assert isinstance(sweep, AppSweep)
            apps.step(sweep, self.deps())
            waiting += [message for message, _ in self.later if isinstance(message, AppSweep)]
            self.later = [sent for sent in self.later if not isinstance(sent[0], AppSweep)]

    def hours(self, number: int) -> None:
        """So many sweeps, one an hour."""
        for _ in range(number):
            self.clock.move(HOURS)
            self.run()

    def trials(self) -> list[Any]:
        return [deliveries.decode(message.body) for message in self.retries]

    def sent(self, kind: type[Any]) -> list[Any]:
        return [message for message, _ in self.later if isinstance(message, kind)]

    def found(self) -> int:
        return self.telemetry.counts.get("SweepFound", 0)


@pytest.fixture
def world(aws: None) -> World:
    return World()


def park(at: float = LONG_AGO, number: int = 0) -> str:
    name = f"msg_{number:032d}"
    moment = NOW + timedelta(seconds=at - START)
    assert attempts.open_record(delivery(delivery_id=name), NextState(PARKED), moment)
    return name


def switched_on(at: str = OLD, **evidence: Any) -> AuditEntry:
    shown = {"rule": "operator", "days": [], "replay": {"states": ["parked"], "rate": None}} | evidence
    return disabled(
        enabled_id(2), action="app.enabled", at=at, announced_at=at, finished_at=at, mails={}, evidence=shown
    )


# ---- All of them


def test_the_apps_of_every_kind_are_looked_at_in_pages(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"app-{number:03d}" for number in range(2 * PAGE + 10)]
    for number, name in enumerate(names):
        app(name, kind=KINDS[number % 2] if number > PAGE else KINDS[2]).save()
    seen: list[str] = []
    monkeypatch.setattr(apps, "_look_at", lambda app_id, deps: seen.append(app_id))
    world.run()
    assert sorted(seen) == names


def test_a_fault_with_one_app_does_not_keep_the_sweep_from_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_at, seen = apps._look_at, []

    def faulty(app_id: str, deps: HealthDependencies) -> None:
        if app_id == "chat":
            raise OSError("a table does not respond")
        seen.append(app_id)
        look_at(app_id, deps)

    monkeypatch.setattr(apps, "_look_at", faulty)
    for name in ("alert", "chat", "pager"):
        app(name).save()
    world.run()
    assert seen == ["alert", "pager"]
    assert world.telemetry.logged("app not swept: the next sweep looks at it again") == [{"app_id": "chat"}]


def test_an_apps_row_that_cannot_be_read_ended_the_sweep_of_all_others(world: World) -> None:
    for name in ("chat", "pager"):
        app(name).save()
        disabled(name)
    damage(App, "chat", "name")
    world.run()
    assert world.telemetry.logged("app not swept: the next sweep looks at it again") == [{"app_id": "chat"}]


def test_when_the_time_is_up_the_page_comes_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def late(app_id: str, deps: HealthDependencies) -> None:
        raise OutOfBudgetError("no time left")

    monkeypatch.setattr(apps, "_look_at", late)
    app().save()
    with pytest.raises(OutOfBudgetError):
        world.run()
    assert world.later == []


def test_a_well_app_is_left_alone(world: World) -> None:
    app(generation=3).save()
    switched_on().save()
    world.hours(48)
    assert (world.retries, world.later, world.announced, world.telemetry.lines) == ([], [], [], [])


# ---- Trials


def test_a_pause_whose_trial_was_lost_gets_it_again(world: World) -> None:
    app(generation=3).save()
    circuits.open_circuit("pager", 3, LONG_AGO - 60, LONG_AGO)
    Circuit("pager").update(actions=[Circuit.trials.set(4)])
    world.run()
    assert world.trials() == [Trial("pager", 3, 4)]
    assert circuits.claim_trial("pager", 3, 4, "worker", now=START, seconds=30)
    assert world.telemetry.logged("trial sent again: it is overdue, and its message is lost or hours late")


def test_a_trial_is_sent_again_once_and_if_that_is_lost_too_once_more_hours_later(world: World) -> None:
    app().save()
    circuits.open_circuit("pager", 1, LONG_AGO - 60, LONG_AGO)
    world.run()
    world.hours(2)
    assert len(world.retries) == 1
    world.hours(1)
    assert (len(world.retries), world.found()) == (2, 2)


def test_a_trial_that_is_due_or_being_made_is_left_alone(world: World) -> None:
    app().save()
    circuits.open_circuit("pager", 1, START - 900, START - 600)
    app("chat").save()
    circuits.open_circuit("chat", 1, LONG_AGO - 60, LONG_AGO)
    assert circuits.claim_trial("chat", 1, 0, "worker", now=START, seconds=30)
    world.run()
    assert world.retries == []


def test_a_trial_that_sqs_refuses_is_sent_by_the_next_sweep(world: World) -> None:
    app().save()
    circuits.open_circuit("pager", 1, LONG_AGO - 60, LONG_AGO)
    world.refuses = True
    world.run()
    assert (world.retries, world.found()) == ([], 0)
    world.refuses = False
    world.hours(1)
    assert len(world.retries) == 1


# ---- Releases


def released(ended: float = LONG_AGO) -> None:
    """A pause that ended then, and a release of which one delivery is still parked."""
    app().save()
    circuits.open_circuit("pager", 1, ended - 60, ended)
    assert circuits.claim_trial("pager", 1, 0, "worker", now=ended, seconds=30)
    assert circuits.close_circuit("pager", "worker", ended)


def test_what_is_parked_after_a_pause_is_released_once_its_release_is_lost(world: World) -> None:
    released()
    name = park()
    world.run()  # a release of the version before may go on
    assert world.later == []
    world.hours(3)
    [release] = world.sent(Replay)
    now = world.clock().timestamp()
    assert release == Replay("pager", 1, (PARKED,), 10.0, now + 90, now)
    [line] = world.telemetry.logged(
        "release begun anew: the app is on, deliveries of it are still parked, and no release goes on"
    )
    assert line == {"app_id": "pager", "delivery_id": name}


def test_a_release_that_goes_on_is_not_begun_anew_however_long_it_takes(world: World) -> None:
    released()
    park()
    for _ in range(48):
        circuits.note_chain("pager", world.clock().timestamp() + 900 + OVERDUE)
        world.hours(1)
    assert world.later == []


def test_a_release_that_a_person_stopped_is_not_begun_anew_until_another_follows_a_pause(world: World) -> None:
    released()
    park()
    circuits.stop_replays("pager", float(circuits.load("pager").closed_at or 0) + 60)
    world.hours(24)
    assert world.later == []
    circuits.stop_replays("pager", float(circuits.load("pager").closed_at or 0) - 60)
    world.hours(7)
    assert world.sent(Replay)


def test_a_release_that_is_begun_anew_and_lost_again_is_begun_once_more(world: World) -> None:
    released()
    park()
    world.hours(7)
    assert len(world.sent(Replay)) == 2


def test_a_delivery_of_a_release_that_is_deferred_by_its_apps_rate_is_left_alone(world: World) -> None:
    released()
    name = park()
    attempts.DeliveryRecord(name).update(actions=[attempts.DeliveryRecord.next_attempt_at.set(START + 72 * HOURS)])
    world.hours(24)
    assert world.later == []


def test_a_delivery_that_was_parked_just_now_is_left_alone(world: World) -> None:
    released()
    park(START)
    world.hours(2)
    assert world.later == []


def test_what_is_parked_under_a_further_key_is_found_too(world: World) -> None:
    released()
    name = park()
    attempts.DeliveryRecord(name).update(actions=[attempts.DeliveryRecord.replayable_for.set("pager#9")])
    world.hours(4)
    assert len(world.sent(Replay)) == 1


def test_a_well_app_is_three_reads_and_one_that_was_off_or_paused_lately_one_more_for_each_key(
    world: World, dynamodb_calls: list[str]
) -> None:
    def reads() -> int:
        before = len(dynamodb_calls)
        apps._look_at("pager", world.deps())
        return len(dynamodb_calls) - before

    app().save()
    assert reads() == capacity.READS_OF_AN_APP
    released()
    assert reads() == capacity.READS_OF_AN_APP + len(all_keys("pager"))
    world.clock.move(31 * 24 * HOURS)
    assert reads() == capacity.READS_OF_AN_APP
    switched_on(at=world.clock().isoformat()).save()
    assert reads() == capacity.READS_OF_AN_APP + len(all_keys("pager"))


def test_a_replay_that_was_begun_after_a_stop_and_is_lost_is_begun_anew(world: World) -> None:
    released()
    park()
    ended = float(circuits.load("pager").closed_at or 0)
    circuits.stop_replays("pager", ended + 60)
    circuits.note_replay("pager", ended + 180, ended + 120, 100, 10.0)
    world.hours(24)
    assert world.sent(Replay)


def test_a_stop_by_a_clock_that_is_ahead_does_not_end_the_release_that_the_sweep_begins(world: World) -> None:
    released()
    park()
    world.hours(3)
    ahead = world.clock().timestamp() + 240
    circuits.stop_replays("pager", ahead)
    circuits.note_replay("pager", LONG_AGO + 1, ahead + 1, 100, 10.0)
    world.later.clear()
    world.hours(8)
    began = [replay.started for replay in world.sent(Replay)]
    assert began
    assert min(began) > ahead


def test_after_a_switching_on_a_stop_holds_too(world: World) -> None:
    app(generation=3).save()
    entry = switched_on(replay={"states": ["parked"], "rate": 2.5})
    entry.save()
    park()
    circuits.stop_replays("pager", datetime.fromisoformat(entry.at).timestamp() + 60)
    world.hours(24)
    assert world.sent(Replay) == []


def test_after_a_switching_on_it_is_released_at_the_rate_that_was_asked_for(world: World) -> None:
    app(generation=3).save()
    switched_on(replay={"states": ["parked"], "rate": 2.5}).save()
    park()
    world.hours(4)
    [release] = world.sent(Replay)
    assert (release.generation, release.rate) == (3, 2.5)


def test_what_was_parked_of_an_app_that_was_deleted_and_registered_again_waited_for_ever(world: World) -> None:
    disabled().save()
    park()
    again = app()
    registration(again, "operator", datetime.fromisoformat(OLD)).save()
    again.save()
    world.hours(4)
    [release] = world.sent(Replay)
    assert (release.generation, release.states) == (int(again.generation), ("parked",))


@pytest.mark.parametrize("replay", [None, {"states": ["exhausted"], "rate": None}])
def test_what_a_person_did_not_want_replayed_stays_parked(world: World, replay: Any) -> None:
    app(generation=3).save()
    switched_on(replay=replay).save()
    park()
    world.hours(48)
    assert world.later == []


def test_what_is_parked_of_an_app_that_is_paused_or_off_waits_for_that_to_end(world: World) -> None:
    app().save()
    circuits.open_circuit("pager", 1, LONG_AGO - 60, START + 1e6)
    park()
    world.hours(24)
    app(state="disabled", generation=2).save()
    world.hours(24)
    assert world.sent(Replay) == []


# ---- Follow-ups


def test_a_follow_up_that_was_never_finished_is_announced_again(world: World) -> None:
    app(state="disabled", generation=2).save()
    disabled(at=OLD, announced_at=OLD).save()
    world.run()
    world.hours(2)
    assert world.announced == [FollowUp("pager", disabled_id(1))]
    world.hours(1)
    assert len(world.announced) == 2


def test_one_that_was_announced_lately_or_is_being_done_or_is_finished_is_left_alone(world: World) -> None:
    app(state="disabled", generation=4).save()
    disabled(disabled_id(1), at=OLD, announced_at=NOW.isoformat()).save()
    disabled(enabled_id(2), at=OLD, announced_at=OLD, lease_until=START + 60).save()
    disabled(disabled_id(3), at=OLD, announced_at=OLD, finished_at=OLD).save()
    world.run()
    assert world.announced == []


def test_a_newer_versions_transition_is_left_to_it(world: World) -> None:
    app(state="disabled", generation=2).save()
    disabled(at=OLD, announced_at=OLD, action="app.from_tomorrow").save()
    world.run()
    assert (world.announced, world.telemetry.lines) == ([], [])


# ---- Recovery checks


def switched_off(**changes: Any) -> None:
    app(state="disabled", generation=2, auto_enable=True).save()
    disabled(**{"at": OLD, "announced_at": OLD, "finished_at": OLD} | changes).save()


def test_recovery_checks_that_were_lost_go_on_with_the_check_that_would_be_next(world: World) -> None:
    switched_off()
    world.run()  # those of the version before may go on
    assert world.later == []
    world.hours(3)
    [(check, delay)] = world.later
    since = START - 5 * HOURS
    assert isinstance(check, RecoveryCheck)
    assert (check.app_id, check.generation, check.since, check.number) == ("pager", 2, since, 6)
    assert check.due == since + sum(map(interval, range(1, 7)))
    assert delay == 900


def test_recovery_checks_that_go_on_are_left_alone(world: World) -> None:
    switched_off()
    deps = replace(world.deps(), ping=lambda _: None)
    check = RecoveryCheck("pager", 2, START - 5 * HOURS, START + 1e6)
    for _ in range(24):
        recovery.step(check, deps)
        world.later.clear()
        world.hours(1)
        assert world.later == []


@pytest.mark.parametrize(
    "changes",
    [
        {"evidence": {"rule": "operator", "days": []}},
        {"finished_at": None, "announced_at": NOW.isoformat()},
        {"at": (NOW - timedelta(days=31)).isoformat(timespec="seconds")},
    ],
)
def test_where_none_are_due_none_begin(world: World, changes: dict[str, Any]) -> None:
    switched_off(**changes)
    circuits.note_chain("pager", LONG_AGO)
    world.run()
    assert world.sent(RecoveryCheck) == []


def test_an_app_that_does_not_ask_for_them_gets_none(world: World) -> None:
    switched_off()
    App("pager").update(actions=[App.auto_enable.set(False)])
    world.hours(24)
    assert world.later == []
