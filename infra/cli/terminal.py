"""How commands print and ask. Every value is made printable, and none is read as markup."""

import json
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bellhop.text import printable
from infra.cli.errors import CommandError

_PIPED_WIDTH = 240  # columns: a pipe has no width, and a row is to stay on its line
_LABEL_WIDTH = 11
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_UNBROKEN = {"time (UTC)", "day (UTC)", "event", "n", "result", "ms", "state", "status", "next", "attempt"}
_STYLES = {"enabled": "green", "installed": "green", "disabled": "red", "uninstalled": "yellow"}
_STYLES |= {"exhausted": "red", "stopped": "red", "parked": "yellow", "retrying": "yellow", "withdrawn": "dim"}


def console() -> Console:
    """Where lines and tables go."""
    return Console(width=None if sys.stdout.isatty() else _PIPED_WIDTH, highlight=False)


def print_json(document: Any) -> None:
    """Print a document for a program."""
    typer.echo(json.dumps(document, indent=2, default=_as_json))


def line(console: Console, text: str, style: str = "") -> None:
    """Print a line, which a narrow terminal wraps anywhere."""
    console.print(Text(printable(text), style), soft_wrap=True)


def labelled(console: Console, label: str, text: str, style: str = "") -> None:
    """Print a line of an item: an indented label, then its value."""
    line(console, f"    {label:<{_LABEL_WIDTH}}{text}", style)


def table(console: Console, columns: Sequence[str], rows: Sequence[Sequence[str | Text]]) -> None:
    """Print rows under their columns; nothing at all without rows."""
    if not rows:
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        # On a narrow terminal an id or a response continues on the next line; it is never cut.
        table.add_column(column, overflow="fold", no_wrap=column in _UNBROKEN)
    for row in rows:
        table.add_row(*(value if isinstance(value, Text) else cell(value) for value in row))
    console.print(table)


def cell(text: object) -> Text:
    """A value in a table."""
    return Text(printable(text))


def state(state: str) -> Text:
    """A state in its colour."""
    return Text(printable(state), _STYLES.get(state, ""))


def confirm(question: str, refusal: str, *, as_json: bool) -> None:
    """Ask the operator; refuse where there is nobody to ask.

    Raises:
        CommandError: with `refusal`.
        Abort: the operator says no.
    """
    if as_json or not sys.stdin.isatty():
        raise CommandError(refusal)
    typer.confirm(question, abort=True, err=True)


def read_duration(option: str, text: str, longest: timedelta, *, zero: bool = False) -> timedelta:
    """The duration given for `option`, such as `90s` or `2d`; with `zero` also none at all, as `0`.

    Raises:
        CommandError: it is no duration, or longer than `longest`.
    """
    if zero and re.fullmatch(r"0[smhdw]?", text):
        return timedelta(0)
    found = re.fullmatch(r"([1-9][0-9]{0,6})([smhdw])", text)
    if not found:
        raise CommandError(f"{option} {text!r} is not a time: write 90s, 15m, 1h, 2d or 1w")
    chosen = timedelta(**{_UNITS[found[2]]: int(found[1])})
    if chosen > longest:
        raise CommandError(f"{option} {text} is too long: at most {longest.days}d")
    return chosen


def read_time(option: str, text: str, now: datetime) -> datetime:
    """The time given for `option`: ISO 8601, in UTC where it names no zone, or so long ago, such as `90s` or `2d`.

    Raises:
        CommandError: it is no time.
    """
    if re.fullmatch(r"[0-9]+[smhdw]", text):
        return now - read_duration(option, text, timedelta(days=365))
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(
            f"{option} {text!r} is not a time: write 2026-11-23T12:00, in UTC, or how long ago: 90s, 15m, 1h, 2d"
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _as_json(value: Any) -> Any:
    return value.as_dict() if hasattr(value, "as_dict") else str(value)
