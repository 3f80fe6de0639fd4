"""What follows a transition: an event on the bus, the replay or the probing, the mail. Each step is made once.

The audit entry remembers the steps that were made. A step that fails keeps none of the others waiting; the message
comes back until all are made. Policy: an event may be published twice, under the same id; a replay may be started
twice, which sends nothing twice; a mail is never sent twice.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from botocore.exceptions import BotoCoreError, ClientError
from pynamodb.exceptions import PynamoDBException

from bellhop import queues
from bellhop.bus import Bus, BusError
from bellhop.registry import App, AuditEntry, find
from bellhop.tables import change
from bellhop.telemetry import Telemetry
from health import recovery, transitions
from health.mail import mailer
from health.mail.mailer import MailRefusedError
from health.messages import FollowUp, Probe, Replay

MAX_REASON = 200  # characters of a person's words in an event


class FollowUpError(Exception):
    """A step could not be made for now; the message must come back."""


@dataclass(frozen=True)
class FollowUpDependencies:
    """What following up works with. `lease`: seconds that one worker may take; `settle`: see Replay."""

    bus: Bus
    post: mailer.MailDependencies
    send: Callable[[Replay | Probe, int], None]  # onto the Transitions queue, so many seconds later
    rate: float
    settle: float
    lease: float
    telemetry: Telemetry
    now: Callable[[], datetime]


Step = Callable[[AuditEntry, FollowUpDependencies], None]


def follow_up(message: FollowUp, deps: FollowUpDependencies) -> None:
    """Do what is left to do after a transition. Safe to repeat, at the same time too.

    Raises:
        FollowUpError: at least one step is still to be made, or another worker is at it.
    """
    entry = find(AuditEntry, message.app_id, message.entry, consistent=True)
    if entry is None:
        deps.telemetry.warning("transition gone: no audit entry", app_id=message.app_id, entry=message.entry)
    elif entry.finished_at:
        deps.telemetry.info("transition already finished", **_names(entry))
    elif not _take(entry, deps):
        # Perhaps for this message, received twice, or by a write of ours whose answer was lost: let it come back.
        raise FollowUpError("another worker has this transition, for as long as its lease")
    else:
        _work(entry, deps)


def _work(entry: AuditEntry, deps: FollowUpDependencies) -> None:
    failed = [name for name, step in STEPS[entry.action].items() if not _made(name, step, entry, deps)]
    row = AuditEntry
    if not failed:
        at = deps.now().isoformat(timespec="seconds")
        entry.update(actions=[row.finished_at.set(at), row.lease_until.remove()], condition=row.app_id.exists())
        return
    entry.update(actions=[row.lease_until.remove()], condition=row.app_id.exists())
    raise FollowUpError(f"to be made again: {', '.join(failed)}")


def _made(name: str, step: Step, entry: AuditEntry, deps: FollowUpDependencies) -> bool:
    if name in (entry.done or ()):
        return True
    try:
        step(entry, deps)
    except (BusError, MailRefusedError, ClientError, BotoCoreError, PynamoDBException) as error:
        deps.telemetry.warning("step put off", **_names(entry), step=name, reason=str(error))
        return False
    entry.update(actions=[AuditEntry.done.add({name})])
    return True


def _take(entry: AuditEntry, deps: FollowUpDependencies) -> bool:
    row, now = AuditEntry, deps.now().timestamp()
    free = row.lease_until.does_not_exist() | (row.lease_until < now)
    return change(entry, [row.lease_until.set(now + deps.lease)], row.finished_at.does_not_exist() & free)


def _publish(entry: AuditEntry, deps: FollowUpDependencies) -> None:
    known = {name: entry.evidence.get(name) for name in ("rule", "since", "warning")}
    detail = {
        "app_id": entry.app_id,
        "organization_id": entry.organization_id,
        "generation": _generation(entry),
        "actor": entry.actor,
        "at": entry.at,
        "reason": str(entry.evidence.get("reason") or "")[:MAX_REASON],
    }
    deps.bus.publish(f"bellhop.{entry.action}", f"{entry.app_id}#{entry.entry}", detail | known)


def _mail(entry: AuditEntry, deps: FollowUpDependencies) -> None:
    mailer.send_mails(entry, deps.post)


def _warn(entry: AuditEntry, deps: FollowUpDependencies) -> None:
    app = find(App, entry.app_id, consistent=True)
    if app and not entry.entry.startswith(transitions.warned(app)):
        deps.telemetry.info("warning skipped: a transition overtook it", **_names(entry))
        mailer.skip_mails(entry)
    else:
        _mail(entry, deps)


def _probe(entry: AuditEntry, deps: FollowUpDependencies) -> None:
    app = find(App, entry.app_id, consistent=True)
    by_hand = entry.evidence["rule"] == transitions.BY_HAND  # then a person switches it on again too
    if app and app.auto_enable and not by_hand:
        now = deps.now().timestamp()
        probe = recovery.begin(entry.app_id, _generation(entry) + 1, now)
        deps.send(probe, queues.delay(probe.due - now))


def _replay(entry: AuditEntry, deps: FollowUpDependencies) -> None:
    wanted = entry.evidence.get("replay")
    if wanted:
        now = deps.now().timestamp()
        rate = float(wanted.get("rate") or deps.rate)
        states = tuple(wanted["states"])
        deps.send(Replay(entry.app_id, _generation(entry) + 1, states, rate, now + deps.settle, now), 0)


def _generation(entry: AuditEntry) -> int:
    return int(entry.entry.partition("#")[0])


def _names(entry: AuditEntry) -> dict[str, object]:
    return {"app_id": entry.app_id, "entry": entry.entry}


STEPS: dict[str, dict[str, Step]] = {
    transitions.WARN.action: {"event": _publish, "mail": _warn},
    transitions.DISABLE.action: {"event": _publish, "probe": _probe, "mail": _mail},
    transitions.ENABLE.action: {"event": _publish, "replay": _replay, "mail": _mail},
}
