"""bellhop replay: send what can be replayed of an app that is on; watch that, or stop it."""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from bellhop import circuits, replays
from bellhop.attempts import EXHAUSTED, PARKED, REPLAYABLE
from bellhop.clock import utc_now
from bellhop.registry import DISABLED, INTERNAL, App
from health.pages import PAGE
from health.replay import effective_rate
from infra.cli import identity, stack, terminal
from infra.cli.errors import CommandError
from infra.cli.identity import TransitionsQueue
from infra.cli.stack import Stack
from infra.cli.terminal import line
from infra.cli.text import duration, unix_time
from infra.cli.views import Replayable, count_replayable, load_app

WATCH_SECONDS = 2.0  # between two looks


@dataclass(frozen=True, slots=True)
class ReplayStart:
    """A replay as it began: what could be replayed, and how many are sent a second.

    `rate` is None where there was nothing to send, so that nothing began.
    """

    app: App
    states: tuple[str, ...]
    replayable: Replayable
    rate: float | None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the last replay of an app is. Times are Unix seconds; `began` is None where there never was one.

    `reason`: why it ended before it sent everything. `parked` is how many deliveries are parked, up to COUNTED.
    `lost`: no message of it was handled for hours.
    """

    began: float | None
    sent: int
    per_second: float
    ended: float | None
    reason: str | None
    stopped: bool
    lost: bool
    parked: int

    @property
    def goes_on(self) -> bool:
        """Whether it sends more."""
        return self.began is not None and self.ended is None and not self.lost


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
        _print(started, found, terminal.console())


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
        return ReplayStart(app, states, replayable, None)
    queue.send(replays.begin(circuits.load(app.app_id), int(app.generation), states, rate, now.timestamp()))
    return ReplayStart(app, states, replayable, effective_rate(app, rate))


def watch(stack_name: str, app_id: str, *, as_json: bool) -> None:
    """Show how far the app's replay is, until it is over."""
    found = stack.find(stack_name)
    stack.bind(found)
    app = load_app(app_id)
    for progress in follow(app, utc_now, time.sleep):
        if as_json:
            terminal.print_json(asdict(progress))
        else:
            line(terminal.console(), found.naming(progress_text(app_id, progress)))


def follow(app: App, now: Callable[[], datetime], sleep: Callable[[float], None]) -> Iterator[Progress]:
    """How far the app's replay is, each time that it has changed; the last one is of the end."""
    shown = None
    while shown is None or shown.goes_on:
        if shown:
            sleep(WATCH_SECONDS)
        progress = read_progress(app, now())
        if progress != shown:
            yield progress
        shown = progress


def read_progress(app: App, now: datetime) -> Progress:
    """How far the app's last replay is now."""
    circuit = circuits.load(app.app_id)
    began, until = circuit.replay_began, circuits.chain_until(circuit)
    return Progress(
        began=None if began is None else float(began),
        sent=int(circuit.replay_sent or 0),
        per_second=float(circuit.replay_rate or 0.0),
        ended=None if circuit.replay_ended is None else float(circuit.replay_ended),
        reason=None if circuit.replay_ended is None else circuit.replay_end,
        stopped=began is not None and float(began) <= circuits.replays_stopped(circuit),
        lost=until is not None and until < now.timestamp(),
        parked=count_replayable(app.app_id).total([PARKED]),
    )


def progress_text(app_id: str, progress: Progress) -> str:
    """The progress in a line."""
    parked = f"{progress.parked:,} parked"
    if progress.began is None:
        return f"No replay of {app_id} has begun: {parked}."
    sent = f"{progress.sent:,} sent since {unix_time(progress.began)}, {parked}"
    if progress.ended is not None:
        over = "stopped" if progress.stopped else "over"
        why = f" Why: {progress.reason}." if progress.reason else ""
        return f"Replay of {app_id} {over} at {unix_time(progress.ended)}: {sent}.{why}"
    if progress.lost:
        return f"Replay of {app_id} is lost, see `bellhop dead-letters list`; the sweep begins it anew: {sent}."
    if progress.stopped:
        return f"{sent}; it ends at its next page."
    if not progress.parked:
        return f"{sent}; it ends once all is sent and every function knows that the app is on."
    left = duration(max(1.0, progress.parked / (progress.per_second or 1.0)))
    return f"{sent}, {progress.per_second:g} a second: about {left}."


def stop(stack_name: str, app_id: str, *, as_json: bool) -> None:
    """Stop the app's replays."""
    found = stack.find(stack_name)
    stack.bind(found)
    app, now = load_app(app_id), utc_now()
    circuits.stop_replays(app_id, circuits.stop_time(circuits.load(app_id), now.timestamp()))
    progress = read_progress(app, now)
    if as_json:
        terminal.print_json(asdict(progress))
        return
    console = terminal.console()
    line(console, f"Stopped: {app_id} is replayed no further. {progress.parked:,} are still parked.", "bold")
    line(console, f"What the retry queue has already, up to {PAGE} deliveries, is sent.")
    line(console, f"To go on: {found.command(f'replay {app_id}')}")


def document(started: ReplayStart) -> dict[str, Any]:
    """A replay as JSON."""
    return {
        "app_id": started.app.app_id,
        "states": started.states,
        "replayable": started.replayable.document(),
        "started": started.rate is not None,
        "replay_per_second": started.rate,
    }


def following_text(app: App, number: int, rate: float, *, complete: bool) -> str:
    """How many deliveries follow, in which order, how fast, for how long; not `complete`, at least so many."""
    if not number and complete:
        return "Nothing is parked; what is parked until all functions see the change is replayed."
    least = "" if complete else "at least "
    follow = f"{least}{number:,} {'delivery follows' if number == 1 else 'deliveries follow'}"
    lasting = duration(max(1, number / rate))
    order = "oldest first" if app.kind == INTERNAL else "what each organisation has first before the rest"
    return f"{follow[0].upper()}{follow[1:]}, {order}, {rate:g} a second: {least}{lasting}."


def _print(started: ReplayStart, found: Stack, console: Console) -> None:
    app_id, replayable = started.app.app_id, started.replayable
    if started.rate is None:
        line(console, f"Nothing of {app_id} is {' or '.join(started.states)}: nothing to replay.", "bold")
        if replayable.total([EXHAUSTED]):
            again = found.command(f"replay {app_id} --exhausted")
            line(console, f"Exhausted: {replayable.text([EXHAUSTED])}. {again}")
        return
    line(console, f"Replayable of {app_id}: {replayable.text()}.", "bold")
    number, complete = replayable.total(started.states), replayable.complete
    line(console, following_text(started.app, number, started.rate, complete=complete))
    line(console, found.next(f"replay {app_id} --watch", f"replay {app_id} --stop"))
