"""bellhop retry: have the next attempt of one delivery made now."""

from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Console

from bellhop import attempts, deliveries, pings
from bellhop.attempts import DELIVERED, KEPT, RETRYING, DeliveryRecord, NextState
from bellhop.deliveries import Retry
from bellhop.queues import OutgoingMessage, Queue
from bellhop.registry import DISABLED, App, find
from bellhop.tables import change
from deliver.attempt.retry_scheduler import schedule_name
from infra.cli import stack, terminal
from infra.cli.errors import CommandError
from infra.cli.terminal import line

if TYPE_CHECKING:
    from mypy_boto3_scheduler import EventBridgeSchedulerClient


@dataclass(frozen=True)
class RetryQueue:
    """The retry queue, and the schedules that put a retry on it later."""

    queue: Queue
    scheduler: "EventBridgeSchedulerClient"
    group: str


@dataclass(frozen=True, slots=True)
class RequestedRetry:
    """The attempt that is due now, and the state that its record was in before."""

    delivery_id: str
    app_id: str
    next_attempt: int
    state_before: str


def run(stack_name: str, delivery_id: str, *, force: bool, as_json: bool) -> None:
    """Make the next attempt due, say which it is."""
    found = stack.find(stack_name)
    stack.bind(found)
    group = found.outputs[stack.SCHEDULE_GROUP]
    retries = RetryQueue(found.queue(stack.RETRIES_QUEUE), stack.scheduler(), group)
    requested = retry_delivery(delivery_id, retries, datetime.now(UTC), force=force)
    if as_json:
        terminal.print_json(asdict(requested))
    else:
        _print(requested, terminal.console())


def retry_delivery(delivery_id: str, retries: RetryQueue, now: datetime, *, force: bool) -> RequestedRetry:
    """Have the next attempt of a delivery made now. After a crash half-way, do it again.

    No lock is needed to keep an attempt from being made twice. Each retry names its attempt, and deliver claims
    that attempt on the record before it makes it. Every other retry for the same attempt, such as one in the
    queue's delay or a schedule that fires just now, then finds the record ahead and is dropped.

    Raises:
        CommandError: there is no such record, the app would not get it, it is delivered and not to be sent once
            more by `force`, or the record changed meanwhile.
    """
    record = _load(delivery_id)
    if record.event == pings.EVENT:
        raise CommandError(f"{delivery_id} is a ping, made once: `bellhop ping {record.app_id}` sends another")
    _refuse_switched_off(record)
    if record.state == DELIVERED and not force:
        raise CommandError(
            f"{delivery_id} is delivered already: --force sends it once more, under the same webhook-id"
        )
    _make_due(record, now)
    retry = Retry(record.delivery_id, record.app_id, int(record.attempts_made) + 1)
    # In this order a crash leaves one scheduled retry too many, never none.
    retries.queue.send(OutgoingMessage(deliveries.encode(retry), retry.app_id))
    _unschedule(replace(retry, deferral=int(record.deferrals or 0)), retries)
    return RequestedRetry(record.delivery_id, record.app_id, retry.next_attempt, record.state)


def _load(delivery_id: str) -> DeliveryRecord:
    record = attempts.load(delivery_id)
    if record is None:
        raise CommandError(
            f"no record of a delivery {delivery_id!r}: one that succeeded at once has none, others are "
            f"kept {KEPT.days} days; `bellhop log APP --failures` shows the ids"
        )
    return record


def _refuse_switched_off(record: DeliveryRecord) -> None:
    app = find(App, record.app_id, consistent=True)
    if app is None:
        raise CommandError(f"its app {record.app_id} is not registered any more: there is nowhere to send it")
    if app.state == DISABLED:
        raise CommandError(
            f"{record.delivery_id} is {record.state}, and its app {record.app_id} is switched off: it would only "
            f"be parked; `bellhop enable {record.app_id}` switches it on"
        )


def _make_due(record: DeliveryRecord, now: datetime) -> None:
    row = DeliveryRecord
    due = [
        row.state.set(RETRYING),
        row.next_attempt_at.set(now.timestamp()),
        row.deferrals.remove(),
        *attempts.places(NextState(RETRYING), now, record.app_id, record.delivery_id),
    ]
    # Or this very write was made, its response was lost, and the SDK repeats it: the time is ours.
    ours = (row.state == RETRYING) & (row.next_attempt_at == now.timestamp())
    unchanged = (row.attempts_made == record.attempts_made) & ((row.state == record.state) | ours)
    if not change(DeliveryRecord(record.delivery_id), due, unchanged):
        raise CommandError(
            f"{record.delivery_id} was changed meanwhile by somebody else: `bellhop log {record.app_id}` shows how"
        )


def _unschedule(retry: Retry, retries: RetryQueue) -> None:
    # There is no schedule where the retry was in the queue's own delay, or fired already, or none was due.
    with suppress(retries.scheduler.exceptions.ResourceNotFoundException):
        retries.scheduler.delete_schedule(Name=schedule_name(retry), GroupName=retries.group)


def _print(requested: RequestedRetry, console: Console) -> None:
    number, delivery_id, app_id = requested.next_attempt, requested.delivery_id, requested.app_id
    line(console, f"Attempt {number} of {delivery_id} is due now; it was {requested.state_before}.", "bold")
    line(console, f"Next: bellhop log {app_id}, or, where the app is paused, bellhop app {app_id}")
