"""Text and times: what others wrote made safe for a terminal, times as operators read them."""

import re
import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime

from rich.cells import cell_len

from bellhop.text import printable

NO_BREAK = "\xa0"  # joins words on a line, and is printed as a blank; printable() leaves none in what others wrote
_SIGN, _BLANK = rf"[\S{NO_BREAK}]", rf"[^\S{NO_BREAK}]"
# A number and its unit are one word: `9.3 s`, `30 min`, `(99 %)`.
_WORD = re.compile(rf"{_BLANK}*(?:{_SIGN}*\d (?:%|ms|s|min|h|d)(?!\w){_SIGN}*|{_SIGN}+)")


def words(text: str) -> list[str]:
    """What is never broken of a text."""
    return [found[0].strip() for found in _WORD.finditer(text)]


def lines(text: str, first: int, others: int) -> Iterator[tuple[int, int]]:
    """Where each line of a text begins and ends; the first has `first` columns, and the rest `others`.

    Lines are broken between words. A word that fits on no line stays whole and overflows.
    """
    width, start, end = first, 0, 0
    for found in _WORD.finditer(text):
        if end and cell_len(text[start : found.end()]) > width:
            yield start, end
            start, width = found.end() - len(found[0].lstrip()), others
        end = found.end()
    yield start, len(text)


def wrap(text: str, width: int, indent: int = 0) -> list[str]:
    """The lines of a text, each but the first behind so many spaces."""
    spans = lines(text, width, width - indent)
    return [" " * (indent if begin else 0) + text[begin:end] for begin, end in spans]


def fitted(text: str) -> str:
    """What is said on standard error: on a terminal, no word of it is broken."""
    return "\n".join(wrap(text, shutil.get_terminal_size().columns)) if sys.stderr.isatty() else text


def first_line(text: str) -> str:
    """The first line that is not blank, made printable."""
    return next((printable(line.strip()) for line in text.split("\n") if line.strip()), "")


def duration(seconds: float) -> str:
    """A duration in its two largest units, such as `2 h 30 min`, rounded down."""
    left = int(seconds)
    parts: list[tuple[int, str]] = []
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        number, left = divmod(left, size)
        parts += [(number, unit)] if parts or number else []
    shown = [f"{number} {unit}" for number, unit in parts[:2] if number]
    return " ".join(shown) or "0 s"


def utc(moment: datetime) -> str:
    """A time as operators read it, without its zone."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def stored_time(text: str) -> str:
    """A time that is stored as ISO 8601, as operators read it."""
    return f"{utc(datetime.fromisoformat(text))} UTC"


def unix_time(seconds: float) -> str:
    """A time in Unix seconds, as operators read it."""
    return f"{utc(datetime.fromtimestamp(float(seconds), UTC))} UTC"


def iso_time(seconds: float | None) -> str | None:
    """A time in Unix seconds as ISO 8601 in UTC, for JSON; None stays None."""
    return None if seconds is None else datetime.fromtimestamp(float(seconds), UTC).isoformat(timespec="seconds")
