"""What an app's endpoint accepted at once, newest first: as many reads as there is to show, whatever the span."""

import heapq
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import groupby, islice

from bellhop import successes
from bellhop.successes import LONGEST, PAGE, Row
from infra.cli import minute_packs
from infra.cli.minute_packs import AT_ONCE

AHEAD = timedelta(minutes=1)  # by which deliver's clock may be
PAGES = 200  # that `find` reads at most
FIRST_SPAN = timedelta(minutes=1)  # each further one is twice as long, up to an hour
MANY = 1_000  # rows of a span, after which the next one is half as long: what is dense is read in short spans


@dataclass(frozen=True, slots=True)
class Kept:
    """A row of the delivery log, and where the body of its delivery is, if it is kept.

    That is a page, the place of a pack in it, and the row's number in the pack. 0.1.0 kept no bodies: no page.
    """

    page: str
    place: str
    number: int
    row: Row


@dataclass
class Pages:
    """An app's pages, read span by span backwards; `unread` has them newest first."""

    app_id: str
    unread: Iterator[str]
    _next: str | None = None
    _overlapping: list[str] = field(default_factory=list)  # the spans that were read and those that were not

    def __post_init__(self) -> None:
        self._next = next(self.unread, None)

    def newest_before(self, until: datetime) -> datetime | None:
        """A time from which on, up to `until`, there is nothing; None if there is nothing before it either."""
        if self._overlapping:
            return until
        return min(until, successes.hour_of(self._next) + PAGE) if self._next else None

    def rows(self, since: datetime, until: datetime) -> Iterator[Kept]:
        """The rows of what was packed at `since` or later, and before `until`."""
        while self._next and successes.hour_of(self._next) + PAGE > since:
            self._overlapping.append(self._next)
            self._next = next(self.unread, None)
        if self._overlapping:
            with ThreadPoolExecutor(AT_ONCE) as pool:
                for rows in pool.map(partial(_rows_of, self.app_id, since, until), self._overlapping):
                    yield from rows
        self._overlapping = [page for page in self._overlapping if successes.hour_of(page) < since]


def rows_of(page: str, app_id: str, since: datetime, until: datetime) -> Iterator[Kept]:
    """An app's rows of a page, of what was packed at `since` or later, and before `until`."""
    for pack in successes.packs(page, app_id, since, until):
        for number, row in enumerate(pack.rows):
            if row["app"] == app_id:
                yield Kept(page, pack.place, number, row)


def _rows_of(app_id: str, since: datetime, until: datetime, page: str) -> list[Kept]:
    return list(rows_of(page, app_id, since, until))


def newest(app_id: str, since: datetime, now: datetime) -> Iterator[tuple[datetime, list[Kept]]]:
    """Span by span backwards: when the span begins, and the rows of what was packed in it.

    What is packed before a span was attempted before it, so of what was attempted in the spans so far nothing is
    missing. Nobody who stops has had more read than a span, which is at most an hour.
    """
    end, span = (now + AHEAD).astimezone(UTC), FIRST_SPAN
    pages, older = Pages(app_id, successes.pages(app_id, since, end)), minute_packs.find(app_id, since, end)
    while left := [at for source in (pages, older) if (at := source.newest_before(end))]:
        until = max(left)
        if until <= since:
            return
        begin = max(_beginning(until, span), since)
        rows = [*pages.rows(begin, until), *(Kept("", "", 0, row) for row in older.rows(begin, until))]
        yield begin, rows
        end, span = begin, max(span / 2, FIRST_SPAN) if len(rows) > MANY else min(2 * span, PAGE)


def _beginning(until: datetime, span: timedelta) -> datetime:
    """When a span begins. One of an hour has no page but its own hour's, so that each page is read once."""
    if span < PAGE:
        return until - span
    return (until - timedelta.resolution).replace(minute=0, second=0, microsecond=0)


@dataclass(frozen=True, slots=True)
class Found:
    """Deliveries that succeeded at once, by their ids. `complete`: all of that time was read."""

    rows: Mapping[str, Row]
    complete: bool


def find(wanted: Mapping[str, str], since: datetime, until: datetime) -> Found:
    """Of deliveries, given with their apps, those that succeeded at once between these times; each page read once.

    The newest pages are read first, until all are found or `PAGES` were read.
    """
    end = until + LONGEST
    lists = [successes.pages(app_id, since, end) for app_id in sorted(set(wanted.values()))]
    pages = (page for page, _ in groupby(heapq.merge(*lists, reverse=True)))
    found: dict[str, Row] = {}
    read = 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        while len(found) < len(wanted) and read < PAGES:
            some = list(islice(pages, AT_ONCE))
            if not some:
                return Found(found, complete=True)
            read += len(some)
            for rows in pool.map(partial(_wanted_of, wanted, since, end), some):
                found |= rows
    return Found(found, complete=len(found) == len(wanted))


def _wanted_of(wanted: Mapping[str, str], since: datetime, until: datetime, page: str) -> dict[str, Row]:
    [*apps] = set(wanted.values())
    only = apps[0] if len(apps) == 1 else None
    rows = (row for pack in successes.packs(page, only, since, until) for row in pack.rows)
    return {row["delivery_id"]: row for row in rows if wanted.get(row["delivery_id"]) == row["app"]}
