import boto3
import pytest

from bellhop.registry import App
from deliver.counting import Ledger
from deliver.desk import Desk, Policy
from deliver.parking import Parking
from deliver.reminders import Reminders
from deliver.signing import Keys
from deliver.watch import Watch
from tests.endpoint import Announced, Clock
from tests.fakes import SECRET, Recorder, app


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
def desk(queue: str, clock: Clock, apps: dict[str, App], bus: Announced) -> Desk:
    telemetry = Recorder()
    reminders = Reminders(boto3.client("sqs"), queue, "arn", lambda: None, "g", "role", "dead", clock)  # type: ignore[arg-type,return-value]
    return Desk(
        app=apps.get,
        keys=lambda _: Keys(SECRET),
        remind=reminders.send,
        publish=bus,
        policy=Policy(delays=(0, 0), lease=30),
        ledger=Ledger(lambda: clock().timestamp()),
        watch=Watch(lambda: clock().timestamp()),
        parking=Parking(100_000, telemetry),
        telemetry=telemetry,
        now=clock,
        uniform=lambda low, high: 0.0,
        token=iter(map(str, range(100_000))).__next__,
    )
