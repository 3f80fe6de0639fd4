"""Text that others wrote, made safe for a terminal, and the times an operator types and reads."""

import re
from datetime import UTC, datetime, timedelta

from infra.console.errors import ConsoleError

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def printable(text: object) -> str:
    """`text` with every control, invisible and direction-changing character as its escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def first_line(text: str) -> str:
    """The first line that is not blank, printable."""
    return next((printable(line.strip()) for line in text.split("\n") if line.strip()), "")


def span(text: str, longest: timedelta) -> timedelta:
    """The time that `90s`, `15m`, `1h`, `2d` or `1w` stands for.

    Raises:
        ConsoleError: it is none of these, or longer than `longest`.
    """
    found = re.fullmatch(r"([1-9][0-9]{0,6})([smhdw])", text)
    if not found:
        raise ConsoleError(f"--since {text!r} is not a time: write 90s, 15m, 1h, 2d or 1w")
    chosen = timedelta(**{_UNITS[found[2]]: int(found[1])})
    if chosen > longest:
        raise ConsoleError(f"--since {text} is further back than the log is kept: at most {longest.days}d")
    return chosen


def utc(moment: datetime) -> str:
    """A moment as an operator reads it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
