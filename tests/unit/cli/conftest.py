from types import SimpleNamespace
from typing import TYPE_CHECKING

import boto3
import pytest

from infra.cli import progress, stack
from infra.cli.commands import ping
from tests.unit.cli.cli_runner import CloudFormation
from tests.unit.cli.failing_app import Endpoint

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


@pytest.fixture(autouse=True)
def no_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a test may take longer than a second, and most look at all that a command prints."""
    monkeypatch.setattr(progress, "FIRST_SECONDS", 3600.0)


@pytest.fixture
def progress_after_a_second(no_progress: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "FIRST_SECONDS", 1.0)


@pytest.fixture
def cloudformation(queue: str, sqs: "SQSClient", monkeypatch: pytest.MonkeyPatch) -> CloudFormation:
    names = {stack.DELIVERIES_QUEUE: "deliveries", stack.TRANSITIONS_QUEUE: "transitions"}
    queues = {output: sqs.create_queue(QueueName=name)["QueueUrl"] for output, name in names.items()}
    known, real = CloudFormation(queue, queues), boto3.client
    monkeypatch.setattr(
        boto3,
        "client",
        lambda name, **options: known if name == "cloudformation" else real(name, **options),
    )
    return known


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    made = Endpoint()
    monkeypatch.setattr(ping, "time", SimpleNamespace(sleep=made.sleep, monotonic=made.clock))
    return made
