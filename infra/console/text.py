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


def span(option: str, text: str, longest: timedelta, *, zero: bool = False) -> timedelta:
    """The time that `90s`, `15m`, `1h`, `2d` or `1w` stands for; also none at all, as `0`, where `zero` allows it.

    Raises:
        ConsoleError: it is none of these, or longer than `longest`; names the `option` it was given for.
    """
    if zero and re.fullmatch(r"0[smhdw]?", text):
        return timedelta(0)
    found = re.fullmatch(r"([1-9][0-9]{0,6})([smhdw])", text)
    if not found:
        raise ConsoleError(f"{option} {text!r} is not a time: write 90s, 15m, 1h, 2d or 1w")
    chosen = timedelta(**{_UNITS[found[2]]: int(found[1])})
    if chosen > longest:
        raise ConsoleError(f"{option} {text} is too long: at most {longest.days}d")
    return chosen


def duration(seconds: float) -> str:
    """A time in its two largest units, such as `2 h 30 min`; what is left is dropped."""
    left = int(seconds)
    parts: list[tuple[int, str]] = []
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        number, left = divmod(left, size)
        parts += [(number, unit)] if parts or number else []
    shown = [f"{number} {unit}" for number, unit in parts[:2] if number]
    return " ".join(shown) or "0 s"


def utc(moment: datetime) -> str:
    """A moment as an operator reads it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
