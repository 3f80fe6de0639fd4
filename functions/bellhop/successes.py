"""The log of deliveries that succeeded at once: packed, many to an item, without their bodies."""

import json
import zlib
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from pynamodb.attributes import BinaryAttribute, ListAttribute, NumberAttribute, UnicodeAttribute
from pynamodb.models import Model

from bellhop.attempts import expiry


class SuccessPack(Model):
    """The deliveries of one batch that succeeded at once: `apps` to filter by, `entries` to show."""

    class Meta:
        table_name = "successes"

    bucket = UnicodeAttribute(hash_key=True)
    pack = UnicodeAttribute(range_key=True)
    apps: ListAttribute[str] = ListAttribute()
    packed = BinaryAttribute(legacy_encoding=False)  # compressed: ten deliveries fit in one write unit
    expires_at = NumberAttribute()

    @property
    def entries(self) -> list[dict[str, Any]]:
        """An entry for each delivery: its names, app and attempt."""
        found: list[dict[str, Any]] = json.loads(zlib.decompress(self.packed))
        return found


def pack(rows: Iterable[tuple[str, dict[str, Any]]], batch_id: str, now: datetime) -> None:
    """Log the first-attempt successes of a batch, (app, row) each, in one item."""
    entries = [{"app": app} | row for app, row in rows]
    if entries:
        SuccessPack(
            bucket(now),
            f"{now.isoformat(timespec='milliseconds')}#{batch_id}",
            apps=sorted({entry["app"] for entry in entries}),
            packed=zlib.compress(json.dumps(entries, separators=(",", ":")).encode()),
            expires_at=expiry(now),
        ).save()


def bucket(now: datetime) -> str:
    """The partition of the success log: one a minute, so that no key stays hot."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M")
