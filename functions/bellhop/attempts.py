"""The delivery records: what is known of a delivery that did not succeed at once.

A delivery that failed, is deferred, parked or exhausted has a record of its own, with its body (large_bodies.py).
The record decides about its retries: a message on the retry queue only announces that one is due. Each such
message names the attempt that it is for, so one that comes late finds the record ahead of it.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pynamodb.attributes import BinaryAttribute, ListAttribute, NumberAttribute, UnicodeAttribute
from pynamodb.exceptions import PutError
from pynamodb.models import Model

from bellhop import index_keys, large_bodies, long_responses
from bellhop.deliveries import Delivery, Retry
from bellhop.due import Due, shard
from bellhop.index_keys import ByApp, Replayable
from bellhop.large_bodies import Body
from bellhop.lease import Lease
from bellhop.long_responses import LongResponse
from bellhop.newer import UnknownKindError
from bellhop.tables import change, lost_condition

KEPT = timedelta(days=30)
MOST_ATTEMPTS = 40  # of a record; beside the largest body that 0.1.0 wrote, of more it would not fit into an item

RETRYING = "retrying"  # an attempt failed, another is due
DELIVERED = "delivered"
EXHAUSTED = "exhausted"  # the last retry failed
STOPPED = "stopped"  # never to be tried again: the endpoint asked for that, or our guard refused its address
PARKED = "parked"  # the app is paused or switched off
WITHDRAWN = "withdrawn"  # the installation is gone, or its hook does not want the event any more

REPLAYABLE = (PARKED, EXHAUSTED)  # kept until it is replayed
OVER = (DELIVERED, EXHAUSTED, STOPPED, WITHDRAWN)  # no attempt is due any more
STATES = frozenset({RETRYING, PARKED, *OVER})


class DeliveryRecord(Model):
    """A delivery that did not succeed at once.

    `opened_at` (Unix seconds) is when it was written for the first time, or began anew because its event was
    published again. `resent_at`: when a person last had it resent; what is attempted from then on is marked so.
    `attempts_made` counts against the retry budget since then; `next_attempt_at` (Unix seconds)
    is when the next is due, and `deferrals` how often that one was deferred. `lease` and `lease_until` name the
    worker that makes it. `attempts` has a row for each of the newest MOST_ATTEMPTS. `replayable_for` (a key of its
    app) and `replayable_at` are set only on what can be replayed, so that the index `replayable` lists just that:
    what is parked in the order in which it is due, then what is exhausted. `due_shard` is set only while it is
    retrying, for the index `due`. `created_at` places it in the index `by_app`, unless an `Entry` does.
    `body`, or for a large one `body_digest`: see large_bodies.py; `long_response`: see long_responses.py.
    """

    class Meta:
        table_name = "attempts"

    delivery_id = UnicodeAttribute(hash_key=True)
    app_id = UnicodeAttribute()
    created_at = UnicodeAttribute(null=True)
    opened_at = NumberAttribute(null=True)
    resent_at = NumberAttribute(null=True)
    organization_id = UnicodeAttribute()
    installation_id = UnicodeAttribute()
    event_id = UnicodeAttribute()
    event = UnicodeAttribute()
    project_id = UnicodeAttribute(null=True)
    state = UnicodeAttribute()
    attempts_made = NumberAttribute(default=0)
    next_attempt_at = NumberAttribute(default=0)
    due_shard = NumberAttribute(null=True)
    deferrals = NumberAttribute(null=True)
    lease = UnicodeAttribute(null=True)
    lease_until = NumberAttribute(null=True)
    attempts: ListAttribute[Any] = ListAttribute(default=list)
    body = BinaryAttribute(legacy_encoding=False, null=True)
    body_digest = UnicodeAttribute(null=True)
    long_response = BinaryAttribute(legacy_encoding=False, null=True)
    replayable_for = UnicodeAttribute(null=True)
    replayable_at = UnicodeAttribute(null=True)
    expires_at = NumberAttribute()
    by_app = ByApp()
    replayable = Replayable()
    due = Due()

    def is_over_before(self, enqueued_at: float) -> bool:
        """Whether no attempt is due any more, and a message of that time was not what began it.

        So its event was published again, as a second copy of the message that began it is older.
        """
        return self.state in OVER and enqueued_at > float(self.opened_at or self.created.timestamp())

    @property
    def created(self) -> datetime:
        """When it was written for the first time; of one that is not in by_app itself, when it began anew."""
        if not self.created_at:
            return datetime.fromtimestamp(float(self.opened_at), UTC)
        return datetime.fromisoformat(self.created_at.partition("#")[0])


Listed = DeliveryRecord | Delivery | Retry  # what says which delivery it is about, of which app and organisation
LEASE = Lease(DeliveryRecord.lease_until, DeliveryRecord.lease)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One ended attempt. `milliseconds` is its whole duration; `response` the first KiB of the body.

    `headers` are the response's: all of a ping's, few of a failure's. `resent`: a person asked for it by a resend.
    `long` has the whole of a longer response.
    """

    number: int
    at: datetime
    milliseconds: int
    request_id: str
    result: str  # "http_200", "http_500", "timeout", ...
    status: int | None = None
    response: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    resent: bool = False
    long: LongResponse | None = None

    def row(self) -> dict[str, Any]:
        """The attempt as the log keeps it."""
        row = {
            "n": self.number,
            "at": self.at.isoformat(timespec="milliseconds"),
            "ms": self.milliseconds,
            "request_id": self.request_id,
            "result": self.result,
        }
        seen = {"status": self.status, "response": self.response, "headers": self.headers, "resent": self.resent}
        seen["cut"] = self.long is not None
        return row | {name: value for name, value in seen.items() if value}


@dataclass(frozen=True, slots=True)
class NextState:
    """The state that a record goes to, by an attempt or by the decision not to make one.

    `unannounced`: it is exhausted and keeps its place among the parked, until `list_exhausted`.
    """

    state: str
    next_attempt_at: float = 0.0
    attempt: Attempt | None = None
    unannounced: bool = False


def load(delivery_id: str) -> DeliveryRecord | None:
    """The record as it is now, or None.

    Raises:
        UnknownKindError: a newer version gave it a state that this one does not know.
    """
    try:
        record = DeliveryRecord.get(delivery_id, consistent_read=True)
    except DeliveryRecord.DoesNotExist:
        return None
    if record.state not in STATES:
        raise UnknownKindError(f"delivery record in the state {record.state!r}")
    return record


def open_record(
    delivery: Delivery,
    next_state: NextState,
    now: datetime,
    kept: timedelta = KEPT,
    *,
    key: str | None = None,
    list_key: str | None = None,
    body: Body | None = None,
) -> DeliveryRecord | None:
    """Write a delivery's record for the first time; None when it has one already.

    It is logged under `key`, and if it can be replayed, listed there too, or under `list_key`. `body`: what it is
    to have of its body, if that is written. One that has expired is none: DynamoDB deletes it hours or days late.
    """
    place, created_at = _place(next_state, now, delivery), moment(now, delivery.delivery_id)
    key = key or delivery.app_id
    if key != delivery.app_id:  # first: a record that no entry leads to would be missing from its app's log
        index_keys.enter(key, delivery.delivery_id, created_at, expiry(now, kept))
    record = DeliveryRecord(
        delivery.delivery_id,
        app_id=delivery.app_id,
        created_at=created_at if key == delivery.app_id else None,
        opened_at=now.timestamp(),
        organization_id=delivery.organization_id,
        installation_id=delivery.installation_id,
        event_id=delivery.event_id,
        event=delivery.event,
        project_id=delivery.project_id,
        state=next_state.state,
        attempts_made=1 if next_state.attempt else 0,
        next_attempt_at=next_state.next_attempt_at,
        due_shard=shard(delivery.delivery_id) if next_state.state == RETRYING else None,
        attempts=[next_state.attempt.row()] if next_state.attempt else [],
        replayable_for=(list_key or key) if place else None,
        replayable_at=place,
        expires_at=expiry(now, kept),
    )
    body = body or large_bodies.keep(delivery, expiry(now, kept))  # first: a record is never without its body
    record.body, record.body_digest = body.packed, body.digest
    record.long_response = long_responses.fitting(next_state.attempt, body.packed)
    try:
        expired = DeliveryRecord.expires_at <= int(now.timestamp())
        record.save(condition=DeliveryRecord.delivery_id.does_not_exist() | expired)
    except PutError as error:
        if lost_condition(error):
            return None
        raise
    return record


def reopen(
    delivery: Delivery,
    known: DeliveryRecord,
    next_state: NextState,
    now: datetime,
    list_key: str | None = None,
    *,
    body: Body | None = None,
) -> DeliveryRecord | None:
    """Begin a delivery anew that is over, since its event was published again; None when the record changed.

    Its log goes on; its retry budget is whole again. `body`: as for a record that is opened.
    """
    row, record = DeliveryRecord, DeliveryRecord(delivery.delivery_id)
    body = body or large_bodies.keep(delivery, expiry(now))
    actions: list[Any] = [
        row.state.set(next_state.state),
        row.next_attempt_at.set(next_state.next_attempt_at),
        row.attempts_made.set(1 if next_state.attempt else 0),
        row.opened_at.set(now.timestamp()),
        row.deferrals.remove(),
        row.resent_at.remove(),
        row.expires_at.set(expiry(now)),
        *body.put(row),
        *places(next_state, now, delivery, list_key),
    ]
    long = long_responses.fitting(next_state.attempt, body.packed)
    # The one of before may not fit beside the new body.
    actions.append(row.long_response.set(long) if long else row.long_response.remove())
    if next_state.attempt:
        actions.append(_added(next_state.attempt, known))
    # The SDK repeats an update whose response was lost. State and number may be the same before and after it.
    unopened = row.opened_at.does_not_exist() if known.opened_at is None else row.opened_at == known.opened_at
    unchanged = (row.state == known.state) & (row.attempts_made == known.attempts_made) & unopened
    return record if change(record, actions, unchanged & LEASE.free(now.timestamp())) else None


def claim(
    delivery_id: str,
    number: int,
    lease: str,
    now: datetime,
    seconds: float,
    *,
    replay: bool = False,
    deferral: int | None = None,
) -> DeliveryRecord | None:
    """Take attempt `number` for this worker for `seconds`; None when it is not to be had.

    With a `deferral`, it is not to be had if it was deferred more often.

    An expired lease means that its worker died: the attempt may be made a second time, and the webhook may arrive
    twice. A `replay` also takes what is replayable. That stays listed until its attempt has ended, so whatever
    becomes of the message and the worker, another replay finds it.
    """
    row, record = DeliveryRecord, DeliveryRecord(delivery_id)
    due = _due(number, now, replay=replay) & LEASE.free(now.timestamp(), lease)
    if deferral is not None:
        due &= row.deferrals.does_not_exist() | (row.deferrals <= deferral)
    return record if change(record, LEASE.take(now.timestamp() + seconds, lease), due) else None


def finish(record: DeliveryRecord, next_state: NextState, now: datetime, list_key: str | None = None) -> bool:
    """Write how a claim ended; False when the lease was lost meanwhile and another worker decides."""
    row = DeliveryRecord
    deferred = next_state.state == RETRYING and not next_state.attempt
    actions: list[Any] = [
        row.state.set(next_state.state),
        row.next_attempt_at.set(next_state.next_attempt_at),
        row.deferrals.add(1) if deferred else row.deferrals.remove(),
    ]
    if next_state.attempt:
        actions += [row.attempts_made.add(1), *_with(next_state.attempt, record)]
    return _owned(record, actions + places(next_state, now, record, list_key))


def park(retry: Retry, now: datetime, list_key: str | None = None) -> bool:
    """Park a delivery instead of making the attempt that a retry is for; False when it is not due, or being made.

    One that is a replay also parks what is replayable, at its new place.
    """
    row, place = DeliveryRecord, places(NextState(PARKED), now, retry, list_key)
    actions = [row.state.set(PARKED), row.deferrals.remove(), *place]
    due = _due(retry.next_attempt, now, replay=retry.replay) & LEASE.free(now.timestamp())
    return change(DeliveryRecord(retry.delivery_id), [*actions, *LEASE.release()], due)


def forget_deferrals(parked: DeliveryRecord, now: datetime) -> bool:
    """Have what is parked count as never deferred, at its place; False when it changed, or is being attempted.

    A deferral that is counted is one whose message is still to come.
    """
    row = DeliveryRecord
    unchanged = (row.state == PARKED) & (row.replayable_at == parked.replayable_at) & LEASE.free(now.timestamp())
    return change(DeliveryRecord(parked.delivery_id), [row.deferrals.remove()], unchanged)


def defer(retry: Retry, until: float, now: datetime) -> DeliveryRecord | None:
    """Have the attempt that a retry is for be due at `until`, in Unix seconds, and count that.

    None when it is not due, somebody is attempting it, or a copy of the retry was deferred before.
    """
    row, record = DeliveryRecord, DeliveryRecord(retry.delivery_id)
    uncounted = row.deferrals == retry.deferral if retry.deferral else row.deferrals.does_not_exist()
    due = _due(retry.next_attempt, now, replay=retry.replay) & LEASE.free(now.timestamp())
    actions = [row.deferrals.set(retry.deferral + 1), row.next_attempt_at.set(until)]
    return record if change(record, actions, due & uncounted) else None


def exhaust(parked: DeliveryRecord, now: datetime) -> DeliveryRecord | None:
    """Have a row of the list be exhausted at its place; None when it changed, or somebody is attempting it.

    `list_exhausted` moves it to the others that are exhausted, once that is announced.
    """
    row, record = DeliveryRecord, DeliveryRecord(parked.delivery_id)
    unchanged = row.state.is_in(PARKED, EXHAUSTED) & (row.replayable_at == parked.replayable_at)
    actions = [row.state.set(EXHAUSTED), row.deferrals.remove(), *LEASE.release()]
    return record if change(record, actions, unchanged & LEASE.free(now.timestamp())) else None


def list_exhausted(record: DeliveryRecord, now: datetime, list_key: str | None = None) -> bool:
    """Move what is exhausted at its place to the others that are exhausted; False when it changed meanwhile."""
    place = places(NextState(EXHAUSTED), now, record, list_key)
    unchanged = (DeliveryRecord.state == EXHAUSTED) & (DeliveryRecord.replayable_at == record.replayable_at)
    return change(DeliveryRecord(record.delivery_id), place, unchanged)


def unlist_expired(row: DeliveryRecord, now: datetime) -> bool:
    """Take a row off the list whose record has expired; False when it has not, or is gone."""
    return change(DeliveryRecord(row.delivery_id), _unlisted(), DeliveryRecord.expires_at <= int(now.timestamp()))


def give_back(record: DeliveryRecord) -> bool:
    """Undo a claim: as if it had never been made."""
    return _owned(record, [])


def places(next_state: NextState, now: datetime, of: Listed, list_key: str | None = None) -> list[Any]:
    """The update that puts a record at its place in its list, if any, under a key of its app."""
    if next_state.unannounced:
        return []
    row, place = DeliveryRecord, _place(next_state, now, of)
    due = row.due_shard.set(shard(of.delivery_id)) if next_state.state == RETRYING else row.due_shard.remove()
    if place is None:
        return [due, *_unlisted()]
    return [due, row.replayable_for.set(list_key or of.app_id), row.replayable_at.set(place)]


def _unlisted() -> list[Any]:
    return [DeliveryRecord.replayable_for.remove(), DeliveryRecord.replayable_at.remove()]


def _place(next_state: NextState, now: datetime, of: Listed) -> str | None:
    # Whose it is stands at the end, so that trials need not read the record.
    name = f"{of.delivery_id}#{of.organization_id}" if of.organization_id else of.delivery_id
    if next_state.state == PARKED:
        return moment(datetime.fromtimestamp(max(next_state.next_attempt_at, now.timestamp()), UTC), name)
    return f"{EXHAUSTED}#{moment(now, name)}" if next_state.state == EXHAUSTED else None


def _due(number: int, now: datetime, *, replay: bool) -> Any:
    row = DeliveryRecord
    state = row.state.is_in(RETRYING, *REPLAYABLE) if replay else row.state == RETRYING
    # DynamoDB deletes what has expired hours or days late.
    return state & (row.attempts_made == number - 1) & (row.expires_at > int(now.timestamp()))


def _with(attempt: Attempt, known: DeliveryRecord) -> list[Any]:
    """The update that adds an attempt to a record, with its long response if there is one."""
    long = long_responses.fitting(attempt, known.body)
    return [_added(attempt, known), *([DeliveryRecord.long_response.set(long)] if long else [])]


def _added(attempt: Attempt, known: DeliveryRecord) -> Any:
    """The update that adds an attempt's row to those of a record, of which the oldest make room."""
    row, rows = DeliveryRecord.attempts, known.attempts or []
    fits = len(rows) < MOST_ATTEMPTS
    return row.set(row.append([attempt.row()]) if fits else [*rows[1 - MOST_ATTEMPTS :], attempt.row()])


def _owned(record: DeliveryRecord, actions: list[Any]) -> bool:
    return change(record, [*actions, *LEASE.release()], DeliveryRecord.lease == record.lease)


def moment(now: datetime, name: str) -> str:
    """A time as it is kept for sorting; a delivery's name keeps apart what happened in the same millisecond."""
    return f"{now.astimezone(UTC).isoformat(timespec='milliseconds')}#{name}"


def expiry(now: datetime, kept: timedelta = KEPT) -> int:
    """When what is written at `now` leaves the log, in Unix seconds."""
    return int((now + kept).timestamp())
