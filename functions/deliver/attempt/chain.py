"""The chain of a delivery's attempts: which attempt a message asks for, and how its result is written.

The record in Attempts decides. The order is always: write the result of attempt n, send the retry for attempt
n+1, acknowledge the message. A crash between any two of these leaves a message on the queue. It comes back and
finds in the record where to go on, so no crash ends a chain; the claim on the record keeps it from forking. What a
crash can do is repeat an attempt whose result was not written yet, or send a retry twice: the second finds the
record ahead.
"""

from bellhop import attempts
from bellhop.attempts import EXHAUSTED, RETRYING, STOPPED, DeliveryRecord, NextState
from bellhop.deliveries import Delivery, Retry
from bellhop.registry import App
from deliver.attempt.signing import Keys
from deliver.dependencies import DeliverDependencies, InternalError, PendingAttempt, names

EXHAUSTED_EVENT = "bellhop.delivery.exhausted"


def begin(message: Delivery | Retry, receive_count: int, deps: DeliverDependencies) -> PendingAttempt | None:
    """The attempt that this message asks for; None when there is nothing to do and the message is done.

    Raises:
        InternalError: the secret is missing, or another worker has the attempt; the message must come back.
    """
    app = deps.registry.app(message.app_id)
    if isinstance(message, Retry):
        return _begin_retry(message, app, deps)
    return _begin_first(message, app, receive_count, deps)


def first_attempt(delivery: Delivery, app: App | None, deps: DeliverDependencies) -> PendingAttempt | None:
    """The first attempt of a delivery; None when its app is not registered any more: there is nowhere to send it.

    Raises:
        InternalError: the app has no secret; the message must come back.
    """
    if app is None:
        _skip_missing_app(delivery, deps)
        return None
    return PendingAttempt(delivery, 1, app, _keys(app, deps))


def write(pending: PendingAttempt, state: NextState, deps: DeliverDependencies) -> DeliveryRecord | None:
    """Write a delivery's next state; None when another copy or worker is ahead, and this one does not count."""
    if pending.record is None:
        record = attempts.open_record(pending.delivery, state, deps.now())
    else:
        record = pending.record if attempts.finish(pending.record, state, deps.now()) else None
    return record or _already_written(pending, state, deps)


def claim(message: Retry, deps: DeliverDependencies) -> DeliveryRecord | None:
    """Take the attempt that a retry is for; None when there is nothing to do and the message is done.

    Raises:
        InternalError: another worker has the attempt; the message must come back.
    """
    record = attempts.claim(
        message.delivery_id,
        message.next_attempt,
        deps.token(),
        deps.now(),
        deps.policy.lease,
        replay=message.replay,
    )
    if record is None:
        _claim_refused(message, deps)
    return record


def give_back(pending: PendingAttempt) -> None:
    """Undo the claim of an attempt that was not made."""
    if pending.record:
        attempts.give_back(pending.record)


def already_recorded(delivery: Delivery, receive_count: int, deps: DeliverDependencies) -> bool:
    """Whether a first attempt has a record already; if so, what it left undone is done.

    It has one only if its result was written, or it was deferred, before. That is worth a read only when SQS
    delivered the message before.
    """
    record = attempts.load(delivery.delivery_id) if receive_count > 1 else None
    if record:
        _resume(record, 1, deps)
    return record is not None


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
    # A replay that is exhausted again has made another attempt, or was only deferred: then nothing is new.
    deps.bus.publish(EXHAUSTED_EVENT, f"{record.delivery_id}-{attempts_made}", detail)


def _begin_first(
    delivery: Delivery, app: App | None, receive_count: int, deps: DeliverDependencies
) -> PendingAttempt | None:
    if already_recorded(delivery, receive_count, deps):
        return None
    return first_attempt(delivery, app, deps)


def _begin_retry(message: Retry, app: App | None, deps: DeliverDependencies) -> PendingAttempt | None:
    keys = _keys(app, deps) if app else None  # before the claim: a missing secret then leaves the attempt free
    record = claim(message, deps)
    if record is None:
        return None
    if app is None or keys is None:
        attempts.finish(record, NextState(STOPPED), deps.now())
        _skip_missing_app(record.delivery, deps)
        return None
    return PendingAttempt(
        record.delivery, message.next_attempt, app, keys, record, deferred_since=message.deferred_since
    )


def _keys(app: App, deps: DeliverDependencies) -> Keys:
    keys = deps.secrets.keys(app.app_id)
    if keys is None:
        raise InternalError(f"app {app.app_id} has no signing secret; run bellhop apply with its registry file")
    return keys


def _skip_missing_app(delivery: Delivery, deps: DeliverDependencies) -> None:
    deps.telemetry.warning("delivery skipped: missing_app", **names(delivery))
    deps.telemetry.count("Skipped_missing_app")


def _claim_refused(message: Retry, deps: DeliverDependencies) -> None:
    record = attempts.load(message.delivery_id)
    if record is None:
        deps.telemetry.warning("retry dropped: its record has expired", delivery_id=message.delivery_id)
    elif record.state == RETRYING and record.attempts_made < message.next_attempt:
        # Leased by another worker. If that worker dies, this message goes on after its lease.
        raise InternalError(
            f"attempt {message.next_attempt} of {message.delivery_id} is being made by another worker"
        )
    else:
        _resume(record, message.next_attempt, deps)


def _resume(record: DeliveryRecord, number: int, deps: DeliverDependencies) -> None:
    """Do what was left undone when a message for attempt `number` comes after that attempt's result was written.

    If the next attempt is still due, its retry may never have been sent. Sending it once more costs little: the
    one that comes second is dropped here. That the delivery is exhausted may never have been announced.
    """
    if record.state == RETRYING and record.attempts_made <= number:
        wait = max(0, round(float(record.next_attempt_at) - deps.time()))
        deps.scheduler.send(Retry(record.delivery_id, record.app_id, int(record.attempts_made) + 1), wait)
        deps.telemetry.info(
            "retry sent again: the first may have been lost", **names(record.delivery), attempt=number
        )
    elif record.state == EXHAUSTED and record.attempts_made <= number:
        announce_exhausted(record, deps)
        deps.telemetry.info("exhausted delivery announced again", **names(record.delivery), attempt=number)
    else:
        known_as = {"attempt": number, "recorded": int(record.attempts_made), "state": record.state}
        deps.telemetry.info("duplicate message dropped: its record is ahead", **names(record.delivery), **known_as)
        deps.telemetry.count("DuplicateDropped")


def _already_written(
    pending: PendingAttempt, state: NextState, deps: DeliverDependencies
) -> DeliveryRecord | None:
    """The record, if it shows our own write: the SDK repeats one whose response is lost, and that one fails."""
    record = attempts.load(pending.delivery.delivery_id)
    if record and record.state == state.state and _last_request_id(record) == _request_id(state):
        return record
    deps.telemetry.warning("attempt not recorded: another copy of its message is ahead", **pending.names())
    return None


def _last_request_id(record: DeliveryRecord) -> str | None:
    return record.attempts[-1]["request_id"] if record.attempts else None


def _request_id(state: NextState) -> str | None:
    return state.attempt.request_id if state.attempt else None
