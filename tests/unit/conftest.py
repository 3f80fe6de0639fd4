import boto3
import pytest

from bellhop.queues import Queue
from bellhop.registry import App
from deliver.attempt.retry_scheduler import RetryScheduler
from deliver.attempt.signing import Keys
from deliver.circuit.parking import Parking
from deliver.circuit.window import FailureWindow
from deliver.dependencies import DeliverDependencies, RetryPolicy
from deliver.success_buffer import SuccessBuffer
from tests.support.endpoint import Announced, Clock
from tests.support.fakes import SECRET, Recorder, app


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def apps() -> dict[str, App]:
    return {"pager": app()}


@pytest.fixture
def bus() -> Announced:
    return Announced()


@pytest.fixture
def deps(queue: str, clock: Clock, apps: dict[str, App], bus: Announced) -> DeliverDependencies:
    telemetry = Recorder()
    retries = Queue(boto3.client("sqs"), queue)
    reminders = RetryScheduler(retries, "arn", lambda: None, "g", "role", "dead", clock)  # type: ignore[arg-type,return-value]
    return DeliverDependencies(
        app=apps.get,
        keys=lambda _: Keys(SECRET),
        remind=reminders.send,
        publish=bus,
        policy=RetryPolicy(delays=(0, 0), lease=30),
        buffer=SuccessBuffer(lambda: clock().timestamp()),
        watch=FailureWindow(lambda: clock().timestamp()),
        parking=Parking(100_000, telemetry),
        telemetry=telemetry,
        now=clock,
        uniform=lambda low, high: 0.0,
        token=iter(map(str, range(100_000))).__next__,
    )
