"""A deliver function with its effects in memory: an endpoint that responds as told, a clock, what came of it."""

import itertools
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.sqs.models import sqs_backends
from pynamodb.models import Model

from bellhop import attempts
from bellhop.attempts import DeliveryRecord
from bellhop.bus import BusError
from bellhop.deliveries import Delivery, Retry, Trial
from bellhop.index_keys import KeyChoice
from bellhop.outcomes import OutcomeDay
from bellhop.queues import OutgoingMessage
from bellhop.registry import App, Installation
from bellhop.successes import Delivered, Row, Success, SuccessLog
from deliver.attempt.access_tokens import AccessTokens
from deliver.attempt.network import Network, SharedOutages
from deliver.attempt.signing import Keys
from deliver.batch import process
from deliver.circuit.known import KnownCircuits
from deliver.circuit.parking import Parking
from deliver.circuit.slow import SlowApps
from deliver.dependencies import DeliverDependencies, Invocation, Poster, Publisher, RetryPolicy, Scheduler
from deliver.http.response import Response, SendFailure
from deliver.success_buffer import SuccessBuffer
from tests.support.fakes import NOW, SECRET, SLOW_LANE, Recorder, delivery, installation, queue_message

TIMEOUT = SendFailure("timeout", "no response")
NOTHING = {"success": 0, "error": 0, "timeout": 0, "fatal": 0}  # was counted


def response(status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Response:
    return Response(status, headers or {}, body)


class Endpoint:
    """Gives each of its responses once, then the last one for ever. Records every request."""

    def __init__(self, *responses: Response | SendFailure) -> None:
        self.responses = list(responses)
        self.posted: list[tuple[str, Mapping[str, str], bytes]] = []

    def post(
        self, app_id: str, url: str, headers: Mapping[str, str], body: bytes, seconds: float
    ) -> Response | SendFailure:
        self.posted.append((url, headers, body))
        return self.responses.pop(0) if len(self.responses) > 1 else self.responses[0]


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def move(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def seconds(self) -> float:
        return self().timestamp()


class FakeBus:
    """An event bus that records what is published, and fails while it is `down`."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, dict[str, Any]]] = []
        self.down = False

    def publish(self, kind: str, event_id: str, detail: dict[str, Any]) -> None:
        if self.down:
            raise BusError("the bus does not respond")
        self.events.append((kind, event_id, detail))


class Apps:
    """A registry of apps in memory, with one installation."""

    def __init__(self, apps: Mapping[str, App]) -> None:
        self.apps = apps
        hook = installation()
        self.installed = {(hook.organization_id, hook.installation_id): hook}

    def app(self, app_id: str) -> App | None:
        return self.apps.get(app_id)

    def installation(self, organization_id: str, installation_id: str) -> Installation | None:
        return self.installed.get((organization_id, installation_id))


class Secrets:
    """The same keys for every app, or none."""

    def __init__(self, keys: Keys | None = Keys(SECRET)) -> None:  # noqa: B008 - it never changes
        self._keys = keys

    def keys(self, app: App) -> Keys | None:
        return self._keys


class NoPrefetch:
    """Reads nothing ahead."""

    def read(self, app_ids: Iterable[str], left_out: Collection[type[Model]] = ()) -> None:
        pass


class Scheduled:
    """Remembers the retries that were scheduled, and their delays."""

    def __init__(self) -> None:
        self.sent: list[tuple[Retry, int]] = []
        self.trials: list[tuple[Trial, int]] = []
        self.handed: list[Delivery] = []
        self.waiting: list[OutgoingMessage] = []

    def send(self, retry: Retry, seconds: int) -> None:
        self.sent.append((retry, seconds))

    def send_all(self, retries: Sequence[tuple[Retry, int]]) -> set[int]:
        self.sent += retries
        return set()

    def hand_over(self, deliveries: Sequence[Delivery]) -> set[int]:
        self.handed += deliveries
        return set()

    def send_trial(self, trial: Trial, seconds: int) -> None:
        self.trials.append((trial, seconds))

    def wait(self, messages: Sequence[OutgoingMessage]) -> set[int]:
        self.waiting += messages
        return set()


class Released:
    """Remembers the apps whose parked deliveries were released, with their generation."""

    def __init__(self) -> None:
        self.started: list[tuple[str, int]] = []

    def start(self, app_id: str, generation: int) -> None:
        self.started.append((app_id, generation))


def dependencies(
    apps: Any, scheduler: Scheduler, bus: Publisher, clock: Clock, telemetry: Recorder | None = None
) -> DeliverDependencies:
    """What a deliver function in memory works with; `apps` is anything with an `app`."""
    telemetry = telemetry or Recorder()
    return DeliverDependencies(
        registry=apps,
        secrets=Secrets(),
        prefetch=NoPrefetch(),
        scheduler=scheduler,
        bus=bus,
        transport=Endpoint(TIMEOUT),
        access_tokens=cache(lambda: AccessTokens(lambda: clock().timestamp())),
        slow_lane_arn=SLOW_LANE,
        deadline=10.0,
        policy=RetryPolicy(delays=(0, 0), lease=30, fresh=190),
        buffer=SuccessBuffer(lambda: clock().timestamp()),
        log=SuccessLog(uuid.uuid4().hex, timedelta(days=3)),
        circuits=KnownCircuits(60.0, lambda: clock().timestamp(), telemetry),
        slow=SlowApps(10.0, lambda: clock().timestamp(), telemetry),
        releases=Released(),
        parking=Parking(100_000, telemetry),
        index_keys=KeyChoice(1, lambda: clock().timestamp()),
        network=Network(SharedOutages(telemetry)),
        telemetry=telemetry,
        now=clock,
        uniform=lambda low, high: 0.0,
        token=map(str, itertools.count()).__next__,
        backoff=lambda calls: None,
    )


def recorded(deps: DeliverDependencies) -> Recorder:
    """What the function logged and counted."""
    assert isinstance(deps.telemetry, Recorder)
    return deps.telemetry


def released(deps: DeliverDependencies) -> list[tuple[str, int]]:
    """The apps whose parked deliveries were released."""
    assert isinstance(deps.releases, Released)
    return deps.releases.started


def run(
    deps: DeliverDependencies, endpoint: Poster, *messages: dict[str, Any], time_left: bool = True
) -> list[str]:
    """Work off a batch; the ids of the messages that come back."""
    invocation = Invocation(lambda: 900_000 if time_left else 0)
    return process(messages, replace(deps, transport=endpoint), invocation)


def retries(url: str) -> list[dict[str, Any]]:
    """The messages on the Retries queue, delayed or not; taken off it."""
    backend = sqs_backends[DEFAULT_ACCOUNT_ID]["eu-west-1"].queues[url.rpartition("/")[2]]
    found = [queue_message(message.body, message.id) for message in backend._messages]
    backend._messages.clear()
    return found


def record(delivery_id: str = delivery().delivery_id) -> DeliveryRecord:
    found = attempts.load(delivery_id)
    assert found
    return found


def counters() -> dict[str, int]:
    rows = list(OutcomeDay.scan())
    return {name: sum(int(getattr(row, name)) for row in rows) for name in NOTHING}


def log_rows(log: SuccessLog, rows: Sequence[Row], now: datetime) -> None:
    """Have deliveries of these rows logged as one batch."""
    made = [
        delivery(app_id=row["app"], **{name: row[name] for name in ("delivery_id", "event_id", "event")})
        for row in rows
    ]
    log.write([Success(each, row) for each, row in zip(made, rows, strict=True)], now)


def packed() -> list[Row]:
    """The log of successes: a row for each delivery that succeeded at once."""
    return [row for item in Delivered.scan() if item.packed and item.key[0].isdigit() for row in item.rows]
