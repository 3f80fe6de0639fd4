from typing import TYPE_CHECKING, Any, cast

import pytest

from bellhop.queues import Queue
from bellhop.registry import App
from deliver.attempt.retry_scheduler import RetryScheduler
from deliver.dependencies import DeliverDependencies
from tests.support.endpoint import Apps, Clock, FakeBus, dependencies
from tests.support.fakes import app

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def apps() -> dict[str, App]:
    return {"pager": app()}


@pytest.fixture
def bus() -> FakeBus:
    return FakeBus()


@pytest.fixture
def deps(queue: str, sqs: "SQSClient", clock: Clock, apps: dict[str, App], bus: FakeBus) -> DeliverDependencies:
    retries = Queue(sqs, queue)
    none = cast("Any", None)
    scheduler = RetryScheduler(retries, "arn", lambda: none, "g", "role", "dead", clock, lambda _: None)
    return dependencies(Apps(apps), scheduler, bus, clock)
