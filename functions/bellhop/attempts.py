"""The delivery log.

A delivery that failed once, waits, was parked or is exhausted has a record of its own with its body. The record
is the authority over its retries; queue messages and schedules are only reminders to look at it.

Each reminder names the attempt it is for, so whoever comes late finds the record ahead.
"""

import zlib
from dataclasses import dataclass
from datetime import datetime, timedelta
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

    `attempt` is the number of the last attempt that ended, `due_at` (epoch seconds) when the next is due.
    `lease` and `lease_until` name the worker that makes it. `history` has an entry for each attempt made;
    probes of a paused app are among them without having spent an attempt.
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
    due_at = NumberAttribute(default=0)
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


@dataclass(frozen=True, slots=True)
class End:
    """What an attempt, or the decision not to make one, leaves: the state, when the next is due, its row."""

    state: str
    due_at: float = 0.0
    attempt: Attempt | None = None
    spends: bool = True  # whether the attempt counts against the retry budget


def load(delivery_id: str) -> DeliveryRecord | None:
    """The record as it is now, or None."""
    try:
        return DeliveryRecord.get(delivery_id, consistent_read=True)
    except DeliveryRecord.DoesNotExist:
        return None


def open_record(delivery: Delivery, end: End, now: datetime) -> DeliveryRecord | None:
    """Write a delivery's record for the first time; None when it has one already."""
    record = DeliveryRecord(
        delivery.delivery_id,
        app_id=delivery.app_id,
        # The delivery's id keeps apart what was created in the same millisecond.
        created_at=f"{now.isoformat(timespec='milliseconds')}#{delivery.delivery_id}",
        organization_id=delivery.organization_id,
        installation_id=delivery.installation_id,
        event_id=delivery.event_id,
        event=delivery.event,
        state=end.state,
        attempt=_spent(end),
        due_at=end.due_at,
        history=[end.attempt.row()] if end.attempt else [],
        body=zlib.compress(delivery.body),
        expires_at=expiry(now),
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


def finish(record: DeliveryRecord, end: End) -> bool:
    """Write how a claim ended; False when the lease was lost meanwhile and another worker decides."""
    row = DeliveryRecord
    actions = [row.state.set(end.state), row.due_at.set(end.due_at), row.attempt.add(_spent(end))]
    if end.attempt:
        actions.append(row.history.set(row.history.append([end.attempt.row()])))
    return _owned(record, actions)


def give_back(record: DeliveryRecord) -> bool:
    """Undo a claim: as if it had never been made."""
    return _owned(record, [])


def _spent(end: End) -> int:
    return 1 if end.attempt and end.spends else 0


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


def expiry(now: datetime) -> int:
    """When what is written at `now` leaves the log, in epoch seconds."""
    return int((now + KEPT).timestamp())
