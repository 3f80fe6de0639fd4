"""The log of successes as 0.1.0 writes it, in a table of its own: a partition a minute, without lists of apps.

It is only read here, while its rows live: those from before the upgrade, and those from a roll-back.
"""

import json
import zlib
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from math import ceil
from typing import Any

from pynamodb.attributes import BinaryAttribute, ListAttribute, NumberAttribute, UnicodeAttribute
from pynamodb.models import Model

from bellhop.successes import Row

SCANNED = 10  # calls, of up to a mebibyte each; where that is not all, each minute is asked for
FEW_MINUTES = timedelta(minutes=5)  # that are asked for one by one: who looks again and again shall not scan
AT_ONCE = 10  # calls side by side: as many as a client keeps connections

_MINUTE = timedelta(minutes=1)


class MinutePack(Model):
    """What one batch delivered: `apps` to filter by."""

    class Meta:
        table_name = "successes"

    bucket = UnicodeAttribute(hash_key=True)
    pack = UnicodeAttribute(range_key=True)
    apps: ListAttribute[str] = ListAttribute()
    packed = BinaryAttribute(legacy_encoding=False)
    expires_at = NumberAttribute()

    @property
    def rows(self) -> list[Row]:
        """A row for each delivery."""
        found: list[Row] = json.loads(zlib.decompress(self.packed))
        return found


@dataclass(frozen=True, slots=True)
class MinutePacks:
    """An app's packs of that kind. `scanned` has them all, oldest first, if they were read at once."""

    app_id: str
    scanned: Sequence[MinutePack] | None

    def newest_before(self, until: datetime) -> datetime | None:
        """A time from which on, up to `until`, there is nothing; None if there is nothing before it either."""
        if self.scanned is None:
            return until
        number = self._number_before(until)
        return _written_at(self.scanned[number - 1]) + timedelta.resolution if number else None

    def rows(self, since: datetime, until: datetime) -> Iterator[Row]:
        """The rows of what was packed at `since` or later, and before `until`."""
        for pack in self._packs(since, until):
            yield from (row for row in pack.rows if row["app"] == self.app_id)

    def _packs(self, since: datetime, until: datetime) -> Iterator[MinutePack]:
        if self.scanned is None:
            yield from _by_minute(self.app_id, since, until)
        else:
            yield from self.scanned[self._number_before(since) : self._number_before(until)]

    def _number_before(self, at: datetime) -> int:
        return bisect_left(self.scanned or (), at, key=_written_at)


def find(app_id: str, since: datetime, until: datetime) -> MinutePacks:
    """What 0.1.0 wrote of an app between these times: nothing, 30 days after the last of its deliver processes."""
    if until - since <= FEW_MINUTES:
        return MinutePacks(app_id, None)
    found = MinutePack.scan(MinutePack.apps.contains(app_id))
    calls: list[dict[str, Any]] = list(islice(found.page_iter, SCANNED + 1))
    if len(calls) > SCANNED:
        return MinutePacks(app_id, None)
    packs = (MinutePack.from_raw_data(item) for call in calls for item in call["Items"])
    return MinutePacks(app_id, sorted(packs, key=_written_at))


def _by_minute(app_id: str, since: datetime, until: datetime) -> Iterator[MinutePack]:
    first = since.astimezone(UTC).replace(second=0, microsecond=0)
    minutes = [first + n * _MINUTE for n in range(ceil((until - first) / _MINUTE))]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for packs in pool.map(partial(_of_minute, app_id), minutes):
            yield from (pack for pack in packs if since <= _written_at(pack) < until)


def _of_minute(app_id: str, minute: datetime) -> list[MinutePack]:
    bucket = minute.strftime("%Y-%m-%dT%H:%M")
    return list(MinutePack.query(bucket, filter_condition=MinutePack.apps.contains(app_id)))


def _written_at(pack: MinutePack) -> datetime:
    return datetime.fromisoformat(pack.pack.partition("#")[0])
