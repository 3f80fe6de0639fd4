"""What an app's endpoint accepted at once, newest first: as many reads as there is to show, whatever the span."""

import heapq
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import groupby, islice

from bellhop import successes
from bellhop.successes import LONGEST, PAGE, Row
from infra.cli import minute_packs
from infra.cli.minute_packs import AT_ONCE

AHEAD = timedelta(minutes=1)  # by which deliver's clock may be
PAGES = 200  # that `find` reads at most
FIRST_SPAN = timedelta(minutes=1)  # each further one is twice as long: 30 days are 16 spans


@dataclass
class Pages:
    """An app's pages, read span by span backwards; `unread` has them newest first."""

    app_id: str
    unread: Iterator[str]
    _next: str | None = None
    _overlapping: list[str] = field(default_factory=list)  # the spans that were read and those that were not

    def __post_init__(self) -> None:
        self._next = next(self.unread, None)

    @property
    def ended(self) -> bool:
        """Whether nothing is left."""
        return self._next is None and not self._overlapping

    def rows(self, since: datetime, until: datetime) -> Iterator[Row]:
        """The rows of what was packed at `since` or later, and before `until`."""
        while self._next and successes.hour_of(self._next) + PAGE > since:
            self._overlapping.append(self._next)
            self._next = next(self.unread, None)
        if self._overlapping:
            with ThreadPoolExecutor(AT_ONCE) as pool:
                for rows in pool.map(partial(self._rows_of, since, until), self._overlapping):
                    yield from rows
        self._overlapping = [page for page in self._overlapping if successes.hour_of(page) < since]

    def _rows_of(self, since: datetime, until: datetime, page: str) -> list[Row]:
        packs = successes.packs(page, self.app_id, since, until)
        return [row for pack in packs for row in pack.rows if row["app"] == self.app_id]


def newest(app_id: str, since: datetime, now: datetime) -> Iterator[tuple[datetime, list[Row]]]:
    """Span by span backwards: when the span begins, and the rows of what was packed in it.

    What is packed before a span was attempted before it, so of what was attempted in the spans so far nothing is
    missing.
    """
    until, span = now + AHEAD, FIRST_SPAN
    sources = Pages(app_id, successes.pages(app_id, since, until)), minute_packs.find(app_id)
    while until > since and not all(source.ended for source in sources):
        begin = max(until - span, since)
        yield begin, [row for source in sources for row in source.rows(begin, until)]
        until, span = begin, 2 * span


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
