"""The attempts of apps, newest first: of deliveries that failed or wait, and of those that succeeded at once."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from bellhop import app_lists
from bellhop.attempts import DeliveryRecord
from infra.cli import body_search, delivered, entries
from infra.cli.body_search import Search
from infra.cli.chosen_apps import Within
from infra.cli.entries import Entry, Wanted
from infra.cli.views import read_records

RECORDS = 500  # at most, the newest; each is read whole
# An attempt may belong to a delivery that first failed long before: as long as a chain of retries lasts.
CHAIN = timedelta(days=4)
APPS_AT_ONCE = 5  # read side by side, each by as many calls as delivered.py makes


@dataclass(frozen=True, slots=True)
class Log:
    """The newest entries, newest first, none older than `since`.

    `complete` says whether these are all since then; if not, the limit or the number of records cut them off, or a
    search, which was made back to `reached`.
    """

    entries: tuple[Entry, ...]
    since: datetime
    complete: bool
    reached: datetime


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read of an app's log: the newest `limit` of the wanted entries between two times.

    With a `search` only those in which it finds its text, among the newest `most`. `chain`: for how long before
    `since` a delivery may have failed first.
    """

    since: datetime
    until: datetime
    limit: int
    wanted: Wanted = field(default_factory=Wanted)
    search: Search | None = None
    most: int = body_search.MOST
    chain: timedelta = CHAIN

    def of_app(self, app_id: str, within: Within | None = None) -> Log:
        """The app's; of its deliveries in one organisation, if one is given."""
        wanted = replace(self.wanted, within=within)
        records, all_read = self._records(app_id)
        found = self._between(wanted, (entry for record in records for entry in entries.of_record(record)))
        found, reached = self.search.matching(found, self.limit) if self.search else found, self.since
        if not wanted.only_failures:
            successes, reached = self._successes(app_id, wanted, found)
            found = _newest_first(entry for entry in [*found, *successes] if entry.at >= reached)
        complete = all_read and len(found) < self.limit and reached == self.since
        return Log(tuple(found[: self.limit]), self.since, complete, reached)

    def of_apps(self, apps: Mapping[str, Within | None]) -> Log:
        """Those of several apps, merged."""
        if self.search or len(apps) == 1:
            each = replace(self, most=self.most // len(apps))
            return self._merged([each.of_app(*app) for app in apps.items()])
        with ThreadPoolExecutor(APPS_AT_ONCE) as pool:
            return self._merged(list(pool.map(self.of_app, apps, apps.values())))

    def _merged(self, logs: Sequence[Log]) -> Log:
        reached = max(log.reached for log in logs)
        found = _newest_first(entry for log in logs for entry in log.entries if entry.at >= reached)
        complete = all(log.complete for log in logs) and len(found) <= self.limit
        return Log(tuple(found[: self.limit]), self.since, complete, reached)

    def _between(self, wanted: Wanted, found: Iterable[Entry]) -> list[Entry]:
        return _newest_first(e for e in found if self.since <= e.at <= self.until and e in wanted)

    def _records(self, app_id: str) -> tuple[list[DeliveryRecord], bool]:
        within = self.since - self.chain, self.until + delivered.AHEAD
        ids, complete = app_lists.newest(app_id, *within, RECORDS)
        return read_records(ids), complete

    def _successes(self, app_id: str, wanted: Wanted, others: Iterable[Entry]) -> tuple[list[Entry], datetime]:
        """What succeeded at once, backwards until nothing older can be among the newest; how far that went."""
        found, looked = list[Entry](), 0
        times = [entry.at for entry in others]
        for begin, rows in delivered.newest(app_id, self.since, self.until):
            some = self._between(wanted, map(entries.of_success, rows))
            room = self.most - looked if self.search else len(some)
            found += self.search.matching(some[:room], self.limit) if self.search else some
            looked += len(some[:room])
            if len(some) > room:
                return found, max(begin, some[room].at)
            if sum(at >= begin for at in times) + sum(entry.at >= begin for entry in found) >= self.limit:
                return found, self.since
        return found, self.since


def _newest_first(found: Iterable[Entry]) -> list[Entry]:
    return sorted(found, key=lambda e: (e.at, e.delivery_id, e.number), reverse=True)
