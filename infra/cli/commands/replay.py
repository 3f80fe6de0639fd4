"""bellhop replay: send what can be replayed of an app that is on."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from bellhop import circuits
from bellhop.attempts import EXHAUSTED, PARKED, REPLAYABLE
from bellhop.registry import DISABLED, App
from bellhop.replays import Replay
from health.replay import effective_rate
from infra.cli import identity, stack, terminal
from infra.cli.errors import CommandError
from infra.cli.identity import TransitionsQueue
from infra.cli.terminal import line
from infra.cli.text import duration
from infra.cli.views import Replayable, count_replayable, load_app


@dataclass(frozen=True, slots=True)
class ReplayStart:
    """A replay as it began: what could be replayed, and how many are sent a second.

    `rate` is None where there was nothing to send, so that nothing began.
    """

    app_id: str
    states: tuple[str, ...]
    replayable: Replayable
    rate: float | None


def run(stack_name: str, app_id: str, *, exhausted: bool, rate: float | None, as_json: bool) -> None:
    """Start the replay, say what follows."""
    found = stack.find(stack_name)
    stack.bind(found)
    queue = identity.transitions_queue(found)
    app, pace = load_app(app_id), rate or found.replay_per_second
    started = start(app, pace, queue, datetime.now(UTC), exhausted=exhausted)
    if as_json:
        terminal.print_json(document(started))
    else:
        _print(started, terminal.console())


def start(app: App, rate: float, queue: TransitionsQueue, now: datetime, *, exhausted: bool) -> ReplayStart:
    """Have health send what is parked, with `exhausted` also what all retries failed for, `rate` of it a second.

    Two replays at the same time send nothing twice: deliver claims each delivery.

    Raises:
        CommandError: the app is off or paused: everything would only be parked again.
    """
    if app.state == DISABLED:
        raise CommandError(
            f"{app.app_id} is switched off, so all of it would only be parked again: "
            f"`bellhop enable {app.app_id}` switches it on and replays what is parked"
        )
    if circuits.is_paused(app.app_id, int(app.generation)):
        raise CommandError(
            f"{app.app_id} is paused, so all of it would only be parked again. What is parked is released when a "
            f"trial finds the endpoint well: `bellhop app {app.app_id}` shows when the next trial is"
        )
    states = REPLAYABLE if exhausted else (PARKED,)
    replayable = count_replayable(app.app_id)
    if not replayable.total(states) and replayable.complete:
        return ReplayStart(app.app_id, states, replayable, None)
    moment = now.timestamp()
    queue.send(Replay(app.app_id, int(app.generation), states, rate, settles_at=moment, began=moment))
    return ReplayStart(app.app_id, states, replayable, effective_rate(app, rate))


def document(started: ReplayStart) -> dict[str, Any]:
    """A replay as JSON."""
    return {
        "app_id": started.app_id,
        "states": started.states,
        "replayable": started.replayable.document(),
        "started": started.rate is not None,
        "replay_per_second": started.rate,
    }


def following_text(number: int, rate: float, *, complete: bool) -> str:
    """How many deliveries follow, how fast, and how long that takes; not `complete`, at least so many."""
    if not number and complete:
        return "Nothing is parked; what is parked until all functions see the change is replayed."
    least = "" if complete else "at least "
    follow = f"{least}{number:,} {'delivery follows' if number == 1 else 'deliveries follow'}"
    lasting = duration(max(1, number / rate))
    return f"{follow[0].upper()}{follow[1:]}, oldest first, {rate:g} a second: {least}{lasting}."


def _print(started: ReplayStart, console: Console) -> None:
    app_id, replayable = started.app_id, started.replayable
    if started.rate is None:
        line(console, f"Nothing of {app_id} is {' or '.join(started.states)}: nothing to replay.", "bold")
        if replayable.total([EXHAUSTED]):
            line(console, f"Exhausted: {replayable.text([EXHAUSTED])}. bellhop replay {app_id} --exhausted")
        return
    line(console, f"Replayable of {app_id}: {replayable.text()}.", "bold")
    line(console, following_text(replayable.total(started.states), started.rate, complete=replayable.complete))
    line(console, f"Next: bellhop log {app_id}")
