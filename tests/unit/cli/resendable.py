"""Deliveries that can be resent, and what became of a resend."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3

from bellhop import attempts, deliveries, resend_jobs, resends
from bellhop.attempts import DELIVERED, Attempt, DeliveryRecord, NextState
from bellhop.deliveries import Retry
from bellhop.queues import Queue
from bellhop.resend_jobs import ResendStep
from bellhop.resends import Times
from bellhop.successes import Success, SuccessLog
from health import resend
from infra.cli import stack
from infra.cli.resending import jobs
from tests.support.fakes import delivery
from tests.support.health import health_dependencies
from tests.unit.cli.cli_runner import CloudFormation, bellhop
from tests.unit.cli.failing_app import announced, register

HOUR = timedelta(hours=1)
RETRIES = "retries"


def prepare(cloudformation: CloudFormation) -> None:
    """Register the app, and give the stack what a resend needs of it."""
    register()
    cloudformation.parameters["KeepDeliveredDays"] = "3"
    cloudformation.parameters["ReplayPerSecond"] = "1000"
    cloudformation.outputs[stack.RETRIES_QUEUE] = boto3.client("sqs").create_queue(QueueName=RETRIES)["QueueUrl"]


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
    url = sqs.get_queue_url(QueueName=RETRIES)["QueueUrl"]
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


def resent_by_health() -> dict[str, Any]:
    """As health and deliver do with the jobs that were begun since the last call; the last one as JSON."""
    waiting = [message for message in announced() if isinstance(message, ResendStep)]
    deps = health_dependencies(
        retry=lambda retries: queue(RETRIES).send_all(retries, lambda _: None),
        send_later=lambda message, _: waiting.append(message),
        now=now,
    )
    job_id = ""
    while waiting:
        job_id = waiting[0].job_id
        resend.step(waiting.pop(0), deps)
    job = resend_jobs.load(job_id)
    return jobs.progress(job, now()).document() if job else {}


def make_due(name: str) -> None:
    """As a resend does with a delivery that has a record."""
    record, at = attempts.load(name), now()
    assert record
    assert resends.make_due(record, Times(at.timestamp(), at.timestamp()), at)


def queue(name: str) -> Queue:
    sqs = boto3.client("sqs")
    return Queue(sqs, sqs.get_queue_url(QueueName=name)["QueueUrl"])


def begun(*options: str) -> dict[str, Any]:
    """Begin a resend of what is chosen; what is said of it."""
    result = bellhop("resend", *options, "--yes", "--json")
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    return document
