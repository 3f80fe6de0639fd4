"""The chain of a delivery's attempts: which attempt a message asks for, and how its result is written.

The record in Attempts decides. The order is always: write the result of attempt n, send the retry for attempt
n+1, acknowledge the message. A crash between any two of these leaves a message on the queue. It comes back and
finds in the record where to go on, so no crash ends a chain; the claim on the record keeps it from forking. What a
crash can do is repeat an attempt whose result was not written yet, or send a retry twice: the second finds the
record ahead.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from bellhop import attempts, large_bodies
from bellhop.attempts import (
    EXHAUSTED,
    PARKED,
    REPLAYABLE,
    RETRYING,
    STOPPED,
    WITHDRAWN,
    DeliveryRecord,
    Listed,
    NextState,
)
from bellhop.deliveries import Delivery, Retry
from bellhop.due import next_retry
from bellhop.registry import INTERNAL, App
from bellhop.subscription import refusal
from deliver.attempt import body
from deliver.attempt.signing import Keys
from deliver.dependencies import DeliverDependencies, InternalError, PendingAttempt, names

JUST_ENQUEUED_SECONDS = 5.0
EXHAUSTED_EVENT = "bellhop.delivery.exhausted"
_MAY_BE_LOST = "the first one may have been lost"
_AHEAD, _BEING_MADE = "its record is ahead", "another worker makes its attempt"


def begin(message: Delivery | Retry, receive_count: int, deps: DeliverDependencies) -> PendingAttempt | None:
    """The attempt that this message asks for; None when there is nothing to do and the message is done.

    Raises:
        InternalError: the app has no secret; the message must come back.
    """
    app = deps.registry.app(message.app_id)
    if isinstance(message, Retry):
        return _begin_retry(message, app, receive_count, deps)
    return _begin_first(message, app, receive_count, deps)


def first_attempt(delivery: Delivery, app: App | None, deps: DeliverDependencies) -> PendingAttempt | None:
    """The first attempt of a delivery; None when its app is not registered any more: there is nowhere to send it.

    Raises:
        InternalError: the app has no secret; the message must come back.
    """
    if app is None:
        _skip_missing_app(delivery, deps)
        return None
    return PendingAttempt(delivery, 1, app, keys(app, deps))


def write(pending: PendingAttempt, state: NextState, deps: DeliverDependencies) -> DeliveryRecord | None:
    """Write a delivery's next state; None when another copy or worker is ahead, and this one does not count.

    A first attempt that finds a record goes on from what the record says: its message was redriven, or its event
    was published again.
    """
    if pending.record:
        record, known = _finish(pending, pending.record, state, deps), None
    else:
        record, known = open_record(pending.delivery, pending.app, state, deps)
    if record:
        return record
    deps.telemetry.warning("attempt not recorded: another copy of its message is ahead", **pending.names())
    if known:
        _resume(known, 1, deps)
    return None


def _finish(
    pending: PendingAttempt, claimed: DeliveryRecord, state: NextState, deps: DeliverDependencies
) -> DeliveryRecord | None:
    key = list_key(pending.app, claimed, deps) if state.state in REPLAYABLE else None
    if attempts.finish(claimed, state, deps.now(), key):
        return claimed
    known = attempts.load(claimed.delivery_id)
    return known if known and _is_own_write(known, state) else None


def list_key(app: App, of: Listed, deps: DeliverDependencies) -> str:
    """The key under which a delivery that becomes replayable is listed, or is moved."""
    if isinstance(of, DeliveryRecord) and of.replayable_for == app.app_id:
        return app.app_id  # a trial that failed uses up no allowance
    owner = None if app.kind == INTERNAL else of.organization_id
    return deps.index_keys.list_key(app.app_id, of.delivery_id, owner)


def open_record(
    delivery: Delivery, app: App, state: NextState, deps: DeliverDependencies
) -> tuple[DeliveryRecord | None, DeliveryRecord | None]:
    """Write the first record of a delivery, or begin one anew that is over, since its event was published again.

    Returns the record that was written, or otherwise the one that says what to do instead.

    Raises:
        InternalError: neither was there.
    """
    key = deps.index_keys.log_key(delivery.app_id, delivery.delivery_id)
    listed = list_key(app, delivery, deps) if state.state in REPLAYABLE else None
    written = large_bodies.keep(delivery, attempts.expiry(deps.now()))  # once, whichever of the two writes is made
    record = attempts.open_record(delivery, state, deps.now(), key=key, list_key=listed, body=written)
    known = None if record else _known(delivery)
    # Our own write may look like one of before the message: the clock that wrote the message may be ahead.
    if known and not _is_own_write(known, state) and known.is_over_before(delivery.enqueued_at):
        record = attempts.reopen(delivery, known, state, deps.now(), listed, body=written)
        known = None if record else _known(delivery)
    if known and _is_own_write(known, state):  # the response to it was lost
        return known, None
    return record, known


def park_first(delivery: Delivery, app: App, receive_count: int, deps: DeliverDependencies) -> bool:
    """Park a delivery instead of making its first attempt; False when its record says otherwise."""
    if already_recorded(delivery, receive_count, deps):
        return False
    _, known = open_record(delivery, app, NextState(PARKED), deps)
    if known is None:
        return True
    # Its event was published again, or its message redriven, and attempts are due.
    if attempts.park(next_retry(known), deps.now(), list_key(app, delivery, deps)):
        return True
    _resume(known, 1, deps)
    return False


def park_retry(message: Retry, app: App, receive_count: int, deps: DeliverDependencies) -> bool:
    """Park a delivery instead of making the attempt that a retry is for; False when its record says otherwise.

    What a release sent into the next pause is parked already. It keeps its place and costs no write: the release
    after that pause finds it there. Later passes of a release that goes on would not.
    """
    if message.replay and deps.circuits.state(app).awaits_release and _stays_parked(message, deps):
        return True
    if attempts.park(message, deps.now(), list_key(app, message, deps)):
        return True
    _refused(message, attempts.load(message.delivery_id), receive_count, deps)
    return False


def _stays_parked(message: Retry, deps: DeliverDependencies) -> bool:
    record = attempts.load(message.delivery_id)
    if record and record.state == PARKED and record.replayable_for and _is_free(record, message, deps):
        return not record.deferrals or attempts.forget_deferrals(record, deps.now())
    return False


def claim(message: Retry, receive_count: int, deps: DeliverDependencies) -> DeliveryRecord | None:
    """Take the attempt that a retry is for; None when there is nothing to do and the message is done.

    Of a message's copies, none takes an attempt that another copy had deferred: each would be deferred again. A
    replay always takes it, as a person may want it now.
    """
    record = attempts.claim(
        message.delivery_id,
        message.next_attempt,
        deps.token(),
        deps.now(),
        deps.policy.lease,
        replay=message.replay,
        deferral=None if message.replay else message.deferral,
    )
    if record is None:
        _refused(message, attempts.load(message.delivery_id), receive_count, deps)
    return record


def defer(message: Retry, receive_count: int, wait: int, deps: DeliverDependencies) -> Retry | None:
    """Defer the attempt that a retry is for; returns the retry that is to come in `wait` seconds.

    None when its record says otherwise, or a copy of the message was deferred before: so however many copies come,
    one goes on.
    """
    until, deferred = deps.time() + wait, replace(message, deferral=message.deferral + 1)
    if attempts.defer(message, until, deps.now()):
        return deferred
    known = attempts.load(message.delivery_id)
    if known and _is_free(known, message, deps) and _shows(known, deferred, until):
        return deferred  # the response to our own write was lost
    _refused(message, known, receive_count, deps)
    return None


def give_back(pending: PendingAttempt) -> None:
    """Undo the claim of an attempt that was not made."""
    if pending.record:
        attempts.give_back(pending.record)


def already_recorded(delivery: Delivery, receive_count: int, deps: DeliverDependencies) -> bool:
    """Whether a first attempt has a record already; if so, what it left undone is done.

    It has one only if its result was written, or it was parked or deferred, before. That is worth a read only when
    the message may have been delivered before: SQS says so, or it is old. To SQS, a redriven dead letter is a new
    message.
    """
    record = attempts.load(delivery.delivery_id) if receive_count > 1 or not _fresh(delivery, deps) else None
    if record is None or record.is_over_before(delivery.enqueued_at):
        return False
    _resume(record, 1, deps)
    return True


def announce_exhausted(record: DeliveryRecord, deps: DeliverDependencies) -> None:
    """Publish that `record`, which is written already, is exhausted.

    Policy: when the bus does not take it, this raises and the message comes back. It finds the record exhausted
    and publishes the event again. So it may arrive twice, with the same id, but never not at all.
    """
    attempts_made = int(record.attempts_made)
    detail = {
        "app_id": record.app_id,
        "organization_id": record.organization_id,
        "event_id": record.event_id,
        "event": record.event,
        "delivery_id": record.delivery_id,
        "attempts": attempts_made,
        "last_result": record.attempts[-1]["result"] if record.attempts else None,
    }
    # A replay that is exhausted again has made another attempt, or waited for too long: then nothing is new.
    deps.bus.publish(EXHAUSTED_EVENT, f"{record.delivery_id}-{attempts_made}", detail)


def _begin_first(
    delivery: Delivery, app: App | None, receive_count: int, deps: DeliverDependencies
) -> PendingAttempt | None:
    if already_recorded(delivery, receive_count, deps):
        return None
    # notify has just looked at its hook; of one that waited in the queue, it is asked again.
    just_enqueued = deps.time() - delivery.enqueued_at < JUST_ENQUEUED_SECONDS
    reason = None if just_enqueued else _refusal(delivery, app, deps)
    if reason:
        deps.telemetry.warning(f"delivery skipped: {reason}", **names(delivery))
        deps.telemetry.count(f"Skipped_{reason}")
        return None
    return first_attempt(delivery, app, deps)


def _begin_retry(
    message: Retry, app: App | None, receive_count: int, deps: DeliverDependencies
) -> PendingAttempt | None:
    if app:
        keys(app, deps)  # before the claim: a missing secret then leaves the attempt free
    record = claim(message, receive_count, deps)
    return prepare(record, app, deps) if record else None


def prepare(record: DeliveryRecord, app: App | None, deps: DeliverDependencies) -> PendingAttempt | None:
    """The attempt of a record that is claimed; None, and its end is written, when nobody wants it any more.

    Or when nobody can send it: see body.py.
    """
    if app is None:
        attempts.finish(record, NextState(STOPPED), deps.now())
        _skip_missing_app(record, deps)
        return None
    reason = _refusal(record, app, deps)
    if reason:
        attempts.finish(record, NextState(WITHDRAWN), deps.now())
        deps.telemetry.info(f"delivery withdrawn: {reason}", **names(record))
        deps.telemetry.count("DeliveryWithdrawn")
        return None
    signed_by = keys(app, deps)
    delivery = body.read(record, deps)
    return PendingAttempt(delivery, int(record.attempts_made) + 1, app, signed_by, record) if delivery else None


def keys(app: App, deps: DeliverDependencies) -> Keys:
    """What the app keeps secret.

    Raises:
        InternalError: it has no signing secret; the message must come back.
    """
    found = deps.secrets.keys(app)
    if found is None:
        raise InternalError(f"app {app.app_id} has no signing secret; run bellhop apply with its registry file")
    return found


def _known(delivery: Delivery) -> DeliveryRecord:
    known = attempts.load(delivery.delivery_id)
    if known is None:
        raise InternalError(f"the record of {delivery.delivery_id} was neither written nor found")
    return known


def _fresh(delivery: Delivery, deps: DeliverDependencies) -> bool:
    """Whether a first attempt's message is so young that it cannot have been delivered, and redriven, before."""
    return deps.time() - delivery.enqueued_at < deps.policy.fresh


def _refusal(delivery: Delivery | DeliveryRecord, app: App | None, deps: DeliverDependencies) -> str | None:
    """Why the delivery's installation does not want it any more; None when it does."""
    installation = deps.registry.installation(delivery.organization_id, delivery.installation_id)
    return refusal(delivery.event, delivery.project_id, installation, app)


def _skip_missing_app(delivery: Delivery | DeliveryRecord, deps: DeliverDependencies) -> None:
    deps.telemetry.warning("delivery skipped: its app is not registered any more", **names(delivery))
    deps.telemetry.count("Skipped_missing_app")


def _refused(message: Retry, record: DeliveryRecord | None, receive_count: int, deps: DeliverDependencies) -> None:
    if record is None or float(record.expires_at) <= deps.time():
        if record and message.replay:  # or it would be listed, and replayed in vain, until DynamoDB deletes it
            attempts.unlist_expired(record, deps.now())
        deps.telemetry.warning("retry dropped: its record has expired", delivery_id=message.delivery_id)
    elif not _is_due(record, message):  # ahead of the message, or begun anew since it was sent
        resume = _drop if receive_count == 1 and _is_just_written(record, deps) else _resume
        resume(record, message.next_attempt, deps)
    elif _is_free(record, message, deps) and int(record.deferrals or 0) != message.deferral:
        _resume_deferred(message, record, receive_count, deps)
    elif receive_count == 1:  # leased by another worker, whose own message comes back if it dies
        _drop(record, message.next_attempt, deps, _BEING_MADE)
    else:
        # The lease may be this message's own, of a worker that died. So the retry goes on after the lease.
        _send_again(message, record, float(record.lease_until or 0) + 1, _BEING_MADE, deps)


def _resume_deferred(
    message: Retry, record: DeliveryRecord, receive_count: int, deps: DeliverDependencies
) -> None:
    """Drop a message whose attempt was deferred before, unless what was to come then may be lost."""
    # This very message may have been deferred by a worker that died before it sent the next one.
    ours = record.deferrals == message.deferral + 1 and receive_count > 1
    if ours or _is_overdue(record, deps):
        again = replace(message, deferral=int(record.deferrals or 0))
        _send_again(again, record, float(record.next_attempt_at), _MAY_BE_LOST, deps)
    else:
        _drop(record, message.next_attempt, deps)


def _shows(record: DeliveryRecord, deferred: Retry, until: float) -> bool:
    return bool(record.deferrals == deferred.deferral and record.next_attempt_at == until)


def _is_due(record: DeliveryRecord, message: Retry) -> bool:
    states = (RETRYING, *REPLAYABLE) if message.replay else (RETRYING,)
    return record.attempts_made == message.next_attempt - 1 and record.state in states


def _is_free(record: DeliveryRecord, message: Retry, deps: DeliverDependencies) -> bool:
    """Whether the attempt that a retry is for may be made, and nobody makes it."""
    leased = record.lease_until is not None and record.lease_until >= deps.time()
    return _is_due(record, message) and not leased and float(record.expires_at) > deps.time()


def _is_overdue(record: DeliveryRecord, deps: DeliverDependencies) -> bool:
    return float(record.next_attempt_at) + deps.policy.lease < deps.time()


def _is_just_written(record: DeliveryRecord, deps: DeliverDependencies) -> bool:
    """Whether its last attempt is so young that the message for it, if its worker died, is still to come back.

    That one sends what follows. What comes for the first time is then a copy, and no redriven dead letter.
    """
    if not record.attempts:
        return False
    began = datetime.fromisoformat(record.attempts[-1]["at"])
    return deps.now() - began < timedelta(seconds=deps.policy.fresh)


def _resume(record: DeliveryRecord, number: int, deps: DeliverDependencies) -> None:
    """Do what was left undone when a message for attempt `number` comes after that attempt's result was written.

    If the next attempt is still due, its retry may never have been sent. Sending it once more costs little: the
    one that comes second is dropped here. That the delivery is exhausted may never have been announced.
    """
    # A retry that is overdue by more than a lease may be lost too, whichever attempt it was for.
    if record.state == RETRYING and (record.attempts_made <= number or _is_overdue(record, deps)):
        _send_again(next_retry(record), record, float(record.next_attempt_at), _MAY_BE_LOST, deps)
    elif record.state == EXHAUSTED and record.attempts_made <= number:
        announce_exhausted(record, deps)
        deps.telemetry.info("exhausted delivery announced again", **names(record), attempt=number)
    else:
        _drop(record, number, deps)


def _send_again(retry: Retry, record: DeliveryRecord, due: float, because: str, deps: DeliverDependencies) -> None:
    deps.scheduler.send(retry, max(0, round(due - deps.time())))
    deps.telemetry.info(f"retry sent again: {because}", **names(record), attempt=retry.next_attempt)


def _drop(record: DeliveryRecord, number: int, deps: DeliverDependencies, because: str = _AHEAD) -> None:
    known_as = {"attempt": number, "recorded": int(record.attempts_made), "state": record.state}
    deps.telemetry.info(f"duplicate message dropped: {because}", **names(record), **known_as)
    deps.telemetry.count("DuplicateDropped")


def _is_own_write(record: DeliveryRecord, state: NextState) -> bool:
    """Whether the record shows our own write: the SDK repeats one whose response is lost, and that one fails."""
    if state.attempt is None:  # nothing follows what is parked, so it need not be told apart
        return bool(record.state == state.state == RETRYING and record.next_attempt_at == state.next_attempt_at)
    return bool(record.state == state.state and _last_request_id(record) == state.attempt.request_id)


def _last_request_id(record: DeliveryRecord) -> str | None:
    return record.attempts[-1]["request_id"] if record.attempts else None
