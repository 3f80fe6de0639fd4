"""The sweep of apps: trials, releases, follow-ups and recovery checks whose messages are lost begin anew."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from bellhop import app_lists, attempts, circuits, deliveries, queues, registry, replays
from bellhop.attempts import KEPT, PARKED, DeliveryRecord
from bellhop.budget import OutOfBudgetError
from bellhop.circuits import Circuit
from bellhop.deliveries import Trial
from bellhop.newer import UnknownKindError
from bellhop.queues import OutgoingMessage
from bellhop.registry import DISABLED, KINDS, App, AuditEntry, find
from health import follow_up, recovery, transitions
from health.dependencies import HealthDependencies
from health.messages import AppSweep

PAGE = 50  # apps
ENTRIES = 10  # of an app's transitions, the newest
PARKED_ROWS = 10  # of an app, the oldest: a newer version may have put others before


def step(message: AppSweep, deps: HealthDependencies) -> None:
    """Look at a page of apps, and send the message for the next one.

    Policy: what fails for one app does not stop the others; the next sweep looks at it again. If the time is up,
    the message comes back.
    """
    page = registry.directory(message.app_kind, message.after, PAGE)
    for row in page:
        try:
            _look_at(row.app_id, deps)
        except OutOfBudgetError:
            raise
        except Exception:  # noqa: BLE001 - see the policy
            deps.telemetry.error("app not swept: the next sweep looks at it again", app_id=row.app_id)
    following = _following(message, page)
    if following:
        deps.send_later(following, 0)


def _following(message: AppSweep, page: Sequence[App]) -> AppSweep | None:
    if len(page) == PAGE:
        return AppSweep(message.app_kind, page[-1].app_id)
    later = KINDS[KINDS.index(message.app_kind) + 1 :]
    return AppSweep(later[0]) if later else None


def _look_at(app_id: str, deps: HealthDependencies) -> None:
    app = find(App, app_id)
    if app is None:
        return
    entries = list(AuditEntry.query(app_id, scan_index_forward=False, limit=ENTRIES))
    _announce_again(entries, deps)
    circuit = circuits.load(app_id, consistent=False)
    if app.state == DISABLED:
        _check_again(app, circuit, deps)
    elif circuits.paused_since(circuit, int(app.generation)) is not None:
        _try_again(app, circuit, deps)
    elif _may_have_parked(circuit, entries, deps):
        _release_again(app, circuit, deps)


# ---- Follow-ups


def _announce_again(entries: Iterable[AuditEntry], deps: HealthDependencies) -> None:
    for entry in entries:
        leased = float(entry.lease_until or 0.0) >= deps.now().timestamp()
        if entry.finished_at or leased or not _long_ago(_unix(entry.announced_at or entry.at), deps):
            continue
        try:
            follow_up.steps(entry.action)
        except UnknownKindError:  # its message waits for a newer version
            continue
        transitions.announce(entry, deps)
        _found(
            "follow-up announced again: it is not finished, and its message is lost or hours late",
            deps,
            app_id=entry.app_id,
            transition_id=entry.transition_id,
        )


# ---- Trials


def _try_again(app: App, circuit: Circuit, deps: HealthDependencies) -> None:
    now, due = deps.now().timestamp(), float(circuit.next_trial_at or 0.0)
    if not _long_ago(due, deps) or float(circuit.trial_lease_until or 0.0) >= now:
        return
    trial = Trial(app.app_id, int(app.generation), int(circuit.trials or 0))
    if deps.retry([OutgoingMessage(deliveries.encode(trial), app.app_id)]):
        deps.telemetry.error(
            "overdue trial not sent again: SQS refused it; the next sweep will try", app_id=app.app_id
        )
        return
    circuits.postpone_trial(app.app_id, due, now)  # or the next sweep would find it again
    _found("trial sent again: it is overdue, and its message is lost or hours late", deps, app_id=app.app_id)


# ---- Releases


def _may_have_parked(circuit: Circuit, entries: Iterable[AuditEntry], deps: HealthDependencies) -> bool:
    """Whether the app was off or paused lately. Otherwise its list need not be read, whose keys are many."""
    ended = max([float(circuit.closed_at or 0.0), *(_unix(entry.at) for entry in entries)])
    return ended + KEPT.total_seconds() + deps.overdue_seconds >= deps.now().timestamp()


def _release_again(app: App, circuit: Circuit, deps: HealthDependencies) -> None:
    rows = app_lists.waiting(app.app_id, deps.now(), PARKED_ROWS)
    oldest = next((row for row in rows if app_lists.is_parked(row)), None)
    if oldest is None or not _is_left(oldest, deps):
        return
    rate = _release_rate(app, circuit, deps)
    if rate is None or not _chain_is_lost(app, circuit, deps):
        return
    now = deps.now().timestamp()
    replay = replays.begin(circuit, int(app.generation), (PARKED,), rate, now, settle_seconds=deps.settle_seconds)
    deps.send_later(replay, 0)
    circuits.note_chain(app.app_id, now + deps.overdue_seconds)
    _found(
        "release begun anew: the app is on, deliveries of it are still parked, and no release goes on",
        deps,
        app_id=app.app_id,
        delivery_id=oldest.delivery_id,
    )


def _is_left(row: DeliveryRecord, deps: HealthDependencies) -> bool:
    """Whether a row of what is parked was due long ago, and no retry of a release is deferred or being made."""
    if not _long_ago(_unix(app_lists.listed_since(row)), deps):
        return False
    record = attempts.load(row.delivery_id)
    if record is None or record.replayable_at != row.replayable_at:
        return False
    leased = float(record.lease_until or 0.0) >= deps.now().timestamp()
    return not leased and _long_ago(float(record.next_attempt_at), deps)


def _release_rate(app: App, circuit: Circuit, deps: HealthDependencies) -> float | None:
    """Deliveries a second of the release that should be over by now; None where there is none, or no such.

    A person may have switched the app on without one, or stopped it, and begun another since. The end of a pause
    releases everything.
    """
    begun = float(circuit.replay_began or 0.0)
    stopped = circuits.replays_stopped(circuit)
    ended = circuit.closed_at if circuit.generation == app.generation else None
    if ended is not None:
        missed = stopped < max(begun, float(ended)) and _long_ago(float(ended), deps)
        return deps.replay_per_second if missed else None
    entry = transitions.last_transition(app)
    wanted = entry.evidence.get("replay") if entry and _long_ago(_unix(entry.at), deps) else None
    if not entry or not wanted or PARKED not in wanted["states"] or stopped >= max(begun, _unix(entry.at)):
        return None
    return float(wanted.get("rate") or deps.replay_per_second)


# ---- Recovery checks


def _check_again(app: App, circuit: Circuit, deps: HealthDependencies) -> None:
    if not app.auto_enable:
        return
    off = transitions.last_disabled(app)
    if off is None or off.evidence["rule"] == transitions.BY_PERSON:
        return
    if off.finished_at is None or not _long_ago(_unix(off.finished_at), deps):
        return
    now = deps.now().timestamp()
    check = recovery.resumed(app.app_id, int(app.generation), _unix(off.at), now)
    if check is None or not _chain_is_lost(app, circuit, deps):
        return
    deps.send_later(check, max(1, queues.delay(check.due - now)))
    circuits.note_chain(app.app_id, now + deps.overdue_seconds)
    _found(
        "recovery checks begun anew: the app is off and asks for them, and none goes on", deps, app_id=app.app_id
    )


# ---- What they share


def _chain_is_lost(app: App, circuit: Circuit, deps: HealthDependencies) -> bool:
    """Whether the app's chain on the Transitions queue has not gone on for as long as a message can take.

    One that never noted that it goes on, as version 0.1.0 does not, gets as much time.
    """
    now, until = deps.now().timestamp(), circuits.chain_until(circuit)
    if until is None:
        circuits.note_chain(app.app_id, now + deps.overdue_seconds)
        return False
    return until < now


def _found(message: str, deps: HealthDependencies, **names: object) -> None:
    deps.telemetry.warning(message, **names)
    deps.telemetry.count("SweepFound")


def _long_ago(moment: float, deps: HealthDependencies) -> bool:
    return moment + deps.overdue_seconds < deps.now().timestamp()


def _unix(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()
