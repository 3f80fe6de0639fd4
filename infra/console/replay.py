"""Replaying by hand what is kept of an app that is on."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from bellhop.attempts import PARKED, REPLAYABLE
from bellhop.registry import DISABLED, App
from health.messages import Replay
from health.replay import effective_rate
from infra.console import held
from infra.console.errors import ConsoleError
from infra.console.held import Held


@dataclass(frozen=True, slots=True)
class Started:
    """A replay: what was kept as it began, and at which rate it is sent; None where there was nothing to send."""

    app_id: str
    states: tuple[str, ...]
    held: Held
    rate: float | None


def start(app: App, rate: float, announce: Callable[[Replay], None], now: datetime, *, exhausted: bool) -> Started:
    """Begin a chain that sends what is kept, `rate` of it a second; a second one beside it sends nothing twice.

    Raises:
        ConsoleError: the app is off: what was parked would only be parked again.
    """
    if app.state == DISABLED:
        raise ConsoleError(
            f"{app.app_id} is switched off, so all of it would only be parked again: "
            f"`bellhop enable {app.app_id}` switches it on and replays what is parked"
        )
    states = REPLAYABLE if exhausted else (PARKED,)
    kept = held.count(app.app_id)
    if not kept.total(states) and kept.complete:
        return Started(app.app_id, states, kept, None)
    moment = now.timestamp()
    announce(Replay(app.app_id, int(app.generation), states, rate, settles_at=moment, began=moment))
    return Started(app.app_id, states, kept, effective_rate(app, rate))
