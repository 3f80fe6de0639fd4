"""The log of deliveries that succeeded at once, and their bodies for as long as they are kept.

A pack has what one batch delivered. A page has the packs of one process and hour, so no key grows hot, however
many there are. An app's list names the pages that have something of it, so nothing else is read to show its log.
Bodies stand apart from the packs: they are kept for a shorter time, and the log is read without them.
"""

import base64
import itertools
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pynamodb.attributes import BinaryAttribute, NumberAttribute, UnicodeAttribute
from pynamodb.models import Model

from bellhop import kept_bodies
from bellhop.attempts import expiry
from bellhop.deliveries import Delivery
from bellhop.kept_bodies import IncompleteError
from bellhop.known_text import KnownText
from bellhop.registry import find as find_item

PAGE = timedelta(hours=1)
LONGEST = timedelta(minutes=15)  # from an attempt to its pack: Lambda's longest timeout

Row = dict[str, Any]  # an attempt's row, with the names of its delivery: `app`, `delivery_id`, `event`, `event_id`


class Delivered(Model):
    """An item of the log: a page's pack, placed by its time; a part of its bodies; or a page in an app's list.

    `apps` has a mark of each app of a pack, so that a query returns the packs of one app. Names would be too long.
    """

    class Meta:
        table_name = "delivered"

    key = UnicodeAttribute(hash_key=True)
    place = UnicodeAttribute(range_key=True)
    apps = UnicodeAttribute(null=True)
    packed = BinaryAttribute(legacy_encoding=False, null=True)  # compressed: ten deliveries fit in one write unit
    expires_at = NumberAttribute()

    @property
    def rows(self) -> list[Row]:
        """A pack's rows, one for each delivery."""
        found: list[Row] = json.loads(zlib.decompress(self.packed)) if self.packed else []
        return found


@dataclass(frozen=True, slots=True)
class Success:
    """A delivery that succeeded at once, and its row."""

    delivery: Delivery
    row: Row


@dataclass
class SuccessLog:
    """What one process writes; `process` tells it from the others. `keep_bodies`: for how long, or not at all."""

    process: str
    keep_bodies: timedelta
    _page: str = ""
    _listed: set[str] = field(default_factory=set)  # the apps whose list has that page
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def write(self, successes: Sequence[Success], now: datetime) -> None:
        """Log what a batch delivered at once: by one call, unless many apps are new on this page, or bodies large.

        Raises:
            PutError: the table did not respond, or refused; a part may be written.
        """
        if not successes:
            return
        page = f"{_hour(now)}#{self.process}"
        if page != self._page:
            self._page, self._listed = page, set()
        unlisted = {success.row["app"] for success in successes} - self._listed
        place = f"{_moment(now)}#{next(self._numbers)}"
        with Delivered.batch_write() as batch:
            # The lists come first: a pack that no list leads to would never be found.
            for app in sorted(unlisted):
                batch.save(Delivered(_list_of(app), page, expires_at=expiry(now + PAGE)))
            batch.save(_pack([success.row for success in successes], page, place, now))
            for part in self._bodies([success.delivery for success in successes], page, place, now):
                batch.save(part)
        self._listed |= unlisted

    def _bodies(self, deliveries: Sequence[Delivery], page: str, place: str, now: datetime) -> Iterator[Delivered]:
        if self.keep_bodies:
            for number, part in enumerate(kept_bodies.pack(deliveries, _hour_of(page))):
                ends = expiry(now, self.keep_bodies)
                yield Delivered(_bodies_of(page, number), place, packed=part, expires_at=ends)


def pages(app_id: str, since: datetime, until: datetime) -> Iterator[str]:
    """The pages that may have something of an app between these times, newest first; read as they are taken."""
    within = Delivered.place.between(_hour(since), f"{_hour(until)}~")
    return (item.place for item in Delivered.query(_list_of(app_id), within, scan_index_forward=False))


def hour_of(page: str) -> datetime:
    """When the hour of a page begins."""
    return datetime.fromisoformat(f"{_hour_of(page)}:00+00:00")


def packs(page: str, app_id: str | None, since: datetime, until: datetime) -> Iterator[Delivered]:
    """The packs of a page that may have something of an app, written at `since` or later, and before `until`.

    Without an app, all packs of that time.
    """
    within = Delivered.place.between(_moment(since), _moment(until))
    wanted = None if app_id is None else Delivered.apps.contains(_mark(app_id))
    return Delivered.query(page, within, filter_condition=wanted)


def find(app_id: str, delivery_id: str, at: datetime) -> Delivery | None:
    """A delivery that succeeded at once by an attempt at that time, as notify made it.

    None where it is not in the log, or its body is not kept any more.
    """
    since, until = at, at + LONGEST
    for page in pages(app_id, since, until):
        for pack in packs(page, app_id, since, until):
            for number, row in enumerate(pack.rows):
                if (row["app"], row["delivery_id"]) == (app_id, delivery_id):
                    return kept(page, pack.place, number, row)
    return None


def kept(page: str, place: str, number: int, row: Row) -> Delivery | None:
    """The delivery whose row is the one of that number in a page's pack; None if its body is not kept any more."""
    return kept_of_pack(page, place, {number: row}).get(number)


def kept_of_pack(page: str, place: str, rows: Mapping[int, Row]) -> dict[int, Delivery]:
    """The deliveries of these rows of a page's pack, by their numbers; none if no bodies are kept any more."""
    known = {number: KnownText(row["event"], row["event_id"], _hour_of(page)) for number, row in rows.items()}
    try:
        unpacked = kept_bodies.unpack(_parts(page, place), known)
    except IncompleteError:
        return {}
    found = {}
    for number, row in rows.items():
        names, body = unpacked[number]
        of_row = {name: row[name] for name in ("delivery_id", "event_id", "event")}
        found[number] = Delivery(app_id=row["app"], body=body, **of_row, **names)
    return found


def _parts(page: str, place: str) -> Iterator[bytes]:
    """The parts of a pack's bodies, up to the first that is missing."""
    for number in itertools.count():
        item = find_item(Delivered, _bodies_of(page, number), place)
        if item is None or item.packed is None:
            return
        yield item.packed


def _list_of(app_id: str) -> str:
    return f"app#{app_id}"


def _bodies_of(page: str, number: int) -> str:
    # Each part has a key of its own: a pack of large ones would be more than a key takes in a second.
    return f"bodies#{page}#{number}"


def _mark(app_id: str) -> str:
    # Four characters. Another app may have the same, or two marks side by side look like it: readers look again.
    return base64.b64encode(zlib.crc32(app_id.encode()).to_bytes(4, "big")[:3]).decode()


def _pack(rows: Sequence[Row], page: str, place: str, now: datetime) -> Delivered:
    marks = "".join(_mark(app) for app in sorted({row["app"] for row in rows}))
    packed = zlib.compress(json.dumps(rows, separators=(",", ":")).encode())
    return Delivered(page, place, apps=marks, packed=packed, expires_at=expiry(now))


def _hour_of(page: str) -> str:
    return page.partition("#")[0]


def _hour(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H")


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds")
