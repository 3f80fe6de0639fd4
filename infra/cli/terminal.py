"""How commands print and ask. Every value is made printable, and none is read as markup."""

import json
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bellhop.text import printable
from infra.cli.errors import CommandError, UsageError
from infra.cli.text import NO_BREAK, lines, words

REASON_LENGTH = 1_000  # characters; the audit entry has room for far more than that
_PIPED_WIDTH = 240  # columns: a pipe has no width, and a row is to stay on its line
_GAP = 2  # columns between those of a table
_HIGHEST = 4  # lines of a table's row
_LABEL_WIDTH = 11
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_UNBROKEN = {"time (UTC)", "day (UTC)", "event", "n", "result", "ms", "state", "status", "next", "attempt"}
_STYLES = {"enabled": "green", "installed": "green", "disabled": "red", "uninstalled": "yellow"}
_STYLES |= {"exhausted": "red", "stopped": "red", "parked": "yellow", "retrying": "yellow", "withdrawn": "dim"}
_STYLES |= {"off": "red", "paused": "yellow", "failing": "yellow", "slow": "yellow", "on": "green"}


def console(*, beside: bool = False) -> Console:
    """Where lines and tables go, or what is said `beside` them. A pipe gets each line whole."""
    piped = not (sys.stderr if beside else sys.stdout).isatty()
    return Console(width=_PIPED_WIDTH if piped else None, highlight=False, soft_wrap=piped, stderr=beside)


def print_json(document: Any) -> None:
    """Print a document for a program."""
    typer.echo(json.dumps(document, indent=2, default=_as_json))


def print_json_line(document: Any) -> None:
    """Print one of many documents for a program, on a line of its own, at once."""
    sys.stdout.write(json.dumps(document, default=_as_json) + "\n")
    sys.stdout.flush()


def line(console: Console, text: str | Text, style: str = "", *, indent: int | None = None) -> None:
    """Print a line. A narrow terminal goes on below at `indent`, or where the line begins; no word is broken.

    A word that is too long for that, such as a secret, begins in the first column.
    """
    shown = text.copy() if isinstance(text, Text) else Text(printable(text), style)
    plain = shown.plain
    margin = len(plain) - len(plain.lstrip()) if indent is None else indent
    spans = [(0, len(plain))] if console.soft_wrap else lines(plain, console.width, console.width - margin)
    shown.plain = plain.replace(NO_BREAK, " ")
    for begin, end in spans:
        fits = margin + cell_len(plain[begin:end]) <= console.width
        console.print(Text(" " * (margin if begin and fits else 0)) + shown[begin:end], soft_wrap=True)


def named(name: str, value: Text, style: str = "") -> Text:
    """A part of a line: a value behind its name, from which it is never parted."""
    return Text(f"{name}{NO_BREAK}", style) + value


def labelled(console: Console, label: str, text: str | Text, style: str = "") -> None:
    """Print a line of an item: an indented label, then its value."""
    value = text if isinstance(text, Text) else cell(text)
    shown = Text(f"    {label:<{_LABEL_WIDTH - 1}} ", style) + value
    line(console, shown, indent=4 + _LABEL_WIDTH)


def table(console: Console, columns: Sequence[str], rows: Sequence[Sequence[str | Text]]) -> None:
    """Print rows under their columns; nothing at all without rows.

    Where a terminal is too narrow for the longest words, such as ids, or would show a sentence as a column of
    words, each row becomes lines: a word that was broken could not be copied.
    """
    if not rows:
        return
    cells = [[value if isinstance(value, Text) else cell(value) for value in row] for row in rows]
    widths = _widths(columns, cells, console.width)
    if widths is None:
        for row in cells:
            _print_lines(console, columns, row)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column, width in zip(columns, widths, strict=True):
        table.add_column(_folded(Text(column), width), overflow="fold", width=width)
    for row in cells:
        table.add_row(*map(_folded, row, widths))
    console.print(table, soft_wrap=False)


def _print_lines(console: Console, columns: Sequence[str], row: Sequence[Text]) -> None:
    """A row as lines: the first cell, and below it the others, each behind its column."""
    parts = [
        row[0],
        *(
            named(name, value, "dim") if name else value
            for name, value in zip(columns[1:], row[1:], strict=True)
            if value
        ),
    ]
    line(console, Text("  ").join(parts), indent=4)


def _folded(text: Text, width: int) -> Text:
    """A cell broken as every line is: rich would part a number from its unit."""
    return Text("\n").join(text[begin:end] for begin, end in lines(text.plain, width, width))


def _widths(columns: Sequence[str], rows: Sequence[Sequence[Text]], room: int) -> list[int] | None:
    """The columns' widths, in which no word is broken; None where the rows would be broken or very high."""
    cells = [[name, *(row[n].plain for row in rows)] for n, name in enumerate(columns)]
    full = [max(map(cell_len, texts)) for texts in cells]
    widths = [
        full[n]
        if columns[n] in _UNBROKEN
        else max((cell_len(word) for text in texts for word in words(text)), default=0)
        for n, texts in enumerate(cells)
    ]
    spare = room - sum(widths) - _GAP * (len(columns) - 1)
    if spare < 0:
        return None
    narrow = sorted((n for n, width in enumerate(widths) if width < full[n]), key=lambda n: full[n] - widths[n])
    for left, n in zip(range(len(narrow), 0, -1), narrow, strict=True):  # whose need is the least gets it first
        more = min(full[n] - widths[n], spare // left)
        widths[n], spare = widths[n] + more, spare - more
    return widths if all(full[n] <= widths[n] * _HIGHEST for n in narrow) else None


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


def check_reason(reason: str) -> None:
    """Check what a person gives for `--reason`: it is kept in the audit entry, and shown in mails.

    Raises:
        UsageError: it is empty, or too long.
    """
    if not reason.strip():
        raise UsageError("--reason is empty: give a reason; owners may read it")
    if len(reason) > REASON_LENGTH:
        raise UsageError(f"--reason has {len(reason):,} characters: at most {REASON_LENGTH:,}")


def read_duration(option: str, text: str, longest: timedelta, *, zero: bool = False) -> timedelta:
    """The duration given for `option`, such as `90s` or `2d`; with `zero` also none at all, as `0`.

    Raises:
        UsageError: it is no duration, or longer than `longest`.
    """
    if zero and re.fullmatch(r"0[smhdw]?", text):
        return timedelta(0)
    found = re.fullmatch(r"([1-9][0-9]{0,6})([smhdw])", text)
    if not found:
        raise UsageError(f"{option} {text!r} is not a time: write 90s, 15m, 1h, 2d or 1w")
    chosen = timedelta(**{_UNITS[found[2]]: int(found[1])})
    if chosen > longest:
        raise UsageError(f"{option} {text} is too long: at most {longest.days}d")
    return chosen


def read_moment(option: str, text: str, now: datetime, longest: timedelta) -> datetime:
    """The time given for `option`: so long ago (`15m`), a time of day in UTC (`12:00`), or a date.

    A time of day is the last one that is past.

    Raises:
        UsageError: it is none of these, in the future, or longer ago than `longest`.
    """
    found = _clock(text, now) or _date(text)
    if found is None:
        if re.fullmatch(r"[0-9]+[smhdw]", text):
            return now - read_duration(option, text, longest)
        raise UsageError(
            f"{option} {text!r} is not a time: write 90s, 15m, 1h, 2d, 12:00 or 2026-01-31T12:00 (UTC)"
        )
    if found > now:
        raise UsageError(f"{option} {text} is in the future: it is {now:%Y-%m-%d %H:%M} UTC")
    if now - found > longest:
        raise UsageError(f"{option} {text} is too long ago: at most {longest.days}d")
    return found


def _clock(text: str, now: datetime) -> datetime | None:
    clock = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?", text, re.ASCII)
    if clock is None:
        return None
    hour, minute, second = (int(part or 0) for part in clock.groups())
    today = now.astimezone(UTC).replace(hour=hour, minute=minute, second=second, microsecond=0)
    return today if today <= now else today - timedelta(days=1)


def _date(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _as_json(value: Any) -> Any:
    return value.as_dict() if hasattr(value, "as_dict") else str(value)
