"""The chain of a delivery's attempts: what may be attempted, and what each attempt's end leads to.

The record in Attempts decides. The order is always: write how attempt n ended, send the message for attempt
n+1, note that it was sent, acknowledge. A crash between any two of these leaves a message on the queue that
comes back and finds in the record where to go on, so a chain never ends by a crash; the claim on the record
keeps it from forking. What a crash can do is repeat an attempt whose end was not written yet.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from bellhop import attempts, deliveries
from bellhop.attempts import DELIVERED, EXHAUSTED, PARKED, RETRYING, STOPPED, Attempt, DeliveryRecord
from bellhop.deliveries import Delivery, Retry
from bellhop.events import ALERT_RESOURCES
from bellhop.outcomes import Failure, Tally
from bellhop.registry import DISABLED, App
from bellhop.telemetry import Telemetry
from deliver import retry
from deliver.verdict import Counter, Fate, Verdict

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

EVIDENCE_BYTES = 160  # of an answer in a counter row, which must stay within one write unit


class OursError(Exception):
    """A fault of ours: the message goes back to its queue with its budget untouched."""


@dataclass(frozen=True)
class Desk:
    """What deliver works with. Time, randomness and every call outside come in here."""

    app: Callable[[str], App | None]
    secret: Callable[[str], str | None]
    sqs: "SQSClient"
    retries_url: str
    delays: tuple[int, ...]
    lease_seconds: float
    telemetry: Telemetry
    now: Callable[[], datetime]
    uniform: Callable[[float, float], float]
    token: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Job:
    """An attempt to make: `record` is the claimed one of a retry, None on a first attempt."""

    delivery: Delivery
    number: int
    app: App
    secret: str
    record: DeliveryRecord | None = None

    def names(self) -> dict[str, object]:
        """What every log line about this attempt carries."""
        return _names(self.delivery) | {"attempt": self.number}


def begin(message: Delivery | Retry, receive_count: int, desk: Desk) -> Job | None:
    """The attempt this message asks for; None when there is nothing to do and the message is done.

    Raises:
        OursError: the secret is missing, or another worker has the attempt; the message must come back.
    """
    app = desk.app(message.app_id)
    if isinstance(message, Retry):
        return _begin_retry(message, app, desk)
    return _begin_first(message, app, receive_count, desk)


def conclude(job: Job, verdict: Verdict, attempt: Attempt, desk: Desk) -> Tally | None:
    """Write how an attempt ended and see to the next; returns what health is to count, None for nothing."""
    if verdict.fate is Fate.DONE:
        _concluded(job, DELIVERED, attempt, desk) if job.record else None
    else:
        _concluded_badly(job, verdict, attempt, desk)
    return _tally(job, verdict, attempt)


def give_back(job: Job) -> None:
    """Undo a claim whose attempt was not made."""
    if job.record:
        attempts.give_back(job.record)


def _begin_first(delivery: Delivery, app: App | None, receive_count: int, desk: Desk) -> Job | None:
    # A first attempt has a record only if it failed before: worth a read only when SQS sent it before.
    if receive_count > 1 and (record := attempts.load(delivery.delivery_id)):
        _resume(record, 1, desk)
    elif app is None:
        _skip_missing_app(_names(delivery), desk)
    elif app.state == DISABLED:
        _park(delivery, desk)
    else:
        return Job(delivery, 1, app, _secret(app, desk))
    return None


def _begin_retry(message: Retry, app: App | None, desk: Desk) -> Job | None:
    secret = _secret(app, desk) if app else ""  # before the claim, so that its lack leaves the attempt free
    record = attempts.claim(
        message.delivery_id, message.attempt, desk.token(), desk.now(), desk.lease_seconds
    )
    if record is None:
        _not_to_be_had(message, desk)
    elif app is None:
        attempts.give_back(record, STOPPED)
        _skip_missing_app(_names(record.delivery), desk)
    elif app.state == DISABLED:
        attempts.give_back(record, PARKED)
        _report_parked(record.delivery, desk)
    else:
        return Job(record.delivery, message.attempt, app, secret, record)
    return None


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
    """A message for attempt `number` came again after that attempt had ended: finish what was left undone."""
    if record.state == RETRYING and record.attempt == number and record.queued <= number:
        _send_next(record, 0.0, desk)
        desk.telemetry.info("retry sent again after an interruption", delivery_id=record.delivery_id)
    else:
        desk.telemetry.info(
            "message dropped: its record is ahead",
            delivery_id=record.delivery_id,
            event_id=record.event_id,
            attempt=number,
            recorded=record.attempt,
            state=record.state,
        )
        desk.telemetry.count("DuplicateDropped")


def _park(delivery: Delivery, desk: Desk) -> None:
    attempts.open_record(delivery, PARKED, desk.now())  # None: another copy was parked, or failed, before
    _report_parked(delivery, desk)


def _report_parked(delivery: Delivery, desk: Desk) -> None:
    desk.telemetry.info("delivery parked: the app is switched off", **_names(delivery))
    desk.telemetry.count("DeliveryParked")


def _skip_missing_app(names: dict[str, object], desk: Desk) -> None:
    desk.telemetry.warning("delivery skipped: missing_app", **names)
    desk.telemetry.count("Skipped_missing_app")


def _secret(app: App, desk: Desk) -> str:
    secret = desk.secret(app.app_id)
    if secret is None:
        raise OursError(f"app {app.app_id} has no signing secret; run bellhop apply with its registry file")
    return secret


def _concluded(job: Job, state: str, attempt: Attempt, desk: Desk) -> DeliveryRecord | None:
    """Write the attempt's end; None when another copy or worker is ahead and this end does not count."""
    if job.record is None:
        record = attempts.open_record(job.delivery, state, desk.now(), attempt)
    else:
        record = job.record if attempts.finish(job.record, state, attempt) else None
    if record is None:
        desk.telemetry.warning("attempt not recorded: another copy is ahead", **job.names())
    return record


def _concluded_badly(job: Job, verdict: Verdict, attempt: Attempt, desk: Desk) -> None:
    state = _state(job.number, verdict, desk)
    record = _concluded(job, state, attempt, desk)
    wait = _send_next(record, verdict.not_before, desk) if record and state == RETRYING else None
    desk.telemetry.info(
        "attempt failed",
        **job.names(),
        result=verdict.result,
        milliseconds=attempt.milliseconds,
        state=state,
        retry_in_seconds=wait,
    )
    desk.telemetry.count("AttemptFailed")
    if state != RETRYING:
        desk.telemetry.count("Delivery" + state.capitalize())


def _state(number: int, verdict: Verdict, desk: Desk) -> str:
    if verdict.fate is Fate.STOP:
        return STOPPED
    return RETRYING if number <= len(desk.delays) else EXHAUSTED


def _send_next(record: DeliveryRecord, not_before: float, desk: Desk) -> int:
    ended = int(record.attempt)
    wait = retry.delay(ended, desk.delays, not_before, desk.uniform) or 0
    desk.sqs.send_message(
        QueueUrl=desk.retries_url,
        MessageBody=deliveries.encode(Retry(record.delivery_id, record.app_id, ended + 1)),
        MessageGroupId=record.app_id,
        DelaySeconds=wait,
    )
    attempts.confirm(record, ended + 1)
    return wait


def _tally(job: Job, verdict: Verdict, attempt: Attempt) -> Tally | None:
    delivery = job.delivery
    if verdict.counter is Counter.NONE or delivery.resource in ALERT_RESOURCES:
        return None
    failure = None
    if verdict.counter is not Counter.SUCCESS:
        first_line = attempt.answer.partition("\n")[0].encode()[:EVIDENCE_BYTES].decode(errors="ignore")
        at = attempt.at.isoformat(timespec="seconds")
        names = (delivery.delivery_id, delivery.event_id, delivery.event)
        failure = Failure(at, *names, verdict.result, first_line)
    counts = {verdict.counter.value: 1}
    day = attempt.at.astimezone(UTC).date()
    return Tally(
        delivery.app_id, delivery.organization_id, int(job.app.epoch), day, last_failure=failure, **counts
    )


def _names(delivery: Delivery) -> dict[str, object]:
    return {
        "event_id": delivery.event_id,
        "organization_id": delivery.organization_id,
        "delivery_id": delivery.delivery_id,
        "app_id": delivery.app_id,
    }
