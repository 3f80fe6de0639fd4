"""A resend: one more sending of a delivery, whatever became of it.

The record decides about it as about every retry. One that is over, waits or is parked becomes due; a delivery that
succeeded at once has no record, so one is opened for it first, as delivered, which changes nothing.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bellhop import attempts, index_keys, large_bodies, tables
from bellhop.attempts import DELIVERED, LEASE, RETRYING, DeliveryRecord, NextState
from bellhop.deliveries import Delivery, Retry
from bellhop.registry import DISABLED, App, Installation, find
from bellhop.subscription import refusal
from bellhop.tables import UnreadableError, change, change_unseen

# What becomes of a delivery that was chosen; beside these, what `subscription.refusal` says.
RESENT = "resent"
BUSY = "being attempted, or changed meanwhile"
NOT_KEPT = "its body is not kept any more"
OFF, UNREGISTERED = "its app is switched off", "its app is not registered any more"
UNREADABLE = "its record, its app or its installation is damaged and cannot be read"

_UNSEEN = {DeliveryRecord.body.attr_name, DeliveryRecord.attempts.attr_name}
_SEEN = [name for name in DeliveryRecord.get_attributes() if name not in _UNSEEN]
_NEEDED = [name for name in _SEEN if not DeliveryRecord.get_attributes()[name].null]


@dataclass(frozen=True, slots=True)
class Chosen:
    """A delivery as its record was when it was chosen."""

    delivery_id: str
    state: str
    attempts_made: int


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a delivery: RESENT, or why it was left; `retry` is what has deliver attempt it.

    One that was resent before, by a message that comes a second time, has no retry once it was attempted.
    """

    delivery_id: str
    outcome: str
    retry: Retry | None = None


@dataclass(frozen=True, slots=True)
class Times:
    """Those of a resend, in Unix seconds: `asked`, when a person asked for it, tells it from others; and `due`."""

    asked: float
    due: float


@dataclass
class Hooks:
    """Who still wants what is resent: each app and each installation is read once."""

    _apps: dict[str, App | None] = field(default_factory=dict)
    _installations: dict[tuple[str, str], Installation | None] = field(default_factory=dict)

    def refusal(self, record: DeliveryRecord) -> str | None:
        """Why a delivery is left; None if it is wanted. deliver asks again before it attempts it."""
        if record.app_id not in self._apps:
            self._apps[record.app_id] = find(App, record.app_id, consistent=True)
        app = self._apps[record.app_id]
        if app is None or app.state == DISABLED:
            return OFF if app else UNREGISTERED
        key = record.organization_id, record.installation_id
        if key not in self._installations:
            self._installations[key] = find(Installation, *key)
        return refusal(record.event, record.project_id, self._installations[key], app)


def resend(chosen: Chosen, times: Times, hooks: Hooks, now: datetime) -> Result:
    """Have the next attempt of a delivery be due, or say why not.

    The second time, with the same `asked`, it changes nothing: what is not attempted yet has its retry sent again,
    and deliver drops one of the two.
    """
    try:
        return _resend(chosen, times, hooks, now)
    except UnreadableError:
        return Result(chosen.delivery_id, UNREADABLE)


def _resend(chosen: Chosen, times: Times, hooks: Hooks, now: datetime) -> Result:
    record = look(chosen.delivery_id, now)
    if record is None:
        return Result(chosen.delivery_id, NOT_KEPT)
    if not _is_resent(record, times.asked):
        reason = BUSY if _is_changed(record, chosen) else hooks.refusal(record)
        if reason:
            return Result(chosen.delivery_id, reason)
        if not large_bodies.keep_longer(record, attempts.expiry(now)):  # first, as when it was written
            return Result(chosen.delivery_id, NOT_KEPT)
        if make_due(record, times, now):
            return Result(chosen.delivery_id, RESENT, _retry(record))
        record = look(chosen.delivery_id, now)
        if record is None or not _is_resent(record, times.asked):  # or a copy of the same message was quicker
            return Result(chosen.delivery_id, BUSY)
    return Result(chosen.delivery_id, RESENT, _retry(record) if _is_unmade(record, chosen) else None)


def waits(chosen: Chosen, asked: float, now: datetime) -> bool:
    """Whether what was resent, when that was asked for, waits on the retry queue for its attempt."""
    try:
        record = look(chosen.delivery_id, now)
    except UnreadableError:
        return False
    if record is None or record.deferrals:
        return False
    return _is_resent(record, asked) and _is_unmade(record, chosen)


def look(delivery_id: str, now: datetime) -> DeliveryRecord | None:
    """The record as it is now, without its body and its attempts; None where there is none, or it has expired.

    Raises:
        UnreadableError: it is damaged.
    """
    try:
        record = DeliveryRecord.get(delivery_id, consistent_read=True, attributes_to_get=_SEEN)
    except DeliveryRecord.DoesNotExist:
        return None
    except tables.UNREADABLE as error:
        raise UnreadableError(DeliveryRecord, delivery_id, error) from error
    lacking = [name for name in _NEEDED if getattr(record, name) is None]
    if lacking:
        raise UnreadableError(DeliveryRecord, delivery_id, ValueError(f"it has no {', '.join(lacking)}"))
    # DynamoDB deletes it hours or days late.
    return record if float(record.expires_at) > now.timestamp() else None


def make_due(record: DeliveryRecord, times: Times, now: datetime) -> bool:
    """Have the next attempt of a delivery be due.

    False when its record changed since `record` was read, expired, or somebody is attempting it.
    """
    row = DeliveryRecord
    # Or this very write was made, its response was lost, and the SDK repeats it: the time is ours.
    ours = (row.state == RETRYING) & (row.resent_at == times.asked)
    unchanged = (row.attempts_made == record.attempts_made) & ((row.state == record.state) | ours)
    possible = unchanged & (row.expires_at > int(now.timestamp())) & LEASE.free(now.timestamp())
    # First, as for a record that is opened. One that leads to nothing new is passed over.
    at, expires_at = attempts.moment(now, record.delivery_id), attempts.expiry(now)
    index_keys.enter_again(record.app_id, record.delivery_id, at, expires_at)
    actions = [
        row.next_attempt_at.set(times.due),
        row.resent_at.set(times.asked),
        row.expires_at.set(expires_at),  # all its retries may follow
        *_in_state(RETRYING, record, now),
    ]
    return change_unseen(DeliveryRecord(record.delivery_id), actions, possible)


def open_delivered(delivery: Delivery, attempts_made: int, delivered_at: datetime, now: datetime) -> bool:
    """Write the record of a delivery that succeeded at once, at that time, after so many attempts.

    It says that, and nothing follows. The log goes on showing the success, and no list leads to the record.
    False when it has a record already.
    """
    row = DeliveryRecord
    names = ("app_id", "organization_id", "installation_id", "event_id", "event")
    gone = (row.created_at, row.resent_at)  # of one that has expired
    expires_at = attempts.expiry(now)
    actions = [
        *(getattr(row, name).set(getattr(delivery, name)) for name in names),
        row.project_id.set(delivery.project_id) if delivery.project_id else row.project_id.remove(),
        # Or, of an event that was published again, what waits on the queue now would be taken for a second copy.
        row.opened_at.set(delivered_at.timestamp()),
        row.next_attempt_at.set(0),
        row.attempts_made.set(attempts_made),
        row.attempts.set([]),  # the log of successes has that one
        *large_bodies.keep(delivery, expires_at).put(row),
        row.expires_at.set(expires_at),
        *_in_state(DELIVERED, delivery, now),
        *(each.remove() for each in gone),
        *LEASE.release(),
    ]
    expired = row.expires_at <= int(now.timestamp())
    return change(DeliveryRecord(delivery.delivery_id), actions, row.delivery_id.does_not_exist() | expired)


def _is_resent(record: DeliveryRecord, asked: float) -> bool:
    return record.resent_at is not None and float(record.resent_at) == asked


def _is_unmade(record: DeliveryRecord, chosen: Chosen) -> bool:
    return record.state == RETRYING and int(record.attempts_made) == chosen.attempts_made


def _is_changed(record: DeliveryRecord, chosen: Chosen) -> bool:
    return (record.state, int(record.attempts_made)) != (chosen.state, chosen.attempts_made)


def _retry(record: DeliveryRecord) -> Retry:
    number = int(record.attempts_made) + 1
    return Retry(record.delivery_id, record.app_id, number, organization_id=record.organization_id)


def _in_state(state: str, of: DeliveryRecord | Delivery, now: datetime) -> list[Any]:
    row = DeliveryRecord
    places = attempts.places(NextState(state), now, of)
    return [row.state.set(state), row.deferrals.remove(), *places]
