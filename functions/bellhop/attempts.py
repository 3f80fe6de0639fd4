"""The delivery records: what is known of a delivery that did not succeed at once.

A delivery that failed, is deferred, parked or exhausted has a record of its own, with its body. The record decides
about its retries: a message on the retry queue only announces that one is due. Each such message names the attempt
that it is for, so one that comes late finds the record ahead of it.
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
from bellhop.lease import Lease
from bellhop.tables import change, lost_condition

KEPT = timedelta(days=30)

RETRYING = "retrying"  # an attempt failed, another is due
DELIVERED = "delivered"
EXHAUSTED = "exhausted"  # the last retry failed
STOPPED = "stopped"  # never to be tried again: the endpoint asked for that, or our guard refused its address
PARKED = "parked"  # the app is switched off
WITHDRAWN = "withdrawn"  # the installation is gone, or its hook does not want the event any more

REPLAYABLE = (PARKED, EXHAUSTED)  # kept until it is replayed


class _ByApp(GlobalSecondaryIndex["DeliveryRecord"]):  # type: ignore[no-untyped-call]
    class Meta:
        index_name = "by_app"
        projection = IncludeProjection(["state", "event", "event_id"])

    app_id = UnicodeAttribute(hash_key=True)
    created_at = UnicodeAttribute(range_key=True)


class _Replayable(GlobalSecondaryIndex["DeliveryRecord"]):  # type: ignore[no-untyped-call]
    class Meta:
        index_name = "replayable"
        projection = IncludeProjection(["state", "attempts_made"])

    replayable_for = UnicodeAttribute(hash_key=True)
    replayable_at = UnicodeAttribute(range_key=True)


class DeliveryRecord(Model):
    """A delivery that did not succeed at once.

    `attempts_made` counts against the retry budget; `next_attempt_at` (Unix seconds) is when the next is due.
    `lease` and `lease_until` name the worker that makes it. `attempts` has a row for each attempt; trials of a
    paused app are among them without having been counted. `replayable_for` (its app) and `replayable_at` are set
    only on what can be replayed, so that the index `replayable` lists just that, oldest first.
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
    project_id = UnicodeAttribute(null=True)
    state = UnicodeAttribute()
    attempts_made = NumberAttribute(default=0)
    next_attempt_at = NumberAttribute(default=0)
    lease = UnicodeAttribute(null=True)
    lease_until = NumberAttribute(null=True)
    attempts: ListAttribute[Any] = ListAttribute(default=list)
    body = BinaryAttribute(legacy_encoding=False)
    replayable_for = UnicodeAttribute(null=True)
    replayable_at = UnicodeAttribute(null=True)
    expires_at = NumberAttribute()
    by_app = _ByApp()
    replayable = _Replayable()

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
            project_id=self.project_id,
            body=zlib.decompress(self.body),
        )


LEASE = Lease(DeliveryRecord.lease_until, DeliveryRecord.lease)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One ended attempt. `milliseconds` is its whole duration; `response` the first KiB of the body.

    Only a ping keeps the response's `headers`.
    """

    number: int
    at: datetime
    milliseconds: int
    request_id: str
    result: str  # "http_200", "http_500", "timeout", ...
    status: int | None = None
    response: str = ""
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
        seen = {"status": self.status, "response": self.response, "headers": self.headers}
        return row | {name: value for name, value in seen.items() if value}


@dataclass(frozen=True, slots=True)
class NextState:
    """The state that a record goes to, by an attempt or by the decision not to make one."""

    state: str
    next_attempt_at: float = 0.0
    attempt: Attempt | None = None
    spends: bool = True  # whether `attempt` counts against the retry budget


def load(delivery_id: str) -> DeliveryRecord | None:
    """The record as it is now, or None."""
    try:
        return DeliveryRecord.get(delivery_id, consistent_read=True)
    except DeliveryRecord.DoesNotExist:
        return None


def open_record(
    delivery: Delivery, next_state: NextState, now: datetime, kept: timedelta = KEPT
) -> DeliveryRecord | None:
    """Write a delivery's record for the first time; None when it has one already."""
    listed = next_state.state in REPLAYABLE
    record = DeliveryRecord(
        delivery.delivery_id,
        app_id=delivery.app_id,
        created_at=_moment(now, delivery.delivery_id),
        organization_id=delivery.organization_id,
        installation_id=delivery.installation_id,
        event_id=delivery.event_id,
        event=delivery.event,
        project_id=delivery.project_id,
        state=next_state.state,
        attempts_made=_spent(next_state),
        next_attempt_at=next_state.next_attempt_at,
        attempts=[next_state.attempt.row()] if next_state.attempt else [],
        body=zlib.compress(delivery.body),
        replayable_for=delivery.app_id if listed else None,
        replayable_at=_moment(now, delivery.delivery_id) if listed else None,
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

    An expired lease means that its worker died: the attempt may be made a second time, and the webhook may arrive
    twice. A `replay` also takes what is replayable, which from then on is retrying.
    """
    record, row = DeliveryRecord(delivery_id), DeliveryRecord
    free = LEASE.free(now.timestamp(), lease)
    state = row.state.is_in(RETRYING, *REPLAYABLE) if replay else row.state == RETRYING
    actions = LEASE.take(now.timestamp() + seconds, lease)
    if replay:
        actions += [row.state.set(RETRYING), *unlisted()]
    # DynamoDB deletes what has expired hours or days late.
    due = state & (row.attempts_made == number - 1) & (row.expires_at > int(now.timestamp()))
    taken = change(record, actions, due & free)
    return record if taken else None


def finish(record: DeliveryRecord, next_state: NextState, now: datetime) -> bool:
    """Write how a claim ended; False when the lease was lost meanwhile and another worker decides."""
    row = DeliveryRecord
    actions = [
        row.state.set(next_state.state),
        row.next_attempt_at.set(next_state.next_attempt_at),
        row.attempts_made.add(_spent(next_state)),
    ]
    if next_state.attempt:
        actions.append(row.attempts.set(row.attempts.append([next_state.attempt.row()])))
    if next_state.state in REPLAYABLE:
        actions += [row.replayable_for.set(record.app_id), row.replayable_at.set(_moment(now, record.delivery_id))]
    else:
        actions += unlisted()
    return _owned(record, actions)


def park(record: DeliveryRecord, now: datetime) -> bool:
    """Park a delivery that is retrying and that nobody is attempting; False when it is not so any more."""
    row = DeliveryRecord
    actions = [
        row.state.set(PARKED),
        row.replayable_for.set(record.app_id),
        row.replayable_at.set(_moment(now, record.delivery_id)),
        *LEASE.release(),
    ]
    as_read = (row.state == RETRYING) & (row.attempts_made == record.attempts_made)
    return change(record, actions, as_read & LEASE.free(now.timestamp()))


def give_back(record: DeliveryRecord) -> bool:
    """Undo a claim: as if it had never been made."""
    return _owned(record, [])


def replayable(app_id: str, after: str | None, limit: int) -> list[DeliveryRecord]:
    """What can be replayed of an app, oldest first, after the `replayable_at` of the last that was seen.

    Rows of the index: each has its ids, `replayable_at`, `state` and `attempts_made`. The index lags: what became
    replayable in the last moments may be missing, and what was taken may still be there.
    """
    later = DeliveryRecord.replayable_at > after if after else None
    rows = list(DeliveryRecord.replayable.query(app_id, later, limit=limit))
    for row in rows:
        row.app_id = app_id
    return rows


def unlist(delivery_id: str, replayable_at: str) -> bool:
    """Take a record off the list of what is replayable; False when it was taken, or listed anew, meanwhile."""
    return change(DeliveryRecord(delivery_id), unlisted(), DeliveryRecord.replayable_at == replayable_at)


def unlisted() -> list[Any]:
    """The update that takes a record off that list."""
    return [DeliveryRecord.replayable_for.remove(), DeliveryRecord.replayable_at.remove()]


def _spent(next_state: NextState) -> int:
    return 1 if next_state.attempt and next_state.spends else 0


def _owned(record: DeliveryRecord, actions: list[Any]) -> bool:
    return change(record, [*actions, *LEASE.release()], DeliveryRecord.lease == record.lease)


def _moment(now: datetime, delivery_id: str) -> str:
    # The delivery's id keeps apart what happened in the same millisecond.
    return f"{now.astimezone(UTC).isoformat(timespec='milliseconds')}#{delivery_id}"


def expiry(now: datetime, kept: timedelta = KEPT) -> int:
    """When what is written at `now` leaves the log, in Unix seconds."""
    return int((now + kept).timestamp())
