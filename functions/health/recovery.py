"""Looking whether a disabled app's endpoint is well again, for apps that asked for it (`auto_enable`).

A chain of messages on the Transitions queue: wait, have deliver send a ping, look at its record, wait longer. The
ping's id is made of the generation and the probe's number: a step that is repeated after a crash sends nothing twice.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from bellhop import attempts, pings, queues
from bellhop.attempts import DELIVERED, PARKED, RETRYING
from bellhop.deliveries import Delivery
from bellhop.registry import DISABLED, App, AuditEntry, find
from bellhop.telemetry import Telemetry
from health import transitions
from health.messages import Probe

FIRST_INTERVAL = 900  # seconds; doubled after each probe that failed
LONGEST_INTERVAL = 86_400
LASTING = 86_400.0  # seconds on, after which a probe that switched on is believed
GIVEN_UP = 30 * 86_400.0  # what was parked first has expired by then
BY_PROBE = "probe"  # the rule of a transition that a probe made
OVERDUE = 900.0  # a ping without a record that long after it was sent counts as failed


@dataclass(frozen=True)
class RecoveryDependencies:
    """What probing works with. `answers_within`: seconds a ping needs at most, when nothing is in its way."""

    ping: Callable[[Delivery], None]
    send: Callable[[Probe, int], None]
    answers_within: float
    transitions: transitions.TransitionDependencies
    telemetry: Telemetry
    now: Callable[[], datetime]


def begin(app_id: str, generation: int, now: float) -> Probe:
    """The probe of an app that has just been switched off, and so is in `generation`.

    Policy: an endpoint that answers pings and refuses webhooks must not go on and off four times an hour. Where a
    probe switched the app on and that did not last, the intervals go on growing.
    """
    before = find(AuditEntry, app_id, transitions.enabled_entry(generation - 2), consistent=True)
    number = 1
    if before and before.evidence["rule"] == BY_PROBE and now - _moment(before.at) < LASTING:
        number = int(before.evidence["probe"]) + 1
    return Probe(app_id, generation, now, now + interval(number), number)


def step(probe: Probe, deps: RecoveryDependencies) -> None:
    """Make the step that is due; the chain ends when the app is not off any more, or not to be probed."""
    app = find(App, probe.app_id, consistent=True)
    now = deps.now().timestamp()
    if app is None or app.state != DISABLED or int(app.generation) != probe.generation or not app.auto_enable:
        _end(probe, deps)
    elif now < probe.due:
        _wait(probe, deps)
    elif now - probe.since > GIVEN_UP:
        deps.telemetry.warning("probing given up", app_id=probe.app_id, probes=probe.number - 1)
    elif probe.ping is None:
        _ask(app, probe, deps)
    else:
        _look(app, probe, probe.ping, deps)


def _end(probe: Probe, deps: RecoveryDependencies) -> None:
    # It may have been this chain that switched the app on, and died before it could say so.
    key = transitions.enabled_entry(probe.generation)
    transitions.resume(find(AuditEntry, probe.app_id, key, consistent=True), deps.transitions)
    deps.telemetry.info("probing ended: the app is on, gone, or not to be probed", app_id=probe.app_id)


def interval(number: int) -> int:
    """Seconds before probe `number`, from 1."""
    return min(LONGEST_INTERVAL, FIRST_INTERVAL << min(number - 1, 20))


def _ask(app: App, probe: Probe, deps: RecoveryDependencies) -> None:
    ping = pings.make(app, f"{probe.generation}-{probe.number}")
    deps.ping(ping)
    _wait(replace(probe, ping=ping.delivery_id, due=deps.now().timestamp() + deps.answers_within), deps)


def _look(app: App, probe: Probe, ping: str, deps: RecoveryDependencies) -> None:
    record = attempts.load(ping)
    now = deps.now().timestamp()
    if record is None or record.state == RETRYING:
        if now < probe.due + OVERDUE:
            _go_round(probe, deps.answers_within, deps)
            return
    elif record.state == DELIVERED:
        _enable(app, probe, record.attempts[-1], deps)
        return
    deps.telemetry.info("probe failed", app_id=probe.app_id, number=probe.number)
    following = probe.number + 1
    _wait(replace(probe, number=following, ping=None, due=now + interval(following)), deps)


def _enable(app: App, probe: Probe, answered: dict[str, object], deps: RecoveryDependencies) -> None:
    off = transitions.last_disabled(app)
    shown: dict[str, Any] = {
        "rule": BY_PROBE,
        "probe": probe.number,
        "url": app.url,
        "off_since": off.at if off else None,
        "response": {name: answered.get(name) for name in ("status", "ms")},
        "replay": {"states": [PARKED]},
        "days": [],
    }
    made = transitions.enable(app, "probe", shown, deps.transitions, tell_owners=True)
    if made is None:
        deps.telemetry.info("probing ended: somebody was quicker", app_id=app.app_id)


def _moment(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()


def _wait(probe: Probe, deps: RecoveryDependencies) -> None:
    _go_round(probe, probe.due - deps.now().timestamp(), deps)


def _go_round(probe: Probe, seconds: float, deps: RecoveryDependencies) -> None:
    deps.send(probe, max(1, queues.delay(seconds)))
