"""Text and times: what others wrote made safe for a terminal, times as operators read them."""

from datetime import UTC, datetime

from bellhop.text import printable


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
