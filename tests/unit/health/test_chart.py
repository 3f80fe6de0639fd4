"""The chart of days: aligned, honest about small numbers, within the width of a mail."""

from datetime import date, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from health.mail.chart import COLUMNS, chart

COUNT = st.integers(0, 3) | st.integers(0, 10_000_000)
WEEKS = st.lists(st.tuples(COUNT, COUNT, COUNT, COUNT), max_size=30)


def days(counts: list[tuple[int, ...]]) -> list[dict[str, Any]]:
    names = ("success", "error", "timeout", "fatal")
    dates = (date(2026, 11, 1) + timedelta(days=n) for n in range(len(counts)))
    return [{"day": d.isoformat()} | dict(zip(names, c, strict=True)) for d, c in zip(dates, counts, strict=True)]


def test_a_week_reads_as_text() -> None:
    assert chart(days([(30, 0, 0, 0), (10, 5, 0, 0), (0, 0, 0, 0), (0, 1, 1204, 1)])).lines == (
        "Day                                   delivered  errors  timeouts  fatal",
        "Sun 01 Nov  =                                30       0         0      0",
        "Mon 02 Nov  =x                               10       5         0      0",
        "Tue 03 Nov                                    0       0         0      0",
        "Wed 04 Nov  x~~~~~~~~~~~~~~~~~~~~~~!          0       1     1,204      1",
        "4 days                                       40       6     1,204      1",
    )


def test_a_day_names_only_what_it_had() -> None:
    row = chart(days([(0, 1, 2000, 0)])).rows[0]
    assert [part.label for part in row.parts] == ["1 error", "2,000 timeouts"]


def test_days_that_lack_an_outcome_count_it_as_none() -> None:
    assert chart([{"day": "2026-11-01", "error": 2}]).total.parts[0].label == "2 errors"


def test_a_single_failure_among_millions_shows() -> None:
    drawn = chart(days([(10_000_000, 1, 1, 1)]))
    assert [part.share for part in drawn.rows[0].parts] == [97, 1, 1, 1]
    assert "=x~!" in drawn.lines[1]


@given(WEEKS)
def test_every_line_has_the_same_width_and_fits(counts: list[tuple[int, ...]]) -> None:
    lines = chart(days(counts)).lines
    assert len({len(line) for line in lines}) == 1
    assert len(lines[0]) <= COLUMNS


@given(WEEKS)
def test_no_bar_is_longer_than_the_longest_and_none_hides_an_outcome(counts: list[tuple[int, ...]]) -> None:
    for row in chart(days(counts)).rows:
        assert sum(part.share for part in row.parts) <= 100
        assert all(part.share for part in row.parts)


@given(WEEKS)
def test_the_totals_are_the_sums(counts: list[tuple[int, ...]]) -> None:
    drawn = chart(days(counts))
    sums = [sum(column) for column in zip(*counts, strict=True)]
    assert [part.label.split()[0] for part in drawn.total.parts] == [f"{n:,}" for n in sums if n]
    assert bool(drawn.rows) == any(sums)
