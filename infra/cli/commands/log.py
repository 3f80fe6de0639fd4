"""bellhop log: an app's attempts, also as they are made.

A terminal gets a row for each attempt, or a few lines where rows would not fit.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console
from rich.text import Text

from bellhop.attempts import KEPT
from bellhop.registry import App
from bellhop.text import printable
from health import transitions
from infra.cli import attempt_log, stack, terminal
from infra.cli.attempt_log import Entry, Log, Wanted
from infra.cli.condition import Condition, off_text, read_conditions
from infra.cli.delivered import AHEAD
from infra.cli.terminal import cell, line, state, table
from infra.cli.text import duration, utc
from infra.cli.views import load_app

LIMIT = 10_000  # entries at most
WIDE = 170  # columns that a row needs with both ids in one piece
EVERY = 2.0  # seconds between two looks of --follow
# An attempt is in the log once its batch has ended, which is as long as an invocation lasts.
LATE = timedelta(minutes=2)

_MORE = 500  # attempts to ask for when fewer were cut off
_RESPONSE = 100  # characters of a response that are shown
_FURTHER = {"1d": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30)}


@dataclass(frozen=True, slots=True)
class Asked:
    """What an operator asked for, as typed."""

    app_id: str
    limit: int
    since: str
    until: str | None
    wanted: Wanted

    @property
    def command(self) -> str:
        """The command without its times and its limit."""
        named = {"event": self.wanted.event, "status": self.wanted.status, "error": self.wanted.error}
        options = [f" --{name} {text}" for name, text in named.items() if text is not None]
        return f"bellhop log {self.app_id}{' --failures' if self.wanted.failures else ''}{''.join(options)}"


def run(stack_name: str, asked: Asked, *, follow: bool, as_json: bool) -> None:
    """Read the log, print it; with `follow` also what comes, until Ctrl-C."""
    now = datetime.now(UTC)
    since = terminal.read_moment("--since", asked.since, now, KEPT)
    until = terminal.read_moment("--until", asked.until, now, KEPT) if asked.until else now + AHEAD
    stack.bind(stack.find(stack_name))
    app = load_app(asked.app_id)
    if follow:
        _follow(asked, since, as_json=as_json)
        return
    log = attempt_log.read(asked.app_id, since, until, asked.limit, asked.wanted)
    condition = _condition(app, now)
    if as_json:
        stands = condition.document() if condition else None
        terminal.print_json({"app_id": asked.app_id, "circuit": stands} | document(log))
        return
    console = terminal.console()
    print_log(log, asked, console)
    _print_condition(app, condition, console)


def document(log: Log) -> dict[str, Any]:
    """The log as JSON."""
    return {
        "since": log.since.isoformat(timespec="seconds"),
        "complete": log.complete,
        "attempts": [entry.document() for entry in log.entries],
    }


def print_log(log: Log, asked: Asked, console: Console) -> None:
    """Print the attempts and how far back they reach."""
    now = datetime.now(UTC)
    if console.width >= WIDE:
        _print_rows(log.entries, now, console)
    else:
        _print_paragraphs(log.entries, now, console)
    number = len(log.entries)
    until = f" until {asked.until}" if asked.until else ""
    attempts = f"{number} attempt{'' if number == 1 else 's'} since {utc(log.since)} UTC{until}"
    line(console, f"{attempts}." if log.complete else f"The newest {attempts}; there are more.", "bold")
    if not log.complete:
        more = min(max(10 * number, _MORE), LIMIT)
        times = f"{_option('since', asked.since)}{_option('until', asked.until)}"
        line(console, f"Others: {asked.command}{times} --limit {more}")
    elif not log.entries and (further := _further_back(log, now)):
        line(console, f"Further back: {asked.command} --since {further}")


def _condition(app: App, now: datetime) -> Condition | None:
    return read_conditions([app.app_id], now)[1].get(app.app_id)


def _print_condition(app: App, condition: Condition | None, console: Console) -> None:
    if condition is None:
        return
    if condition.off:
        entry = transitions.last_transition(app)
        line(console, f"{app.app_id} is {off_text(entry, condition.now)}; its deliveries are parked.", "red")
    elif condition.paused_since is not None:
        line(console, f"{app.app_id} is {condition.text()}; its deliveries are parked.", "yellow")


def _follow(asked: Asked, since: datetime, *, as_json: bool) -> None:
    # Ctrl-C is how it ends, so it is no error.
    console, seen, limit = terminal.console(), set[tuple[str, int, str]](), asked.limit
    try:
        while True:
            now = datetime.now(UTC)
            log = attempt_log.read(asked.app_id, since, now + AHEAD, limit, asked.wanted)
            fresh = [entry for entry in reversed(log.entries) if entry.key not in seen]
            for entry in fresh:
                if as_json:
                    terminal.print_json_line(entry.document())
                else:
                    _print_paragraphs([entry], now, console)
            seen |= {entry.key for entry in fresh}
            since, limit = max(since, now - LATE), LIMIT
            time.sleep(EVERY)
    except KeyboardInterrupt:
        return


def _print_rows(entries: Sequence[Entry], now: datetime, console: Console) -> None:
    columns = ("time (UTC)", "event", "event id", "n", "result", "ms", "state", "next", "delivery", "response")
    rows = []
    for entry in entries:
        when, event, *rest = _cells(entry, now)
        rows.append(
            [when, event, cell(entry.event_id), *rest, cell(entry.delivery_id), cell(_shortened(entry.response))]
        )
    table(console, columns, rows)


def _print_paragraphs(entries: Sequence[Entry], now: datetime, console: Console) -> None:
    # An id is never broken: it is copied into the next command.
    for entry in entries:
        when, event, number, result, milliseconds, stands, due = _cells(entry, now)
        parts = [
            when,
            event,
            Text(f"attempt {number}"),
            result,
            milliseconds and Text(f"{milliseconds} ms"),
            stands,
        ]
        parts += [Text(f"next {due}")] if due else []
        line(console, Text("  ").join(part for part in parts if part), indent=4)
        line(console, f"    {entry.delivery_id}  event {entry.event_id}", indent=8)
        if entry.response:
            line(console, f"    {_shortened(entry.response)}")


def _cells(entry: Entry, now: datetime) -> tuple[Text, ...]:
    return (
        cell(utc(entry.at)),
        cell(entry.event),
        cell(f"{entry.number}, resent" if entry.resent else entry.number),
        Text(printable(entry.result), "red" if entry.failed else "green"),
        cell("" if entry.milliseconds is None else entry.milliseconds),
        state(entry.state or ""),
        cell(_next_attempt(entry, now)),
    )


def _option(name: str, text: str | None) -> str:
    return f" --{name} '{text}'" if text and " " in text else f" --{name} {text}" if text else ""


def _shortened(response: str) -> str:
    return response if len(response) <= _RESPONSE else response[:_RESPONSE] + "..."


def _next_attempt(entry: Entry, now: datetime) -> str:
    if entry.due is None:
        return ""
    return f"in {duration((entry.due - now).total_seconds())}" if entry.due > now else "due"


def _further_back(log: Log, now: datetime) -> str | None:
    back = now - log.since + timedelta(minutes=1)
    return next((name for name, longer in _FURTHER.items() if longer > back), None)
