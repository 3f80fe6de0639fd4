"""The days of an app as a chart: rows for HTML, lines of our own characters for text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from health.mail.wording import counted, day

COLUMNS = 72  # of the text
MARKS = {"success": "=", "error": "x", "timeout": "~", "fatal": "!"}
HEADINGS = {"success": "delivered", "error": "errors", "timeout": "timeouts", "fatal": "fatal"}
_ONE = {"success": "delivered", "error": "error", "timeout": "timeout", "fatal": "fatal"}
_NARROWEST, _WIDEST = 6, 24  # bars


@dataclass(frozen=True, slots=True)
class Part:
    """One outcome of a day: `share` is its part of the longest bar, in percent."""

    outcome: str
    label: str
    share: int


@dataclass(frozen=True, slots=True)
class Row:
    """One day, with the outcomes that it had."""

    name: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """What the templates draw. Without `rows` there was nothing to deliver."""

    rows: tuple[Row, ...]
    total: Row
    lines: tuple[str, ...]
    legend: str


def chart(days: Sequence[Mapping[str, Any]]) -> Chart:
    """The chart of an entry's days, oldest first."""
    counts = [[int(d.get(outcome, 0)) for outcome in MARKS] for d in days]
    names = [day(d["day"]) for d in days]
    totals = [sum(column) for column in zip(*counts, strict=True)] or [0] * len(MARKS)
    most = max(map(sum, counts), default=0)
    rows = tuple(_row(name, numbers, most) for name, numbers in zip(names, counts, strict=True))
    total = _row(counted(len(days), "day"), totals, sum(totals))
    lines = _lines(names, counts, totals, total.name)
    legend = "   ".join(f"{MARKS[o]} {HEADINGS[o]}" for o in MARKS)
    return Chart(rows if most else (), total, lines, legend)


def _row(name: str, numbers: Sequence[int], most: int) -> Row:
    shares = zip(MARKS, numbers, _cells(numbers, most, 100), strict=True)
    return Row(name, tuple(Part(o, f"{n:,} {(_ONE if n == 1 else HEADINGS)[o]}", s) for o, n, s in shares if n))


def _cells(numbers: Sequence[int], most: int, width: int) -> list[int]:
    """How much of a bar each outcome gets: at least one cell, so that a single failure among millions shows."""
    cells = [n and max(1, round(n * width / most)) for n in numbers]
    while sum(cells) > width:
        cells[cells.index(max(cells))] -= 1
    return cells


def _lines(
    names: Sequence[str], counts: Sequence[Sequence[int]], totals: Sequence[int], last: str
) -> tuple[str, ...]:
    widths = [max(len(h), len(f"{n:,}")) for h, n in zip(HEADINGS.values(), totals, strict=True)]
    first = max(map(len, ["Day", last, *names]))
    bar = min(_WIDEST, max(_NARROWEST, COLUMNS - first - sum(widths) - 2 * len(widths) - 2))
    most = max(map(sum, counts), default=0)

    def line(name: str, drawn: str, values: Sequence[str]) -> str:
        columns = [v.rjust(w) for v, w in zip(values, widths, strict=True)]
        return "  ".join([name.ljust(first), drawn.ljust(bar), *columns])

    return (
        line("Day", "", [*HEADINGS.values()]),
        *(line(n, _bar(c, most, bar), _numbers(c)) for n, c in zip(names, counts, strict=True)),
        line(last, "", _numbers(totals)),
    )


def _bar(numbers: Sequence[int], most: int, width: int) -> str:
    return "".join(mark * n for mark, n in zip(MARKS.values(), _cells(numbers, most, width), strict=True))


def _numbers(numbers: Sequence[int]) -> list[str]:
    return [f"{n:,}" for n in numbers]
