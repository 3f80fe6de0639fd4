"""What follows a transition happens once, whatever fails or dies in between."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pytest
from pynamodb.exceptions import GetError

from bellhop import circuits
from bellhop.budget import OutOfBudgetError
from bellhop.bus import Bus
from bellhop.newer import UnknownKindError
from bellhop.registry import App, AuditEntry
from bellhop.replays import Replay
from health import follow_up, recovery
from health.dependencies import HealthDependencies
from health.follow_up import FollowUpError
from health.messages import FollowUp, RecoveryCheck
from health.transitions import deletion, enabled_id
from tests.support.endpoint import Clock
from tests.support.fakes import NOW, Recorder, app, organization
from tests.support.health import health_dependencies
from tests.support.ses import ADA, BOB, TRANSITION_ID, Ses, disabled, entry, mails, refusal

if TYPE_CHECKING:
    from mypy_boto3_events import EventBridgeClient

OFF = FollowUp("pager", TRANSITION_ID)
ON = FollowUp("pager", enabled_id(2))
WARNED = FollowUp("pager", "00000001#warned#acme#timeouts#1#2026-11-23")
LEASE = 60.0


@dataclass
class Events:
    """A bus that takes events unless it is told to fail."""

    taken: list[dict[str, Any]] = field(default_factory=list)
    fails: bool = False

    def put_events(self, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        if self.fails:
            return {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "InternalFailure"}]}
        self.taken += Entries
        return {"FailedEntryCount": 0, "Entries": []}


@dataclass
class World:
    """Everything that a follow-up uses."""

    ses: Ses = field(default_factory=Ses)
    events: Events = field(default_factory=Events)
    sent: list[tuple[Replay | RecoveryCheck, int]] = field(default_factory=list)
    telemetry: Recorder = field(default_factory=Recorder)
    clock: Clock = field(default_factory=Clock)

    def deps(self) -> HealthDependencies:
        return health_dependencies(
            bus=Bus(lambda: cast("EventBridgeClient", self.events), "default"),
            ses=self.ses,
            send_later=lambda message, delay: self.sent.append((message, delay)),
            lease_seconds=LEASE,
            telemetry=self.telemetry,
            now=self.clock,
        )

    def replays(self) -> list[Replay]:
        return [message for message, _ in self.sent if isinstance(message, Replay)]

    def work(self, message: FollowUp = OFF) -> None:
        follow_up.follow_up(message, self.deps())

    def kinds(self) -> list[str]:
        return [event["DetailType"] for event in self.events.taken]


@pytest.fixture
def world(aws: None) -> World:
    app(state="disabled", generation=2).save()
    organization().save()
    disabled().save()
    return World()


def test_a_switching_off_is_published_and_mailed_once(world: World) -> None:
    for _ in range(10):
        world.work()
    assert world.kinds() == ["bellhop.app.disabled"]
    assert world.ses.recipients() == [ADA, BOB]
    assert entry().finished_at
    assert world.sent == []


def test_a_message_for_an_entry_that_is_not_there_is_done(world: World) -> None:
    world.work(FollowUp("pager", "nothing"))
    assert (world.kinds(), world.ses.sent) == ([], [])


def test_an_outage_of_ses_does_not_delay_the_event_and_the_mail_follows(world: World) -> None:
    world.ses.fail = refusal()
    for _ in range(5):
        with pytest.raises(FollowUpError, match="mail"):
            world.work()
    assert world.kinds() == ["bellhop.app.disabled"]
    assert not entry().finished_at
    world.ses.fail = None
    world.work()
    assert world.ses.recipients() == [ADA, BOB]
    assert world.kinds() == ["bellhop.app.disabled"]


def test_an_outage_of_the_bus_does_not_delay_the_mail_and_the_event_follows(world: World) -> None:
    world.events.fails = True
    with pytest.raises(FollowUpError, match="event"):
        world.work()
    assert world.ses.recipients() == [ADA, BOB]
    world.events.fails = False
    world.work()
    assert world.kinds() == ["bellhop.app.disabled"]
    assert world.ses.recipients() == [ADA, BOB]


def test_a_bus_that_stopped_responding_in_this_invocation_does_not_delay_the_mail(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: Any) -> None:
        raise OutOfBudgetError("events.PutEvents has stopped responding in this invocation")

    monkeypatch.setattr(world.events, "put_events", refuse)
    with pytest.raises(FollowUpError, match="event"):
        world.work()
    assert world.ses.recipients() == [ADA, BOB]
    assert entry().lease_until is None


def test_a_lease_whose_response_was_lost_is_known_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    update, lost = AuditEntry.update, [True]

    def twice(entry: AuditEntry, **change: Any) -> Any:
        if lost and lost.pop():
            update(entry, **change)  # the response is lost, and the SDK writes a second time
        return update(entry, **change)

    monkeypatch.setattr(AuditEntry, "update", twice)
    world.work()
    assert entry().finished_at
    assert mails() == {ADA: "sent", BOB: "sent"}


def test_a_table_that_fails_in_one_step_does_not_delay_the_others_and_frees_the_entry(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> RecoveryCheck:
        raise GetError("the table does not respond")

    app(state="disabled", generation=2, auto_enable=True).save()
    with monkeypatch.context() as fault:
        fault.setattr(recovery, "first_check", broken)
        with pytest.raises(FollowUpError, match="recovery_check"):
            world.work()
    assert world.ses.recipients() == [ADA, BOB]
    world.work()
    assert [type(message) for message, _ in world.sent] == [RecoveryCheck]
    assert entry().finished_at


def test_twenty_workers_at_once_mail_each_owner_once(world: World) -> None:
    world.work(FollowUp("pager", "nothing"))  # opens the connection before the threads share it
    start = threading.Barrier(20)

    def work(_: int) -> None:
        start.wait()
        with suppress(FollowUpError):  # another has it: the message comes back
            world.work()

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(work, range(20)))
    assert sorted(world.ses.recipients()) == [ADA, BOB]
    assert world.kinds() == ["bellhop.app.disabled"]
    assert mails() == {ADA: "sent", BOB: "sent"}
    assert "MailUnknown" not in world.telemetry.counts


class DeathError(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("fatal", range(1, 12))
def test_a_worker_that_dies_at_any_effect_costs_no_owner_a_second_mail_and_hides_none(
    world: World, monkeypatch: pytest.MonkeyPatch, fatal: int, after: bool
) -> None:
    effects = 0

    def dangerous(act: Callable[..., Any]) -> Callable[..., Any]:
        def effect(*args: Any, **kwargs: Any) -> Any:
            nonlocal effects
            effects += 1
            here = effects == fatal
            if here and not after:
                raise DeathError
            result = act(*args, **kwargs)
            if here:
                raise DeathError
            return result

        return effect

    monkeypatch.setattr(AuditEntry, "update", dangerous(AuditEntry.update))
    monkeypatch.setattr(world.ses, "send_email", dangerous(world.ses.send_email))
    monkeypatch.setattr(world.events, "put_events", dangerous(world.events.put_events))
    for _ in range(3):
        try:
            world.work()
        except DeathError:
            world.clock.move(LEASE * 6)
    assert entry().finished_at
    assert set(world.kinds()) == {"bellhop.app.disabled"}
    recipients = world.ses.recipients()
    assert len(recipients) == len(set(recipients))
    for owner, state in mails().items():
        assert state == "sent" or (state == "unknown" and world.telemetry.counts["MailUnknown"] >= 1)
        assert state == "unknown" or owner in recipients


def test_while_one_worker_follows_up_another_leaves_it_alone(world: World) -> None:
    entry().update(
        actions=[AuditEntry.lease_until.set(NOW.timestamp() + 1), AuditEntry.mails.set({ADA: "sending"})]
    )
    with pytest.raises(FollowUpError, match="another worker"):
        world.work()
    assert mails() == {ADA: "sending"}
    world.clock.move(2)
    world.work()
    assert mails() == {ADA: "unknown"}


def test_an_app_that_asks_for_recovery_checks_gets_the_first_a_quarter_of_an_hour_later(world: World) -> None:
    app(state="disabled", generation=2, auto_enable=True).save()
    world.work()
    now = NOW.timestamp()
    assert world.sent == [(RecoveryCheck("pager", 2, now, now + 900), 900)]


def test_an_app_that_a_person_switched_off_gets_no_recovery_checks(world: World) -> None:
    app(state="disabled", generation=2, auto_enable=True).save()
    disabled(evidence=disabled().evidence | {"rule": "operator", "reason": "it floods us"}).save()
    world.work()
    assert world.sent == []
    assert world.ses.recipients() == [ADA, BOB]


def switched_on(replay: dict[str, Any] | None) -> None:
    app(generation=3).save()
    evidence: dict[str, Any] = {
        "rule": "operator",
        "url": "https://hooks.example/in",
        "days": [],
        "replay": replay,
    }
    disabled(ON.transition_id, action="app.enabled", evidence=evidence, mails={}).save()


def test_a_switching_on_replays_what_was_parked_and_mails_nobody(world: World) -> None:
    switched_on({"states": ["parked"]})
    world.work(ON)
    now = NOW.timestamp()
    assert world.sent == [(Replay("pager", 3, ("parked",), 10.0, now + 90, now), 0)]
    assert (world.kinds(), world.ses.sent) == (["bellhop.app.enabled"], [])


def test_a_replay_goes_at_the_rate_that_was_asked_for_or_not_at_all(world: World) -> None:
    switched_on({"states": ["parked", "exhausted"], "rate": 200})
    world.work(ON)
    assert [(m.rate, m.states) for m in world.replays()] == [(200.0, ("parked", "exhausted"))]
    world.sent.clear()
    switched_on(None)
    world.work(ON)
    assert world.sent == []


def warning() -> None:
    app(generation=1).save()
    told = {"level": 1, "reached": 500, "limit": 1000}
    disabled(WARNED.transition_id, action="app.warned", evidence=disabled().evidence | {"warning": told}).save()


def test_a_warning_is_published_and_mailed(world: World) -> None:
    warning()
    world.work(WARNED)
    assert world.kinds() == ["bellhop.app.warned"]
    assert world.ses.recipients() == [ADA, BOB]
    assert ("List-Unsubscribe" in str(world.ses.sent[0])) is True


def test_a_warning_is_not_mailed_once_the_app_has_been_switched_off(world: World) -> None:
    warning()
    App("pager").update(actions=[App.generation.set(2), App.state.set("disabled")])
    world.work(WARNED)
    assert world.ses.sent == []
    assert entry(WARNED.transition_id).finished_at
    assert mails(WARNED.transition_id) == {ADA: "skipped", BOB: "skipped"}


def test_a_warning_at_which_a_worker_died_was_on_its_way_for_ever_once_the_app_had_been_switched_off(
    world: World,
) -> None:
    warning()
    AuditEntry("pager", WARNED.transition_id).update(
        actions=[AuditEntry.mails.set({ADA: "sending", BOB: "pending"})]
    )
    App("pager").update(actions=[App.generation.set(2), App.state.set("disabled")])
    world.work(WARNED)
    assert mails(WARNED.transition_id) == {ADA: "unknown", BOB: "skipped"}
    assert world.telemetry.counts["MailUnknown"] == 1


def test_a_transition_of_a_newer_version_waits_without_a_lease(world: World) -> None:
    disabled(action="app.from_tomorrow").save()
    with pytest.raises(UnknownKindError, match="from_tomorrow"):
        world.work()
    assert entry().lease_until is None
    assert (world.kinds(), world.ses.sent) == ([], [])


def test_an_app_that_was_deleted_meanwhile_ends_the_follow_up(world: World) -> None:
    App("pager").delete()
    world.work()
    assert world.ses.sent == []
    assert entry().finished_at


def test_what_is_parked_of_a_deleted_app_is_ended_once_no_process_knows_the_app(world: World) -> None:
    App("pager").delete()
    deletion(app(generation=1), "operator:ann", NOW).save()
    world.work(FollowUp("pager", "00000001#deleted"))
    then = NOW.timestamp() + 90
    assert world.sent == [(Replay("pager", 2, ("parked",), 10.0, then, then), 90)]
    assert (world.kinds(), world.ses.sent) == (["bellhop.app.deleted"], [])
    assert entry("00000001#deleted").finished_at


def test_a_stop_by_a_clock_that_is_ahead_does_not_end_what_a_deletion_begins(world: World) -> None:
    App("pager").delete()
    deletion(app(generation=1), "operator:ann", NOW).save()
    circuits.stop_replays("pager", NOW.timestamp() + 200)
    world.work(FollowUp("pager", "00000001#deleted"))
    assert [replay.started for replay in world.replays()] == [NOW.timestamp() + 200.001]
