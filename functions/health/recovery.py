"""Recovery checks: does a switched-off app's endpoint work again? For apps that ask for them (`auto_enable`).

A chain of messages on the Transitions queue: wait, have deliver send a ping, read its result, wait longer. A
ping's id comes from the generation and the check's number, so a step that is repeated after a crash sends no ping
twice. Of a message's copies one goes on: the others find in the app's circuit that the next message was sent.
"""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from bellhop import attempts, circuits, pings, queues
from bellhop.attempts import DELIVERED, PARKED, RETRYING
from bellhop.registry import DISABLED, App, AuditEntry, find
from health import transitions
from health.dependencies import HealthDependencies
from health.messages import RecoveryCheck

FIRST_INTERVAL = 900  # seconds before the first check; doubled after each one that failed
LONGEST_INTERVAL = 86_400
STABLE_AFTER = 86_400.0  # seconds that an app stays on before the check that switched it on counts as right
GIVE_UP_AFTER = 30 * 86_400.0  # seconds off; by then the first parked deliveries have expired
PING_OVERDUE = 900.0  # seconds after which a ping that has no result counts as failed
EARLY_SECONDS = 15.0  # by which a message may come before its time, as clocks differ
BY_RECOVERY_CHECK = "recovery_check"  # the rule and the actor of a transition that a check made


def first_check(app_id: str, generation: int, since: float, now: float) -> RecoveryCheck:
    """The first check of an app that was switched off at `since`, which began `generation`.

    Policy: an endpoint that accepts pings and refuses webhooks must not be switched on and off four times an hour.
    Where a check switched the app on and that did not last, the intervals go on growing.
    """
    before = find(AuditEntry, app_id, transitions.enabled_id(generation - 2), consistent=True)
    number = 1
    if before and before.evidence["rule"] == BY_RECOVERY_CHECK and since - _unix(before.at) < STABLE_AFTER:
        number = int(before.evidence["recovery_check"]) + 1
    return RecoveryCheck(app_id, generation, since, now + interval(number), number)


def resumed(app_id: str, generation: int, since: float, now: float) -> RecoveryCheck | None:
    """The check that would be next, had none been lost since the app was switched off; None once given up."""
    if now - since > GIVE_UP_AFTER:
        return None
    check = RecoveryCheck(app_id, generation, since, since + interval(1))
    while check.due < now:
        check = replace(check, number=check.number + 1, due=check.due + interval(check.number + 1))
    return check


def interval(number: int) -> int:
    """Seconds to wait before check `number`, counted from 1."""
    return min(LONGEST_INTERVAL, FIRST_INTERVAL << min(number - 1, 20))


def step(check: RecoveryCheck, deps: HealthDependencies) -> None:
    """Take the step that is due. The chain ends when the app is not off any more, or does not ask for checks."""
    app = find(App, check.app_id, consistent=True)
    now = deps.now().timestamp()
    if app is None or app.state != DISABLED or int(app.generation) != check.generation or not app.auto_enable:
        _end_chain(check, deps)
    elif _has_gone_on(check, now, deps):
        deps.telemetry.info("duplicate message dropped: its recovery checks have gone on", app_id=check.app_id)
    elif now < check.due:
        _send_when_due(check, deps)
    elif now - check.since > GIVE_UP_AFTER:
        deps.telemetry.warning(
            "recovery checks given up: the app stays off until a person switches it on",
            app_id=check.app_id,
            checks=check.number - 1,
        )
    elif check.ping is None:
        _send_ping(app, check, deps)
    else:
        _read_result(app, check, check.ping, deps)


def _end_chain(check: RecoveryCheck, deps: HealthDependencies) -> None:
    # Perhaps this chain switched the app on, and its worker died before it could announce that.
    transition_id = transitions.enabled_id(check.generation)
    transitions.resume(find(AuditEntry, check.app_id, transition_id, consistent=True), deps)
    deps.telemetry.info("recovery checks ended: the app is on, was deleted, or asks for none", app_id=check.app_id)


def _has_gone_on(check: RecoveryCheck, now: float, deps: HealthDependencies) -> bool:
    """Whether a copy of the message sent the next one, which is still under way."""
    until = circuits.chain_until(circuits.load(check.app_id))
    return until is not None and now < until - deps.overdue_seconds - EARLY_SECONDS


def _send_ping(app: App, check: RecoveryCheck, deps: HealthDependencies) -> None:
    # Of all that copies of this check may know, only since when the app is off is the same: so are a ping's bytes.
    ping = pings.make(app, f"{check.generation}-{check.number}", datetime.fromtimestamp(check.since, UTC))
    deps.ping(ping)
    _send_when_due(replace(check, ping=ping.delivery_id, due=deps.now().timestamp() + deps.ping_seconds), deps)


def _read_result(app: App, check: RecoveryCheck, ping: str, deps: HealthDependencies) -> None:
    record = attempts.load(ping)
    now = deps.now().timestamp()
    unknown = record is None or record.state == RETRYING
    if record is not None and record.state == DELIVERED:
        _switch_on(app, check, record.attempts[-1], deps)
    elif unknown and now < check.due + PING_OVERDUE:
        _send_later(check, deps.ping_seconds, deps)
    else:
        deps.telemetry.info(
            "recovery check failed: the next one is scheduled", app_id=check.app_id, number=check.number
        )
        number = check.number + 1
        _send_when_due(replace(check, number=number, ping=None, due=now + interval(number)), deps)


def _switch_on(app: App, check: RecoveryCheck, attempt: dict[str, object], deps: HealthDependencies) -> None:
    off = transitions.last_disabled(app)
    evidence: dict[str, Any] = {
        "rule": BY_RECOVERY_CHECK,
        "recovery_check": check.number,
        "url": app.url,
        "off_since": off.at if off else None,
        "response": {name: attempt.get(name) for name in ("status", "ms")},
        "replay": {"states": [PARKED]},
        "days": [],
    }
    if transitions.enable(app, BY_RECOVERY_CHECK, evidence, deps, tell_owners=True) is None:
        deps.telemetry.info("recovery checks ended: somebody else switched the app first", app_id=app.app_id)


def _send_when_due(check: RecoveryCheck, deps: HealthDependencies) -> None:
    _send_later(check, check.due - deps.now().timestamp(), deps)


def _send_later(check: RecoveryCheck, seconds: float, deps: HealthDependencies) -> None:
    wait = max(1, queues.delay(seconds))
    # Counted before it is sent: a worker that freezes in between must not have the message taken for a copy.
    until = deps.now().timestamp() + wait + deps.overdue_seconds
    deps.send_later(check, wait)
    # Noted after it: if the worker dies in between, the message is sent twice, and otherwise it might never be.
    circuits.note_chain(check.app_id, until)


def _unix(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()
