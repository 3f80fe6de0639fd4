"""A resend: one more sending of a delivery, whatever became of it.

The record decides about it as about every retry. One that is over, waits or is parked becomes due now; a delivery
that succeeded at once has no record, so it gets one, whose first attempt is that success.
"""

import zlib
from datetime import datetime
from typing import Any

from bellhop import attempts, index_keys
from bellhop.attempts import LEASE, RETRYING, DeliveryRecord, NextState
from bellhop.deliveries import Delivery, Retry
from bellhop.tables import change


def make_due(record: DeliveryRecord, now: datetime) -> bool:
    """Have the next attempt of a delivery be due now.

    False when its record changed since `record` was read, expired, or somebody is attempting it.
    """
    row = DeliveryRecord
    # Or this very write was made, its response was lost, and the SDK repeats it: the time is ours.
    ours = (row.state == RETRYING) & (row.resent_at == now.timestamp())
    unchanged = (row.attempts_made == record.attempts_made) & ((row.state == record.state) | ours)
    possible = unchanged & (row.expires_at > int(now.timestamp())) & LEASE.free(now.timestamp())
    # First, as for a record that is opened. One that leads to nothing new is passed over.
    at, expires_at = attempts.moment(now, record.delivery_id), attempts.expiry(now)
    index_keys.enter_again(record.app_id, record.delivery_id, at, expires_at)
    return change(DeliveryRecord(record.delivery_id), _due(record.app_id, record.delivery_id, now), possible)


def open_delivered(delivery: Delivery, attempts_made: int, now: datetime) -> bool:
    """Write the record of a delivery that succeeded at once, after so many attempts, with the next due now.

    False when it has a record already.
    """
    row = DeliveryRecord
    names = ("app_id", "organization_id", "installation_id", "event_id", "event")
    actions = [
        *(getattr(row, name).set(getattr(delivery, name)) for name in names),
        row.project_id.set(delivery.project_id) if delivery.project_id else row.project_id.remove(),
        row.created_at.set(attempts.moment(now, delivery.delivery_id)),
        row.opened_at.set(now.timestamp()),
        row.attempts_made.set(attempts_made),
        row.attempts.set([]),  # the log of successes has that one
        row.body.set(zlib.compress(delivery.body)),
        *_due(delivery.app_id, delivery.delivery_id, now),
        *LEASE.release(),
    ]
    expired = row.expires_at <= int(now.timestamp())  # DynamoDB deletes it hours or days late
    return change(DeliveryRecord(delivery.delivery_id), actions, row.delivery_id.does_not_exist() | expired)


def message(delivery: DeliveryRecord | Delivery, attempts_made: int) -> Retry:
    """What has deliver make the attempt that is due."""
    return Retry(
        delivery.delivery_id, delivery.app_id, attempts_made + 1, organization_id=delivery.organization_id
    )


def is_unmade(record: DeliveryRecord) -> bool:
    """Whether the attempt that a resend made due was neither made nor deferred: its message may be lost."""
    return bool(record.state == RETRYING and record.resent_at and record.next_attempt_at == record.resent_at)


def _due(app_id: str, delivery_id: str, now: datetime) -> list[Any]:
    row = DeliveryRecord
    return [
        row.state.set(RETRYING),
        row.next_attempt_at.set(now.timestamp()),
        row.resent_at.set(now.timestamp()),
        row.deferrals.remove(),
        row.expires_at.set(attempts.expiry(now)),  # all its retries may follow
        *attempts.places(NextState(RETRYING), now, app_id, delivery_id),
    ]
