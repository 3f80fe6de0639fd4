"""The delivery log.

A delivery that failed once, waits, was parked or is exhausted has a record of its own with its body. The record
is the authority over its retries; queue messages and schedules are only reminders to look at it.

Each reminder names the attempt it is for, so whoever comes late finds the record ahead.
"""

import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pynamodb.attributes import (
    BinaryAttribute,
    ListAttribute,
    NumberAttribute,
    UnicodeAttribute,
)
from pynamodb.exceptions import PutError
from pynamodb.indexes import GlobalSecondaryIndex, IncludeProjection
from pynamodb.models import Model

from bellhop.deliveries import Delivery
from bellhop.tables import change, lost_condition

KEPT = timedelta(days=30)

RETRYING = "retrying"  # an attempt failed, another is due
DELIVERED = "delivered"
EXHAUSTED = "exhausted"  # the last retry failed
STOPPED = "stopped"  # the endpoint, or our guard, said never to try again
PARKED = "parked"  # the app is switched off

HELD = (PARKED, EXHAUSTED)  # kept until somebody has it sent again


class _ByApp(GlobalSecondaryIndex["DeliveryRecord"]):  # type: ignore[no-untyped-call]
    class Meta:
        index_name = "by_app"
        projection = IncludeProjection(["state", "event", "event_id"])

    app_id = UnicodeAttribute(hash_key=True)
    created_at = UnicodeAttribute(range_key=True)


class _Held(GlobalSecondaryIndex["DeliveryRecord"]):  # type: ignore[no-untyped-call]
    class Meta:
        index_name = "held"
        projection = IncludeProjection(["state", "attempt"])

    held_for = UnicodeAttribute(hash_key=True)
    held_at = UnicodeAttribute(range_key=True)


class DeliveryRecord(Model):
    """A delivery that did not succeed at once.

    `attempt` is the number of the last attempt that ended, `due_at` (epoch seconds) when the next is due.
    `lease` and `lease_until` name the worker that makes it. `history` has an entry for each attempt made;
    probes of a paused app are among them without having spent an attempt. `held_for` (its app) and `held_at`
    stand only on what can be replayed, so that the index `held` lists just that, in the order it was held in.
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
    held_for = UnicodeAttribute(null=True)
    held_at = UnicodeAttribute(null=True)
    expires_at = NumberAttribute()
    by_app = _ByApp()
    held = _Held()

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
    """One ended attempt. `milliseconds` is its whole duration; `answer` the first KiB of the response.

    Only a ping keeps the response's `headers`.
    """

    number: int
    at: datetime
    milliseconds: int
    request_id: str
    result: str  # "http_200", "http_500", "timeout", ...
    status: int | None = None
    answer: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        """The attempt as the log keeps it."""
        row = {
            "n": self.number,
            "at": self.at.isoformat(timespec="milliseconds"),
            "ms": self.milliseconds,
            "request_id": self.request_id,
            "result": self.result,
        }
        seen = {"status": self.status, "answer": self.answer, "headers": self.headers}
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


def open_record(delivery: Delivery, end: End, now: datetime, kept: timedelta = KEPT) -> DeliveryRecord | None:
    """Write a delivery's record for the first time; None when it has one already."""
    held = end.state in HELD
    record = DeliveryRecord(
        delivery.delivery_id,
        app_id=delivery.app_id,
        created_at=_moment(now, delivery.delivery_id),
        organization_id=delivery.organization_id,
        installation_id=delivery.installation_id,
        event_id=delivery.event_id,
        event=delivery.event,
        state=end.state,
        attempt=_spent(end),
        due_at=end.due_at,
        history=[end.attempt.row()] if end.attempt else [],
        body=zlib.compress(delivery.body),
        held_for=delivery.app_id if held else None,
        held_at=_moment(now, delivery.delivery_id) if held else None,
        expires_at=expiry(now, kept),
    )
    try:
        record.save(condition=DeliveryRecord.delivery_id.does_not_exist())
    except PutError as error:
        if lost_condition(error):
            return None
        raise
    return record


def claim(
    delivery_id: str, number: int, lease: str, now: datetime, seconds: float, *, replay: bool = False
) -> DeliveryRecord | None:
    """Take attempt `number` for this worker for `seconds`; None when it is not to be had.

    An expired lease is its worker's death: the attempt may be made again, the webhook may arrive twice. A
    `replay` has what is held too, and from then on it is retrying: so it has that again after a death.
    """
    record, row = DeliveryRecord(delivery_id), DeliveryRecord
    free = row.lease_until.does_not_exist() | (row.lease_until < now.timestamp()) | (row.lease == lease)
    state = row.state.is_in(RETRYING, *HELD) if replay else row.state == RETRYING
    actions = [row.lease.set(lease), row.lease_until.set(now.timestamp() + seconds)]
    if replay:
        actions += [row.state.set(RETRYING), *unlisted()]
    taken = change(record, actions, state & (row.attempt == number - 1) & free)
    return record if taken else None


def finish(record: DeliveryRecord, end: End, now: datetime) -> bool:
    """Write how a claim ended; False when the lease was lost meanwhile and another worker decides."""
    row = DeliveryRecord
    actions = [row.state.set(end.state), row.due_at.set(end.due_at), row.attempt.add(_spent(end))]
    if end.attempt:
        actions.append(row.history.set(row.history.append([end.attempt.row()])))
    if end.state in HELD:
        actions += [row.held_for.set(record.app_id), row.held_at.set(_moment(now, record.delivery_id))]
    else:
        actions += unlisted()
    return _owned(record, actions)


def give_back(record: DeliveryRecord) -> bool:
    """Undo a claim: as if it had never been made."""
    return _owned(record, [])


def held(app_id: str, after: str | None, limit: int) -> list[DeliveryRecord]:
    """What is held of an app, the longest held first, after the `held_at` of the last that was seen.

    Rows of the index: each knows its ids, `held_at`, `state` and `attempt`. What was held or taken in the last
    moments may be missing or still be there.
    """
    later = DeliveryRecord.held_at > after if after else None
    rows = list(DeliveryRecord.held.query(app_id, later, limit=limit))
    for row in rows:
        row.app_id = app_id
    return rows


def unlist(delivery_id: str, held_at: str) -> bool:
    """Take a record off the list of what is held; False when it was taken, or held anew, meanwhile."""
    return change(DeliveryRecord(delivery_id), unlisted(), DeliveryRecord.held_at == held_at)


def unlisted() -> list[Any]:
    """The update that takes a record off that list."""
    return [DeliveryRecord.held_for.remove(), DeliveryRecord.held_at.remove()]


def _spent(end: End) -> int:
    return 1 if end.attempt and end.spends else 0


def _owned(record: DeliveryRecord, actions: list[Any]) -> bool:
    row = DeliveryRecord
    freed = [*actions, row.lease.remove(), row.lease_until.remove()]
    return change(record, freed, row.lease == record.lease)


def _moment(now: datetime, delivery_id: str) -> str:
    # The delivery's id keeps apart what happened in the same millisecond.
    return f"{now.astimezone(UTC).isoformat(timespec='milliseconds')}#{delivery_id}"


def expiry(now: datetime, kept: timedelta = KEPT) -> int:
    """When what is written at `now` leaves the log, in epoch seconds."""
    return int((now + kept).timestamp())
