"""Looking whether a disabled app's endpoint is well again, for apps that asked for it (`auto_enable`).

A chain of messages on the Transitions queue: wait, have deliver send a ping, look at its record, wait longer. The
ping's id is made of the epoch and the probe's number: a step that is repeated after a crash sends nothing twice.
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
class Desk:
    """What probing works with. `answers_within`: seconds a ping needs at most, when nothing is in its way."""

    ping: Callable[[Delivery], None]
    send: Callable[[Probe, int], None]
    answers_within: float
    transitions: transitions.Desk
    telemetry: Telemetry
    now: Callable[[], datetime]


def begin(app_id: str, epoch: int, now: float) -> Probe:
    """The probe of an app that has just been switched off, and so is in `epoch`.

    Policy: an endpoint that answers pings and refuses webhooks must not go on and off four times an hour. Where a
    probe switched the app on and that did not last, the intervals go on growing.
    """
    before = find(AuditEntry, app_id, transitions.enabled_entry(epoch - 2), consistent=True)
    number = 1
    if before and before.evidence["rule"] == BY_PROBE and now - _moment(before.at) < LASTING:
        number = int(before.evidence["probe"]) + 1
    return Probe(app_id, epoch, now, now + interval(number), number)


def step(probe: Probe, desk: Desk) -> None:
    """Make the step that is due; the chain ends when the app is not off any more, or not to be probed."""
    app = find(App, probe.app_id, consistent=True)
    now = desk.now().timestamp()
    if app is None or app.state != DISABLED or int(app.epoch) != probe.epoch or not app.auto_enable:
        _end(probe, desk)
    elif now < probe.due:
        _wait(probe, desk)
    elif now - probe.since > GIVEN_UP:
        desk.telemetry.warning("probing given up", app_id=probe.app_id, probes=probe.number - 1)
    elif probe.ping is None:
        _ask(app, probe, desk)
    else:
        _look(app, probe, probe.ping, desk)


def _end(probe: Probe, desk: Desk) -> None:
    # It may have been this chain that switched the app on, and died before it could say so.
    key = transitions.enabled_entry(probe.epoch)
    transitions.resume(find(AuditEntry, probe.app_id, key, consistent=True), desk.transitions)
    desk.telemetry.info("probing ended: the app is on, gone, or not to be probed", app_id=probe.app_id)


def interval(number: int) -> int:
    """Seconds before probe `number`, from 1."""
    return min(LONGEST_INTERVAL, FIRST_INTERVAL << min(number - 1, 20))


def _ask(app: App, probe: Probe, desk: Desk) -> None:
    ping = pings.make(app, f"{probe.epoch}-{probe.number}")
    desk.ping(ping)
    _wait(replace(probe, ping=ping.delivery_id, due=desk.now().timestamp() + desk.answers_within), desk)


def _look(app: App, probe: Probe, ping: str, desk: Desk) -> None:
    record = attempts.load(ping)
    now = desk.now().timestamp()
    if record is None or record.state == RETRYING:
        if now < probe.due + OVERDUE:
            _go_round(probe, desk.answers_within, desk)
            return
    elif record.state == DELIVERED:
        _enable(app, probe, record.history[-1], desk)
        return
    desk.telemetry.info("probe failed", app_id=probe.app_id, number=probe.number)
    following = probe.number + 1
    _wait(replace(probe, number=following, ping=None, due=now + interval(following)), desk)


def _enable(app: App, probe: Probe, answered: dict[str, object], desk: Desk) -> None:
    off = transitions.last_disabled(app)
    shown: dict[str, Any] = {
        "rule": BY_PROBE,
        "probe": probe.number,
        "url": app.url,
        "off_since": off.at if off else None,
        "answer": {name: answered.get(name) for name in ("status", "ms")},
        "replay": {"states": [PARKED]},
        "days": [],
    }
    made = transitions.enable(app, "probe", shown, desk.transitions, tell_owners=True)
    if made is None:
        desk.telemetry.info("probing ended: somebody was quicker", app_id=app.app_id)


def _moment(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()


def _wait(probe: Probe, desk: Desk) -> None:
    _go_round(probe, probe.due - desk.now().timestamp(), desk)


def _go_round(probe: Probe, seconds: float, desk: Desk) -> None:
    desk.send(probe, max(1, queues.delay(seconds)))
