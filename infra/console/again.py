"""Retrying a delivery now, by hand."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from bellhop import attempts, deliveries, pings
from bellhop.attempts import DELIVERED, KEPT, RETRYING, DeliveryRecord
from bellhop.deliveries import Retry
from bellhop.registry import DISABLED, App, find
from bellhop.tables import change
from deliver.attempt.retry_scheduler import schedule_name
from infra.console.errors import ConsoleError

if TYPE_CHECKING:
    from mypy_boto3_scheduler import EventBridgeSchedulerClient
    from mypy_boto3_sqs import SQSClient


@dataclass(frozen=True)
class Lane:
    """Where reminders wait and where they are sent."""

    sqs: "SQSClient"
    queue_url: str
    scheduler: "EventBridgeSchedulerClient"
    group: str


@dataclass(frozen=True, slots=True)
class Sent:
    """What was done: the attempt that is due now, and the state its record was in before."""

    delivery_id: str
    app_id: str
    attempt: int
    state: str


def retry(delivery_id: str, lane: Lane, now: datetime, *, force: bool) -> Sent:
    """Have the next attempt of a delivery made now. A crash half-way is mended by doing it again.

    No lock is needed to keep an attempt from being made twice. Each reminder names its attempt, deliver claims
    that attempt on the record before it makes it, and every other reminder of it, such as one that is still in
    the queue's delay or a schedule that fires just now, then finds the record ahead and is dropped.

    Raises:
        ConsoleError: there is no such record, the app would not get it, it is delivered and not to be sent
            again by `force`, or the record changed meanwhile.
    """
    record = _load(delivery_id)
    if record.event == pings.EVENT:
        raise ConsoleError(f"{delivery_id} is a ping, made once: `bellhop ping {record.app_id}` sends another")
    _refuse_switched_off(record)
    if record.state == DELIVERED and not force:
        raise ConsoleError(
            f"{delivery_id} is delivered already: --force sends it once more, under the same webhook-id"
        )
    _make_due(record, now)
    reminder = Retry(record.delivery_id, record.app_id, int(record.attempts_made) + 1)
    # In this order a crash leaves one reminder too many, never none: what waited is removed last.
    lane.sqs.send_message(
        QueueUrl=lane.queue_url, MessageBody=deliveries.encode(reminder), MessageGroupId=reminder.app_id
    )
    _unschedule(reminder, lane)
    return Sent(record.delivery_id, record.app_id, reminder.next_attempt, record.state)


def _load(delivery_id: str) -> DeliveryRecord:
    record = attempts.load(delivery_id)
    if record is None:
        raise ConsoleError(
            f"no record of a delivery {delivery_id!r}: one that succeeded at once has none, others are "
            f"kept {KEPT.days} days; `bellhop log APP --failures` shows the ids"
        )
    return record


def _refuse_switched_off(record: DeliveryRecord) -> None:
    app = find(App, record.app_id, consistent=True)
    if app is None:
        raise ConsoleError(f"its app {record.app_id} is not registered any more: there is nowhere to send it")
    if app.state == DISABLED:
        raise ConsoleError(
            f"{record.delivery_id} is {record.state}, and its app {record.app_id} is switched off: it would only "
            f"be parked; `bellhop enable {record.app_id}` switches it on"
        )


def _make_due(record: DeliveryRecord, now: datetime) -> None:
    row = DeliveryRecord
    due = [row.state.set(RETRYING), row.next_attempt_at.set(now.timestamp()), *attempts.unlisted()]
    unchanged = (row.state == record.state) & (row.attempts_made == record.attempts_made)
    if not change(DeliveryRecord(record.delivery_id), due, unchanged):
        raise ConsoleError(f"{record.delivery_id} was changed meanwhile by somebody else: look, and retry")


def _unschedule(reminder: Retry, lane: Lane) -> None:
    # Not there: it waited in the queue's own delay, fired already, or nothing waited.
    with suppress(lane.scheduler.exceptions.ResourceNotFoundException):
        lane.scheduler.delete_schedule(Name=schedule_name(reminder), GroupName=lane.group)
