"""The chain of a delivery's attempts: which attempt a message asks for, and how its end is written.

The record in Attempts decides. The order is always: write how attempt n ended, send the reminder for attempt
n+1, acknowledge. A crash between any two of these leaves a message on the queue that comes back and finds in
the record where to go on, so a chain never ends by a crash; the claim on the record keeps it from forking. What
a crash can do is repeat an attempt whose end was not written yet, or send a reminder twice: the second finds
the record ahead.
"""

from bellhop import attempts
from bellhop.attempts import EXHAUSTED, PARKED, RETRYING, STOPPED, DeliveryRecord, NextState
from bellhop.deliveries import Delivery, Retry
from bellhop.registry import DISABLED, App
from deliver.attempt import exhausted
from deliver.attempt.signing import Keys
from deliver.dependencies import DeliverDependencies, InternalError, Job, names


def begin(message: Delivery | Retry, receive_count: int, deps: DeliverDependencies) -> Job | None:
    """The attempt this message asks for; None when there is nothing to do and the message is done.

    Raises:
        InternalError: the secret is missing, or another worker has the attempt; the message must come back.
    """
    app = deps.app(message.app_id)
    if isinstance(message, Retry):
        return _begin_retry(message, app, deps)
    return _begin_first(message, app, receive_count, deps)


def write(job: Job, end: NextState, deps: DeliverDependencies) -> DeliveryRecord | None:
    """Write the end of a job; None when another copy or worker is ahead and this end does not count."""
    if job.record is None:
        record = attempts.open_record(job.delivery, end, deps.now())
    else:
        record = job.record if attempts.finish(job.record, end, deps.now()) else None
    return record or _already_written(job, end, deps)


def claim(message: Retry, deps: DeliverDependencies) -> DeliveryRecord | None:
    """Take the attempt that a reminder is for; None when there is nothing to do and the message is done.

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
        _not_to_be_had(message, deps)
    return record


def known(delivery: Delivery, receive_count: int, deps: DeliverDependencies) -> bool:
    """Whether a first attempt has a record already; if so, what it left undone is done.

    It has one only if it ended or was put off before: worth a read only when SQS sent it before.
    """
    record = attempts.load(delivery.delivery_id) if receive_count > 1 else None
    if record:
        _resume(record, 1, deps)
    return record is not None


def _begin_first(delivery: Delivery, app: App | None, receive_count: int, deps: DeliverDependencies) -> Job | None:
    if known(delivery, receive_count, deps):
        return None
    if app is None:
        skip_missing_app(names(delivery), deps)
        return None
    job = Job(delivery, 1, app, keys_of(app, deps))
    return None if _parked(job, deps) else job


def _begin_retry(message: Retry, app: App | None, deps: DeliverDependencies) -> Job | None:
    keys = keys_of(app, deps) if app else None  # before the claim, so that its lack leaves the attempt free
    record = claim(message, deps)
    if record is None:
        return None
    if app is None or keys is None:
        attempts.finish(record, NextState(STOPPED), deps.now())
        skip_missing_app(names(record.delivery), deps)
        return None
    job = Job(record.delivery, message.next_attempt, app, keys, record, deferred_since=message.deferred_since)
    return None if _parked(job, deps) else job


def _parked(job: Job, deps: DeliverDependencies) -> bool:
    """Park the delivery if its app is switched off: kept, with its budget untouched, to be replayed.

    What was exhausted and comes back by a replay is parked like the rest: that keeps it replayable.
    """
    if job.app.state != DISABLED:
        return False
    if job.record is None and deps.parking.full(job.app):
        _skip_for_room(job, deps)
        return True
    if write(job, NextState(PARKED), deps):
        deps.parking.note(job.app)
    deps.telemetry.info("delivery parked: the app is switched off", **job.names())
    deps.telemetry.count("DeliveryParked")
    return True


def _skip_for_room(job: Job, deps: DeliverDependencies) -> None:
    deps.telemetry.warning("delivery skipped: parking is full", **job.names(), limit=deps.parking.limit)
    deps.telemetry.count("ParkingFull")


def _not_to_be_had(message: Retry, deps: DeliverDependencies) -> None:
    record = attempts.load(message.delivery_id)
    if record is None:
        deps.telemetry.warning("retry dropped: its record has expired", delivery_id=message.delivery_id)
    elif record.state == RETRYING and record.attempts_made < message.next_attempt:
        # Leased by another worker. If it dies, this message is what goes on after its lease.
        raise InternalError(
            f"attempt {message.next_attempt} of {message.delivery_id} is being made by another worker"
        )
    else:
        _resume(record, message.next_attempt, deps)


def _resume(record: DeliveryRecord, number: int, deps: DeliverDependencies) -> None:
    """A message for attempt `number` came after that attempt had ended: is something of it left undone?

    If the next attempt is still due, its reminder may never have been sent. Sending it once more costs little:
    whichever comes second is dropped here. That it is exhausted may never have been announced.
    """
    if record.state == RETRYING and record.attempts_made <= number:
        wait = max(0, round(float(record.next_attempt_at) - deps.time()))
        deps.remind(Retry(record.delivery_id, record.app_id, int(record.attempts_made) + 1), wait)
        deps.telemetry.info("reminder sent again", **names(record.delivery), attempt=number)
    elif record.state == EXHAUSTED and record.attempts_made <= number:
        exhausted.announce(record, deps)
        deps.telemetry.info("exhausted delivery announced again", **names(record.delivery), attempt=number)
    else:
        known_as = {"attempt": number, "recorded": int(record.attempts_made), "state": record.state}
        deps.telemetry.info("message dropped: its record is ahead", **names(record.delivery), **known_as)
        deps.telemetry.count("DuplicateDropped")


def skip_missing_app(named: dict[str, object], deps: DeliverDependencies) -> None:
    """Say that a delivery has nowhere to go: its app is not registered any more."""
    deps.telemetry.warning("delivery skipped: missing_app", **named)
    deps.telemetry.count("Skipped_missing_app")


def keys_of(app: App, deps: DeliverDependencies) -> Keys:
    """The app's signing secrets.

    Raises:
        InternalError: it has none.
    """
    keys = deps.keys(app.app_id)
    if keys is None:
        raise InternalError(f"app {app.app_id} has no signing secret; run bellhop apply with its registry file")
    return keys


def _already_written(job: Job, end: NextState, deps: DeliverDependencies) -> DeliveryRecord | None:
    """A conditional write that failed may be our own, sent again after its answer was lost."""
    record = attempts.load(job.delivery.delivery_id)
    if record and record.state == end.state and _last_request(record) == _request(end):
        return record
    deps.telemetry.warning("attempt not recorded: another copy is ahead", **job.names())
    return None


def _last_request(record: DeliveryRecord) -> str | None:
    return record.attempts[-1]["request_id"] if record.attempts else None


def _request(end: NextState) -> str | None:
    return end.attempt.request_id if end.attempt else None


def give_back(job: Job) -> None:
    """Undo a claim whose attempt was not made."""
    if job.record:
        attempts.give_back(job.record)
