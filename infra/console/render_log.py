"""The delivery log on a terminal: a row for each attempt, or a few lines where rows would not fit."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from rich.console import Console
from rich.text import Text

from infra.console.log import LIMIT, Entry, Log
from infra.console.printing import cell, line, state, table
from infra.console.text import duration, printable, utc

WIDE = 170  # columns that a row needs with both ids in one piece
_MORE = 500  # attempts to ask for when fewer were cut off
_ANSWER = 100  # characters of an answer
_FURTHER = {"1d": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30)}


def log(app_id: str, read: Log, console: Console, *, failures: bool = False, since: str = "") -> None:
    """The attempts, newest first, and how far was looked; `failures` and `since` are what was asked for."""
    now = datetime.now(UTC)
    if console.width >= WIDE:
        _rows(read.entries, now, console)
    else:
        _paragraphs(read.entries, now, console)
    extent = "all" if read.complete else "the newest"
    number = len(read.entries)
    line(console, f"{number} attempt{'' if number == 1 else 's'}, {extent} since {utc(read.since)} UTC.", "bold")
    asked = f"bellhop log {app_id}" + (" --failures" if failures else "")
    if not read.complete:
        more = min(max(10 * number, _MORE), LIMIT)
        line(console, f"Others: {asked}{f' --since {since}' if since else ''} --limit {more}")
    elif not read.entries and (further := _further(read, now)):
        line(console, f"Further back: {asked} --since {further}")


def _rows(entries: Sequence[Entry], now: datetime, console: Console) -> None:
    columns = ("time (UTC)", "event", "event id", "n", "result", "ms", "state", "next", "delivery", "response")
    rows = []
    for entry in entries:
        when, event, *rest = _short(entry, now)
        rows.append([when, event, cell(entry.event_id), *rest, cell(entry.delivery_id), cell(_answer(entry))])
    table(console, columns, rows)


def _paragraphs(entries: Sequence[Entry], now: datetime, console: Console) -> None:
    # An id is never broken: it is copied into the next command.
    for entry in entries:
        when, event, number, result, took, stands, then = _short(entry, now)
        parts = [when, event, Text(f"attempt {number}"), result, took and Text(f"{took} ms"), stands]
        parts += [Text(f"next {then}")] if then else []
        console.print(Text("  ").join(part for part in parts if part), soft_wrap=True)
        line(console, f"    {entry.delivery_id}  event {entry.event_id}")
        if entry.response:
            line(console, f"    {_answer(entry)}")


def _short(entry: Entry, now: datetime) -> tuple[Text, ...]:
    return (
        cell(utc(entry.at)),
        cell(entry.event),
        cell(entry.number),
        Text(printable(entry.result), "red" if entry.failed else "green"),
        cell("" if entry.milliseconds is None else entry.milliseconds),
        state(entry.state),
        cell(_next(entry, now)),
    )


def _answer(entry: Entry) -> str:
    return entry.response if len(entry.response) <= _ANSWER else entry.response[:_ANSWER] + "..."


def _next(entry: Entry, now: datetime) -> str:
    if entry.due is None:
        return ""
    return f"in {duration((entry.due - now).total_seconds())}" if entry.due > now else "due"


def _further(read: Log, now: datetime) -> str | None:
    looked = now - read.since + timedelta(minutes=1)
    return next((name for name, back in _FURTHER.items() if back > looked), None)
