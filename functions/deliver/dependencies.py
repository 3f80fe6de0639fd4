"""What deliver's code is handed, and the attempt that it makes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from bellhop.attempts import DeliveryRecord
from bellhop.budget import Budget
from bellhop.deliveries import Delivery, Retry
from bellhop.registry import App, Installation
from bellhop.telemetry import Telemetry
from deliver.attempt.signing import Keys
from deliver.circuit.parking import Parking
from deliver.circuit.window import FailureWindow
from deliver.http.response import Response, SendFailure
from deliver.success_buffer import SuccessBuffer


class InternalError(Exception):
    """A fault of ours: the message goes back to its queue, and the delivery's retry budget is not touched."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long to go on, in seconds. `delays`: before each retry; `lease`: what a claim or a trial may take.

    `fresh`: a first attempt's message that was enqueued longer ago may have been delivered before.
    """

    delays: tuple[int, ...]
    lease: float
    fresh: float = 0.0

    @property
    def span(self) -> float:
        """How long a delivery may be deferred, in seconds: as long as its retries would take."""
        return float(sum(self.delays))


class Apps(Protocol):
    """The registry, as far as deliver reads it."""

    def app(self, app_id: str) -> App | None:
        """The app, or None when it is not registered."""

    def installation(self, organization_id: str, installation_id: str) -> Installation | None:
        """The installation, or None when it is gone."""


class Secrets(Protocol):
    """The apps' signing secrets."""

    def keys(self, app_id: str) -> Keys | None:
        """The app's secrets, or None when it has none."""


class Scheduler(Protocol):
    """Where retries are scheduled."""

    def send(self, retry: Retry, seconds: int) -> None:
        """Have `retry` arrive on the Retries queue no sooner than in `seconds`."""


class Publisher(Protocol):
    """The event bus."""

    def publish(self, kind: str, event_id: str, detail: dict[str, Any]) -> None:
        """Publish an event, at least once."""


class Poster(Protocol):
    """Where webhooks are posted from."""

    def post(
        self, app_id: str, url: str, headers: Mapping[str, str], body: bytes, seconds: float
    ) -> Response | SendFailure:
        """POST `body`; this returns within about `seconds`, whatever the endpoint does."""


@dataclass(frozen=True)
class DeliverDependencies:
    """Everything outside, with time and randomness, is handed in here. `deadline`: seconds one POST may take."""

    registry: Apps
    secrets: Secrets
    scheduler: Scheduler
    bus: Publisher
    transport: Poster
    deadline: float
    policy: RetryPolicy
    buffer: SuccessBuffer
    window: FailureWindow
    parking: Parking
    telemetry: Telemetry
    now: Callable[[], datetime]
    uniform: Callable[[float, float], float]
    token: Callable[[], str]
    backoff: Callable[[int], None]

    def time(self) -> float:
        """Now, in Unix seconds."""
        return self.now().timestamp()


@dataclass(frozen=True, slots=True)
class Invocation:
    """One call of the function by Lambda, which ends it when its time is up."""

    remaining_milliseconds: Callable[[], int]
    budget: Budget = field(default_factory=Budget)

    def time_left(self) -> float:
        """Seconds until Lambda ends the invocation."""
        return self.remaining_milliseconds() / 1000


@dataclass(frozen=True, slots=True)
class Trial:
    """The lease under which one delivery of a paused app is tried, and since when the app is paused."""

    lease: str
    paused_since: float


@dataclass(frozen=True, slots=True)
class PendingAttempt:
    """An attempt that is about to be made.

    `record` is the claimed one of a retry, None on a first attempt. `trial` is set when this attempt is the trial
    of a paused app, `deferred_since` (Unix seconds) when the delivery was deferred before.
    """

    delivery: Delivery
    number: int
    app: App
    keys: Keys
    record: DeliveryRecord | None = None
    trial: Trial | None = None
    deferred_since: float | None = None

    def names(self) -> dict[str, object]:
        """What every log line about this attempt carries."""
        return names(self.delivery) | {"attempt": self.number}


@dataclass(frozen=True, slots=True)
class PostResult:
    """A POST that was made: its outcome, when it began, and how long it took."""

    outcome: Response | SendFailure
    at: datetime
    milliseconds: int
    request_id: str


def names(delivery: Delivery) -> dict[str, object]:
    """What every log line about a delivery carries."""
    return {
        "event_id": delivery.event_id,
        "organization_id": delivery.organization_id,
        "delivery_id": delivery.delivery_id,
        "app_id": delivery.app_id,
    }
