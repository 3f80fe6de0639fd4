"""The keys of the indexes by_app and replayable: an app's records are spread, so that no key is hot.

DynamoDB takes 1,000 write units a second on one key of an index, and refuses what the table is to write beyond
that. An app's first key is its id, and the only one that version 0.1.0 reads. The records of a calm app are there.
Of a busy app, what is more than its first key should take is spread over further keys, by delivery.

In replayable the first key is what is released and tried first, so of an app that others may have installed it
takes of each organisation only so much: one organisation's flood is under the further keys, and delays itself.
"""

import heapq
import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from cachetools import LRUCache
from pynamodb.attributes import NumberAttribute, UnicodeAttribute
from pynamodb.exceptions import PynamoDBException
from pynamodb.indexes import GlobalSecondaryIndex, IncludeProjection
from pynamodb.models import Model

from bellhop import circuits, tables
from bellhop.budget import OutOfBudgetError

FURTHER_KEYS = 15  # of an app, in each index; docs/capacity.md has the arithmetic
FIRST_KEY_RECORDS = 240  # a second, of one app by all processes: each is written there up to three times
AHEAD_SECONDS = 0.5  # by which a process may be ahead of its share
ORGANIZATION_RECORDS = 120  # of one organisation, listed under the first key at once by all processes together,
ORGANIZATION_SECONDS = 60.0  # and then one more in so many seconds
BLOCK_RECORDS = 10  # of these, reserved at a time
FREE_RECORDS = 2  # more, for which a process asks nobody: most organisations have no more parked
REFUSED_SECONDS = 60.0  # for which a process does not ask again
BUSY_SECONDS = 5.0  # the same where all organisations of an app used up as much as FIRST_KEY_RECORDS once more;
LASTS_SECONDS = 1.0  # a block of these is good for so long, so that no key gets at once what was reserved in many
REMEMBERED = 10_000  # apps, or organisations of an app
ALL_AT_ONCE = 400  # rows of a page, where all are read
_SEPARATOR = "#"  # no app's id has one
_ENTRY = "entry#"  # no delivery's id begins so


class ByApp(GlobalSecondaryIndex[Any]):  # type: ignore[no-untyped-call]
    """An app's records, by the time at which they were opened, for its log."""

    class Meta:
        index_name = "by_app"
        projection = IncludeProjection(["state", "event", "event_id"])

    app_id = UnicodeAttribute(hash_key=True)
    created_at = UnicodeAttribute(range_key=True)


class Replayable(GlobalSecondaryIndex[Any]):  # type: ignore[no-untyped-call]
    """What can be replayed of an app; only records with a `replayable_for` are in it."""

    class Meta:
        index_name = "replayable"
        projection = IncludeProjection(["state", "attempts_made"])

    replayable_for = UnicodeAttribute(hash_key=True)
    replayable_at = UnicodeAttribute(range_key=True)


class Entry(Model):
    """What stands in by_app, under a further key, for a record that does not. In the same table as the records.

    A record's own key there is its `app_id`, and whoever reads a record goes by that, 0.1.0 too. So it cannot name
    a further key. A record with such an entry has no `created_at`, and is not in by_app itself. One that is resent
    gets one more entry, at the time of the resend.
    """

    class Meta:
        table_name = "attempts"

    entry_id = UnicodeAttribute(hash_key=True, attr_name="delivery_id")
    key = UnicodeAttribute(attr_name="app_id")
    created_at = UnicodeAttribute()
    expires_at = NumberAttribute()


@dataclass
class Allowance:
    """What one process may write under first keys: a record in `seconds`, and `ahead` seconds' worth at once.

    By the generic cell rate algorithm, of each name by itself. `clock` in seconds.
    """

    seconds: float
    ahead: float
    clock: Callable[[], float]
    _used_until: LRUCache[str, float] = field(default_factory=lambda: LRUCache(REMEMBERED))

    def take(self, name: str) -> bool:
        """Use it for one more record; False where that is too much."""
        now = self.clock()
        used_until = max(now, self._used_until.get(name, now))
        if used_until > now + self.ahead:
            return False
        self._used_until[name] = used_until + self.seconds
        return True


@dataclass
class SharedAllowance:
    """What all processes together may list under first keys: of each name a record in `seconds`, `ahead` at once.

    Each process reserves a block of it at a time, in the circuits, and uses that up within `lasts` seconds. It
    lists `free` more in a block's stead, for which it asks nobody. Where it is refused, it does not ask again for
    `refused` seconds. `clock` in Unix seconds.
    """

    seconds: float
    ahead: int
    refused: float
    clock: Callable[[], float]
    lasts: float = math.inf
    free: int = 0
    _left: LRUCache[str, tuple[int, float]] = field(default_factory=lambda: LRUCache(REMEMBERED))
    _refused_until: LRUCache[str, float] = field(default_factory=lambda: LRUCache(REMEMBERED))

    def has(self, name: str) -> bool:
        """Whether one more record may be listed; reserves a block if that is needed."""
        left, until = self._left.get(name, (self.free, math.inf))
        return (left > 0 and self.clock() <= until) or self._reserve(name)

    def use(self, name: str) -> None:
        """Use up what there is for one record."""
        left, until = self._left.get(name, (self.free, math.inf))
        self._left[name] = left - 1, until

    def _reserve(self, name: str) -> bool:
        """Whether a block was reserved.

        Policy: none where the circuits do not respond. What is under a further key is released too, only later.
        """
        now = self.clock()
        if now < self._refused_until.get(name, 0.0):
            return False
        try:
            reserved = circuits.reserve_listing(name, now, BLOCK_RECORDS * self.seconds, self.ahead * self.seconds)
        except (PynamoDBException, OutOfBudgetError):
            reserved = False
        if reserved:
            self._left[name] = BLOCK_RECORDS, now + self.lasts
        else:
            self._refused_until[name] = now + self.refused
        return reserved


class KeyChoice:
    """Under which keys a record is logged and listed; in one of so many `processes`. `clock` in Unix seconds.

    Each process has its share of what the first key of an app should take, for which nobody has to be asked. Of an
    app that others may have installed, the first key of the list has room for more, which all of them share.
    """

    def __init__(self, processes: int, clock: Callable[[], float]) -> None:
        self._logged = Allowance(processes / FIRST_KEY_RECORDS, AHEAD_SECONDS, clock)
        self._listed = Allowance(processes / FIRST_KEY_RECORDS, AHEAD_SECONDS, clock)
        ahead = round(AHEAD_SECONDS * FIRST_KEY_RECORDS)
        self._shared = SharedAllowance(1 / FIRST_KEY_RECORDS, ahead, BUSY_SECONDS, clock, LASTS_SECONDS)
        self._organizations = SharedAllowance(
            ORGANIZATION_SECONDS, ORGANIZATION_RECORDS, REFUSED_SECONDS, clock, free=FREE_RECORDS
        )

    def log_key(self, app_id: str, delivery_id: str) -> str:
        """The key of one more record in by_app: the app's first, or if that has had its share, a further one."""
        return app_id if self._logged.take(app_id) else further_key(app_id, delivery_id)

    def list_key(self, app_id: str, delivery_id: str, organization_id: str | None = None) -> str:
        """The same in replayable, where an organisation has an allowance; None if the app is nobody else's."""
        first = self._listed.take(app_id) if organization_id is None else self._has_room(app_id, organization_id)
        return app_id if first else further_key(app_id, delivery_id)

    def _has_room(self, app_id: str, organization_id: str) -> bool:
        """Whether the first key has room for one more of an organisation; only then its allowance is used."""
        own, shared = (circuits.share_key(app_id, each) for each in (organization_id, circuits.ALL))
        if not self._organizations.has(own):
            return False
        if not self._listed.take(app_id):
            if not self._shared.has(shared):
                return False
            self._shared.use(shared)
        self._organizations.use(own)
        return True


def further_key(app_id: str, delivery_id: str) -> str:
    """The further key of an app for a delivery."""
    return f"{app_id}{_SEPARATOR}{1 + zlib.crc32(delivery_id.encode()) % FURTHER_KEYS}"


def all_keys(app_id: str) -> list[str]:
    """An app's keys, the first one first."""
    return [app_id, *further_keys(app_id)]


def further_keys(app_id: str) -> list[str]:
    """An app's keys but the first one."""
    return [f"{app_id}{_SEPARATOR}{number}" for number in range(1, 1 + FURTHER_KEYS)]


def enter(key: str, delivery_id: str, created_at: str, expires_at: int) -> None:
    """Write the entry of a record that is about to be opened."""
    _write_entry(delivery_id, key, created_at, expires_at)


def enter_again(app_id: str, delivery_id: str, at: str, expires_at: int) -> None:
    """Write a further entry of a record that goes on after a while, so that the log of that time leads to it."""
    _write_entry(f"{delivery_id}{_SEPARATOR}{expires_at}", further_key(app_id, delivery_id), at, expires_at)


def _write_entry(name: str, key: str, created_at: str, expires_at: int) -> None:
    entry = Entry(f"{_ENTRY}{name}")
    entry.update(actions=[Entry.key.set(key), Entry.created_at.set(created_at), Entry.expires_at.set(expires_at)])


def delivery_ids(rows: Iterable[Any]) -> Iterator[str]:
    """The deliveries that rows of by_app are about, records and entries; each once."""
    seen = set[str]()
    for row in rows:
        delivery_id = row.delivery_id.removeprefix(_ENTRY).partition(_SEPARATOR)[0]
        if delivery_id not in seen:
            seen.add(delivery_id)
            yield delivery_id


def count(index: GlobalSecondaryIndex[Any], keys: Iterable[str], condition: Any, limit: int) -> int:
    """How many rows an index has under these keys; of each key at most `limit` are counted."""
    return sum(int(index.count(key, condition, limit=limit)) for key in keys)


def read(
    index: GlobalSecondaryIndex[Any],
    keys: Iterable[str],
    condition: Any,
    limit: int | None,
    place: str,
    *,
    backwards: bool = False,
) -> Iterator[Any]:
    """An app's rows in an index under some of its keys, as if these were one; of which so many are taken, or all.

    `place` is the attribute by which the index is sorted. To take so many, each key is asked once, seldom more.
    What of a row cannot be read is as if it were missing.
    """
    # A further key has a sixteenth of a busy app's rows, if any, and what is read in vain is paid for.
    whole = limit or ALL_AT_ONCE
    part = max(10, whole // 4)
    found: Sequence[Any] = [
        index.query(
            key,
            condition,
            scan_index_forward=not backwards,
            page_size=min(whole, part) if _SEPARATOR in key else whole,
        )
        for key in keys
    ]
    model = index._model  # noqa: SLF001 - pynamodb offers no public way to know it
    return heapq.merge(*(tables.rows(each, model) for each in found), key=attrgetter(place), reverse=backwards)
