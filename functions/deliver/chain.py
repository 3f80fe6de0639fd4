"""The chain of a delivery's attempts: which attempt a message asks for, and how its end is written.

The record in Attempts decides. The order is always: write how attempt n ended, send the reminder for attempt
n+1, acknowledge. A crash between any two of these leaves a message on the queue that comes back and finds in
the record where to go on, so a chain never ends by a crash; the claim on the record keeps it from forking. What
a crash can do is repeat an attempt whose end was not written yet, or send a reminder twice: the second finds
the record ahead.
"""

from bellhop import attempts
from bellhop.attempts import EXHAUSTED, PARKED, RETRYING, STOPPED, DeliveryRecord, End
from bellhop.deliveries import Delivery, Retry
from bellhop.registry import DISABLED, App
from deliver import exhausted
from deliver.desk import Desk, Job, OursError, names
from deliver.signing import Keys


def begin(message: Delivery | Retry, receive_count: int, desk: Desk) -> Job | None:
    """The attempt this message asks for; None when there is nothing to do and the message is done.

    Raises:
        OursError: the secret is missing, or another worker has the attempt; the message must come back.
    """
    app = desk.app(message.app_id)
    if isinstance(message, Retry):
        return _begin_retry(message, app, desk)
    return _begin_first(message, app, receive_count, desk)


def write(job: Job, end: End, desk: Desk) -> DeliveryRecord | None:
    """Write the end of a job; None when another copy or worker is ahead and this end does not count."""
    if job.record is None:
        record = attempts.open_record(job.delivery, end, desk.now())
    else:
        record = job.record if attempts.finish(job.record, end, desk.now()) else None
    return record or _already_written(job, end, desk)


def claim(message: Retry, desk: Desk) -> DeliveryRecord | None:
    """Take the attempt that a reminder is for; None when there is nothing to do and the message is done.

    Raises:
        OursError: another worker has the attempt; the message must come back.
    """
    record = attempts.claim(
        message.delivery_id,
        message.attempt,
        desk.token(),
        desk.now(),
        desk.policy.lease,
        replay=message.replay,
    )
    if record is None:
        _not_to_be_had(message, desk)
    return record


def known(delivery: Delivery, receive_count: int, desk: Desk) -> bool:
    """Whether a first attempt has a record already; if so, what it left undone is done.

    It has one only if it ended or was put off before: worth a read only when SQS sent it before.
    """
    record = attempts.load(delivery.delivery_id) if receive_count > 1 else None
    if record:
        _resume(record, 1, desk)
    return record is not None


def _begin_first(delivery: Delivery, app: App | None, receive_count: int, desk: Desk) -> Job | None:
    if known(delivery, receive_count, desk):
        return None
    if app is None:
        skip_missing_app(names(delivery), desk)
        return None
    job = Job(delivery, 1, app, keys_of(app, desk))
    return None if _parked(job, desk) else job


def _begin_retry(message: Retry, app: App | None, desk: Desk) -> Job | None:
    keys = keys_of(app, desk) if app else None  # before the claim, so that its lack leaves the attempt free
    record = claim(message, desk)
    if record is None:
        return None
    if app is None or keys is None:
        attempts.finish(record, End(STOPPED), desk.now())
        skip_missing_app(names(record.delivery), desk)
        return None
    job = Job(record.delivery, message.attempt, app, keys, record, waiting_since=message.waiting_since)
    return None if _parked(job, desk) else job


def _parked(job: Job, desk: Desk) -> bool:
    """Park the delivery if its app is switched off: kept, with its budget untouched, to be replayed.

    What was exhausted and comes back by a replay is parked like the rest: that keeps it replayable.
    """
    if job.app.state != DISABLED:
        return False
    if job.record is None and desk.parking.full(job.app):
        _skip_for_room(job, desk)
        return True
    if write(job, End(PARKED), desk):
        desk.parking.note(job.app)
    desk.telemetry.info("delivery parked: the app is switched off", **job.names())
    desk.telemetry.count("DeliveryParked")
    return True


def _skip_for_room(job: Job, desk: Desk) -> None:
    desk.telemetry.warning("delivery skipped: parking is full", **job.names(), limit=desk.parking.limit)
    desk.telemetry.count("ParkingFull")


def _not_to_be_had(message: Retry, desk: Desk) -> None:
    record = attempts.load(message.delivery_id)
    if record is None:
        desk.telemetry.warning("retry dropped: its record has expired", delivery_id=message.delivery_id)
    elif record.state == RETRYING and record.attempt < message.attempt:
        # Leased by another worker. If it dies, this message is what goes on after its lease.
        raise OursError(f"attempt {message.attempt} of {message.delivery_id} is being made by another worker")
    else:
        _resume(record, message.attempt, desk)


def _resume(record: DeliveryRecord, number: int, desk: Desk) -> None:
    """A message for attempt `number` came after that attempt had ended: is something of it left undone?

    If the next attempt is still due, its reminder may never have been sent. Sending it once more costs little:
    whichever comes second is dropped here. That it is exhausted may never have been announced.
    """
    if record.state == RETRYING and record.attempt <= number:
        wait = max(0, round(float(record.due_at) - desk.time()))
        desk.remind(Retry(record.delivery_id, record.app_id, int(record.attempt) + 1), wait)
        desk.telemetry.info("reminder sent again", **names(record.delivery), attempt=number)
    elif record.state == EXHAUSTED and record.attempt <= number:
        exhausted.announce(record, desk)
        desk.telemetry.info("exhausted delivery announced again", **names(record.delivery), attempt=number)
    else:
        known_as = {"attempt": number, "recorded": int(record.attempt), "state": record.state}
        desk.telemetry.info("message dropped: its record is ahead", **names(record.delivery), **known_as)
        desk.telemetry.count("DuplicateDropped")


def skip_missing_app(named: dict[str, object], desk: Desk) -> None:
    """Say that a delivery has nowhere to go: its app is not registered any more."""
    desk.telemetry.warning("delivery skipped: missing_app", **named)
    desk.telemetry.count("Skipped_missing_app")


def keys_of(app: App, desk: Desk) -> Keys:
    """The app's signing secrets.

    Raises:
        OursError: it has none.
    """
    keys = desk.keys(app.app_id)
    if keys is None:
        raise OursError(f"app {app.app_id} has no signing secret; run bellhop apply with its registry file")
    return keys


def _already_written(job: Job, end: End, desk: Desk) -> DeliveryRecord | None:
    """A conditional write that failed may be our own, sent again after its answer was lost."""
    record = attempts.load(job.delivery.delivery_id)
    if record and record.state == end.state and _last_request(record) == _request(end):
        return record
    desk.telemetry.warning("attempt not recorded: another copy is ahead", **job.names())
    return None


def _last_request(record: DeliveryRecord) -> str | None:
    return record.history[-1]["request_id"] if record.history else None


def _request(end: End) -> str | None:
    return end.attempt.request_id if end.attempt else None


def give_back(job: Job) -> None:
    """Undo a claim whose attempt was not made."""
    if job.record:
        attempts.give_back(job.record)
