"""What follows a transition: an event on the bus, a replay or recovery checks, the mail. Each step is done once.

The audit entry remembers which steps are done. A step that fails does not stop the others; the message comes back
until all are done. Policy: an event may be published twice, under the same id; a replay may be started twice,
which sends nothing twice; a mail is never sent twice.
"""

from collections.abc import Callable
from datetime import datetime

from botocore.exceptions import BotoCoreError, ClientError
from pynamodb.exceptions import PynamoDBException

from bellhop import circuits, queues, replays
from bellhop.attempts import PARKED
from bellhop.budget import OutOfBudgetError
from bellhop.bus import BusError
from bellhop.newer import UnknownKindError
from bellhop.registry import FOLLOW_UP_LEASE, App, AuditEntry, find
from bellhop.tables import change
from health import recovery, transitions
from health.dependencies import HealthDependencies
from health.mail import mailer
from health.mail.mailer import MailsPendingError
from health.messages import FollowUp

MAX_REASON = 200  # characters of a person's words in an event

# A step for which no time is left, or whose service does not respond, must not take the others with it either.
_STEP_FAILURES = (
    BusError,
    MailsPendingError,
    OutOfBudgetError,
    ClientError,
    BotoCoreError,
    PynamoDBException,
)

Step = Callable[[AuditEntry, HealthDependencies], None]


def steps(action: str) -> dict[str, Step]:
    """The steps that follow a transition, in order, under the names that its audit entry remembers them by.

    Raises:
        UnknownKindError: a newer version made it.
    """
    by_action: dict[str, dict[str, Step]] = {
        transitions.WARN.action: {"event": _publish_event, "mail": _mail_warning},
        transitions.DISABLE.action: {
            "event": _publish_event,
            "recovery_check": _start_recovery_checks,
            "mail": mailer.send_mails,
        },
        transitions.DELETED: {"event": _publish_event, "parked": _end_what_is_parked},
        transitions.CHANGE_URL.action: {"event": _publish_event, "replay": _start_replay},
        transitions.ENABLE.action: {"event": _publish_event, "replay": _start_replay, "mail": mailer.send_mails},
    }
    if action not in by_action:
        raise UnknownKindError(f"transition {action!r}")
    return by_action[action]


class FollowUpError(Exception):
    """Not every step is done yet; the message must come back."""


def follow_up(message: FollowUp, deps: HealthDependencies) -> None:
    """Do what is left to do after a transition. Safe to repeat, also at the same time.

    Raises:
        FollowUpError: at least one step is not done yet, or another worker has the transition.
        UnknownKindError: a newer version made the transition.
    """
    entry = find(AuditEntry, message.app_id, message.transition_id, consistent=True)
    if entry is None:
        deps.telemetry.warning(
            "follow-up dropped: the transition has no audit entry",
            app_id=message.app_id,
            transition_id=message.transition_id,
        )
        return
    if entry.finished_at:
        deps.telemetry.info("follow-up already finished: nothing is left to do", **_names(entry))
        return
    following = steps(entry.action)  # before the lease: what this version cannot do must not keep others from it
    if not _take_lease(entry, deps):
        # Perhaps this very message, received twice: let it come back.
        raise FollowUpError("another worker has this transition until its lease ends")
    _complete(entry, following, deps)


def _take_lease(entry: AuditEntry, deps: HealthDependencies) -> bool:
    now, holder = deps.now().timestamp(), deps.token()
    free = AuditEntry.finished_at.does_not_exist() & FOLLOW_UP_LEASE.free(now, holder)
    return change(entry, FOLLOW_UP_LEASE.take(now + deps.lease_seconds, holder), free)


def _complete(entry: AuditEntry, following: dict[str, Step], deps: HealthDependencies) -> None:
    failed = [name for name, step in following.items() if not _complete_step(name, step, entry, deps)]
    finished = [] if failed else [AuditEntry.finished_at.set(deps.now().isoformat(timespec="seconds"))]
    entry.update(actions=[*finished, *FOLLOW_UP_LEASE.release()], condition=AuditEntry.app_id.exists())
    if failed:
        raise FollowUpError(f"steps that failed and will be repeated: {', '.join(failed)}")


def _complete_step(name: str, step: Step, entry: AuditEntry, deps: HealthDependencies) -> bool:
    if name in (entry.done or ()):
        return True
    try:
        step(entry, deps)
    except _STEP_FAILURES as error:
        deps.telemetry.warning(
            "follow-up step failed: it will be retried by the queue", **_names(entry), step=name, reason=str(error)
        )
        return False
    entry.update(actions=[AuditEntry.done.add({name})])
    return True


def _publish_event(entry: AuditEntry, deps: HealthDependencies) -> None:
    known = {name: entry.evidence.get(name) for name in ("rule", "since", "warning")}
    detail = {
        "app_id": entry.app_id,
        "organization_id": entry.organization_id,
        "generation": _generation(entry),
        "actor": entry.actor,
        "at": entry.at,
        "reason": str(entry.evidence.get("reason") or "")[:MAX_REASON],
    }
    deps.bus.publish(f"bellhop.{entry.action}", f"{entry.app_id}#{entry.transition_id}", detail | known)


def _mail_warning(entry: AuditEntry, deps: HealthDependencies) -> None:
    app = find(App, entry.app_id, consistent=True)
    if app and not entry.transition_id.startswith(transitions.warning_prefix(int(app.generation))):
        deps.telemetry.info("warning not mailed: the app has been switched off since", **_names(entry))
        mailer.skip_mails(entry, deps)
    else:
        mailer.send_mails(entry, deps)


def _start_recovery_checks(entry: AuditEntry, deps: HealthDependencies) -> None:
    app = find(App, entry.app_id, consistent=True)
    by_person = entry.evidence["rule"] == transitions.BY_PERSON  # then a person switches it on again too
    if app and app.auto_enable and not by_person:
        since, now = datetime.fromisoformat(entry.at).timestamp(), deps.now().timestamp()
        check = recovery.first_check(entry.app_id, _generation(entry) + 1, since, now)
        deps.send_later(check, queues.delay(check.due - now))


def _start_replay(entry: AuditEntry, deps: HealthDependencies) -> None:
    wanted = entry.evidence.get("replay")
    if wanted:
        circuit, generation, now = circuits.load(entry.app_id), _generation(entry) + 1, deps.now().timestamp()
        rate = float(wanted.get("rate") or deps.replay_per_second)
        replay = replays.begin(
            circuit, generation, wanted["states"], rate, now, settle_seconds=deps.settle_seconds
        )
        deps.send_later(replay, 0)


def _end_what_is_parked(entry: AuditEntry, deps: HealthDependencies) -> None:
    """Have deliver end what is parked of an app that was deleted, once no process knows the app any more."""
    circuit, begins = circuits.load(entry.app_id), deps.now().timestamp() + deps.settle_seconds
    replay = replays.begin(circuit, _generation(entry) + 1, (PARKED,), deps.replay_per_second, begins)
    deps.send_later(replay, queues.delay(deps.settle_seconds))


def _generation(entry: AuditEntry) -> int:
    return int(entry.transition_id.partition("#")[0])


def _names(entry: AuditEntry) -> dict[str, object]:
    return {"app_id": entry.app_id, "transition_id": entry.transition_id}
