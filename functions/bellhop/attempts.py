"""The delivery log.

A delivery that failed once, was parked or is exhausted has a record of its own with its body: the record is
the authority over its retries, queue messages are only reminders to look at it. Deliveries that succeeded at
once are packed, many to an item, without their bodies.
"""

import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pynamodb.attributes import (
    BinaryAttribute,
    ListAttribute,
    NumberAttribute,
    UnicodeAttribute,
)
from pynamodb.exceptions import PutError, UpdateError
from pynamodb.indexes import GlobalSecondaryIndex, IncludeProjection
from pynamodb.models import Model

from bellhop.deliveries import Delivery
from bellhop.tables import lost_condition

KEPT = timedelta(days=30)

RETRYING = "retrying"  # an attempt failed, another is due
DELIVERED = "delivered"
EXHAUSTED = "exhausted"  # the last retry failed
STOPPED = "stopped"  # the endpoint, or our guard, said never to try again
PARKED = "parked"  # the app is switched off


class _ByApp(GlobalSecondaryIndex["DeliveryRecord"]):  # type: ignore[no-untyped-call]
    class Meta:
        index_name = "by_app"
        projection = IncludeProjection(["state", "event", "event_id"])

    app_id = UnicodeAttribute(hash_key=True)
    created_at = UnicodeAttribute(range_key=True)


class DeliveryRecord(Model):
    """A delivery that did not succeed at once.

    `attempt` is the number of the last attempt that ended, `queued` that of the last attempt known to be on
    its way, `lease` and `lease_until` (epoch seconds) name the worker that makes the next one. `history` has
    an entry for each attempt.
    """

    class Meta:
        table_name = "attempts"

    delivery_id = UnicodeAttribute(hash_key=True)
    app_id = UnicodeAttribute()
    created_at = UnicodeAttribute()
    organization_id = UnicodeAttribute()
    installation_id = UnicodeAttribute()
    event_id = UnicodeAttribute()
    event = UnicodeAttribute()
    state = UnicodeAttribute()
    attempt = NumberAttribute(default=0)
    queued = NumberAttribute(default=0)
    lease = UnicodeAttribute(null=True)
    lease_until = NumberAttribute(null=True)
    history: ListAttribute[Any] = ListAttribute(default=list)
    body = BinaryAttribute(legacy_encoding=False)
    expires_at = NumberAttribute()
    by_app = _ByApp()

    @property
    def delivery(self) -> Delivery:
        """The delivery as notify made it."""
        return Delivery(
            delivery_id=self.delivery_id,
            event_id=self.event_id,
            event=self.event,
            app_id=self.app_id,
            organization_id=self.organization_id,
            installation_id=self.installation_id,
            body=zlib.decompress(self.body),
        )


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


@dataclass(frozen=True, slots=True)
class Attempt:
    """One ended attempt. `milliseconds` is its whole duration; `answer` the first KiB of the response."""

    number: int
    at: datetime
    milliseconds: int
    request_id: str
    result: str  # "http_200", "http_500", "timeout", ...
    status: int | None = None
    answer: str = ""

    def row(self) -> dict[str, Any]:
        """The attempt as the log keeps it."""
        row = {
            "n": self.number,
            "at": self.at.isoformat(timespec="milliseconds"),
            "ms": self.milliseconds,
            "request_id": self.request_id,
            "result": self.result,
        }
        seen = {"status": self.status, "answer": self.answer}
        return row | {name: value for name, value in seen.items() if value}


def load(delivery_id: str) -> DeliveryRecord | None:
    """The record as it is now, or None."""
    try:
        return DeliveryRecord.get(delivery_id, consistent_read=True)
    except DeliveryRecord.DoesNotExist:
        return None


def open_record(
    delivery: Delivery, state: str, now: datetime, attempt: Attempt | None = None
) -> DeliveryRecord | None:
    """Write a delivery's record for the first time; None when it has one already."""
    number = attempt.number if attempt else 0
    record = DeliveryRecord(
        delivery.delivery_id,
        app_id=delivery.app_id,
        # The delivery's id keeps apart what was created in the same millisecond.
        created_at=f"{now.isoformat(timespec='milliseconds')}#{delivery.delivery_id}",
        organization_id=delivery.organization_id,
        installation_id=delivery.installation_id,
        event_id=delivery.event_id,
        event=delivery.event,
        state=state,
        attempt=number,
        queued=number,
        history=[attempt.row()] if attempt else [],
        body=zlib.compress(delivery.body),
        expires_at=_expiry(now),
    )
    try:
        record.save(condition=DeliveryRecord.delivery_id.does_not_exist())
    except PutError as error:
        if lost_condition(error):
            return None
        raise
    return record


def claim(delivery_id: str, number: int, lease: str, now: datetime, seconds: float) -> DeliveryRecord | None:
    """Take attempt `number` for this worker for `seconds`; None when it is not to be had.

    An expired lease is its worker's death: the attempt may be made again, the webhook may arrive twice.
    """
    record, row = DeliveryRecord(delivery_id), DeliveryRecord
    free = row.lease_until.does_not_exist() | (row.lease_until < now.timestamp()) | (row.lease == lease)
    try:
        record.update(
            actions=[row.lease.set(lease), row.lease_until.set(now.timestamp() + seconds)],
            condition=(row.state == RETRYING) & (row.attempt == number - 1) & free,
        )
    except UpdateError as error:
        if lost_condition(error):
            return None
        raise
    return record


def finish(record: DeliveryRecord, state: str, attempt: Attempt) -> bool:
    """Write a claimed attempt's end; False when the lease was lost meanwhile and another worker decides."""
    row = DeliveryRecord
    return _owned(
        record,
        [
            row.state.set(state),
            row.attempt.set(attempt.number),
            row.history.set(row.history.append([attempt.row()])),
        ],
    )


def give_back(record: DeliveryRecord, state: str = RETRYING) -> bool:
    """End a claim without an attempt: the budget is untouched. `state` PARKED parks the delivery."""
    return _owned(record, [DeliveryRecord.state.set(state)])


def confirm(record: DeliveryRecord, number: int) -> None:
    """Note that attempt `number` is on the queue, so that a redelivered message does not send it again."""
    DeliveryRecord(record.delivery_id).update(
        actions=[DeliveryRecord.queued.set(number)], condition=DeliveryRecord.delivery_id.exists()
    )


def pack(rows: Iterable[tuple[str, dict[str, Any]]], batch_id: str, now: datetime) -> None:
    """Log the first-attempt successes of a batch, (app, row) each, in one item."""
    entries = [{"app": app} | row for app, row in rows]
    if entries:
        SuccessPack(
            bucket(now),
            f"{now.isoformat(timespec='milliseconds')}#{batch_id}",
            apps=sorted({entry["app"] for entry in entries}),
            packed=zlib.compress(json.dumps(entries, separators=(",", ":")).encode()),
            expires_at=_expiry(now),
        ).save()


def bucket(now: datetime) -> str:
    """The partition of the success log: one a minute, so that no key stays hot."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M")


def _owned(record: DeliveryRecord, actions: list[Any]) -> bool:
    row = DeliveryRecord
    try:
        record.update(
            actions=[*actions, row.lease.remove(), row.lease_until.remove()],
            condition=row.lease == record.lease,
        )
    except UpdateError as error:
        if lost_condition(error):
            return False
        raise
    return True


def _expiry(now: datetime) -> int:
    return int((now + KEPT).timestamp())
