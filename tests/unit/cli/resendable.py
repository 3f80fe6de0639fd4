"""Deliveries that can be resent, and what became of a resend."""

from datetime import UTC, datetime, timedelta
from typing import Any

import boto3

from bellhop import attempts, deliveries
from bellhop.attempts import DELIVERED, Attempt, DeliveryRecord, NextState
from bellhop.deliveries import Retry
from bellhop.successes import Success, SuccessLog
from infra.cli import stack
from tests.support.fakes import delivery
from tests.unit.cli.cli_runner import CloudFormation
from tests.unit.cli.failing_app import register

HOUR = timedelta(hours=1)


class DiedError(Exception):
    """As if the command had been killed."""


def prepare(cloudformation: CloudFormation) -> None:
    """Register the app, and give the stack what a resend needs of it."""
    register()
    cloudformation.parameters["KeepDeliveredDays"] = "3"
    cloudformation.parameters["ReplayPerSecond"] = "1000"
    cloudformation.outputs[stack.RETRIES_QUEUE] = boto3.client("sqs").create_queue(QueueName="retries")["QueueUrl"]


def now() -> datetime:
    return datetime.now(UTC)


def a_record(name: str, state: str, ago: timedelta = HOUR, status: int = 500, **fields: Any) -> str:
    """A delivery in that state after three attempts, first attempted so long ago."""
    at = now() - ago
    failed = Attempt(3, at, 12, "request", f"http_{status}", status, "boom")
    made = delivery(delivery_id=name, **fields)
    assert attempts.open_record(made, NextState(state, at.timestamp() + 60, failed), at)
    DeliveryRecord(name).update(actions=[DeliveryRecord.attempts_made.set(3)])
    return name


def a_success(name: str, ago: timedelta = HOUR, **fields: Any) -> str:
    """A delivery that succeeded at once, so long ago."""
    at, made = now() - ago, delivery(delivery_id=name, **fields)
    names = {"app": made.app_id, "event_id": made.event_id, "event": made.event, "delivery_id": name}
    row = Attempt(1, at, 12, "request", "http_200", 200).row() | names
    SuccessLog(name, timedelta(days=3)).write([Success(made, row)], at)
    return name


def sent() -> list[tuple[str, int]]:
    """The attempts that deliver was asked for since the last call."""
    sqs, found = boto3.client("sqs"), list[tuple[str, int]]()
    url = sqs.get_queue_url(QueueName="retries")["QueueUrl"]
    while received := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        for message in received:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            retry = deliveries.decode(message["Body"])
            assert isinstance(retry, Retry)
            assert retry.organization_id in {"acme", "globex"}
            found.append((retry.delivery_id, retry.next_attempt))
    return found


def attempted(name: str, state: str = DELIVERED) -> None:
    """As deliver does with what it gets."""
    record = attempts.load(name)
    assert record
    number = int(record.attempts_made) + 1
    claimed = attempts.claim(name, number, "worker", now(), 30)
    assert claimed
    row = Attempt(number, now(), 1, "request-2", "http_200", 200, resent=True)
    assert attempts.finish(claimed, NextState(state, attempt=row), now())


def go_on(said: str) -> list[str]:
    text = next(line for line in said.splitlines() if line.startswith("If this is interrupted"))
    return text.partition("bellhop ")[2].split()
