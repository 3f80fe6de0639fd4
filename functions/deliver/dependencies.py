"""What deliver's code is handed, and the attempt that it makes."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from pynamodb.models import Model

from bellhop.attempts import DeliveryRecord
from bellhop.aws import TRY_SECONDS
from bellhop.budget import END_SECONDS, Budget
from bellhop.deliveries import Delivery, Retry, Trial
from bellhop.index_keys import KeyChoice
from bellhop.queues import OutgoingMessage
from bellhop.registry import App, Installation
from bellhop.successes import SuccessLog
from bellhop.telemetry import Telemetry
from deliver.attempt.network import Attempted, Network
from deliver.attempt.signing import Keys
from deliver.circuit.known import KnownCircuits
from deliver.circuit.parking import Parking
from deliver.circuit.slow import SlowApps
from deliver.http.response import Response, SendFailure
from deliver.success_buffer import SuccessBuffer

if TYPE_CHECKING:
    from deliver.attempt.access_tokens import AccessTokens

# What is kept of the invocation after the last POST, for each step in turn: the records and next retries, which
# decide; the counters; the log of successes. In each, one operation may be silent for a whole try.
COUNT_SECONDS = LOG_SECONDS = TRY_SECONDS
MARGIN_SECONDS = TRY_SECONDS + COUNT_SECONDS + LOG_SECONDS + END_SECONDS


class InternalError(Exception):
    """A fault of ours: the message goes back to its queue, and the delivery's retry budget is not touched."""


class NotYetError(Exception):
    """Nobody's fault: the message goes back to its queue until another worker has ended or this one knows more."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long to go on, in seconds. `delays`: before each retry; `lease`: what a claim may take.

    `fresh`: a first attempt's message that was enqueued longer ago may have been delivered before.
    """

    delays: tuple[int, ...]
    lease: float
    fresh: float = 0.0

    @property
    def span(self) -> float:
        """How long a delivery may wait for a pause or its place, in seconds: as long as its retries would take."""
        return float(sum(self.delays))


class Apps(Protocol):
    """The registry, as far as deliver reads it."""

    def app(self, app_id: str) -> App | None:
        """The app, or None when it is not registered."""

    def installation(self, organization_id: str, installation_id: str) -> Installation | None:
        """The installation, or None when it is gone."""


class Secrets(Protocol):
    """What the apps keep secret."""

    def keys(self, app: App) -> Keys | None:
        """The app's, or None when it has no signing secret."""


class Prefetcher(Protocol):
    """What reads ahead of the registry, the secrets and the circuits."""

    def read(self, app_ids: Iterable[str], left_out: Collection[type[Model]] = ()) -> None:
        """Have at hand what is needed of these apps, but for the models that are `left_out`."""


class Scheduler(Protocol):
    """Where retries and trials are scheduled."""

    def send(self, retry: Retry, seconds: int) -> None:
        """Have `retry` arrive on the Retries queue no sooner than in `seconds`."""

    def send_all(self, retries: Sequence[tuple[Retry, int]]) -> set[int]:
        """Have retries arrive there, each no sooner than in so many seconds, at most MAX_DELAY of queues.py.

        Returns the positions of those that the queue did not take.
        """

    def hand_over(self, deliveries: Sequence[Delivery]) -> set[int]:
        """Have first attempts made in the slow lane; the positions of those that its queue did not take."""

    def send_trial(self, trial: Trial, seconds: int) -> None:
        """Have `trial` arrive there no sooner than in `seconds`."""

    def wait(self, messages: Sequence[OutgoingMessage]) -> set[int]:
        """Have a newer version's messages wait there; the positions of those that the queue did not take."""


class Releaser(Protocol):
    """Who releases what is parked."""

    def start(self, app_id: str, generation: int) -> None:
        """Have what is parked of an app sent, as a replay sends it. To start it twice sends nothing twice."""


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
    prefetch: Prefetcher
    scheduler: Scheduler
    bus: Publisher
    transport: Poster
    access_tokens: "Callable[[], AccessTokens]"
    slow_lane_arn: str
    deadline: float
    policy: RetryPolicy
    buffer: SuccessBuffer
    log: SuccessLog
    circuits: KnownCircuits
    slow: SlowApps
    releases: Releaser
    parking: Parking
    index_keys: KeyChoice
    telemetry: Telemetry
    now: Callable[[], datetime]
    uniform: Callable[[float, float], float]
    token: Callable[[], str]
    backoff: Callable[[int], None]
    network: Network

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
class QueueMessage:
    """A message of the Deliveries queue, or of the Retries queue, which is the `slow_lane`; parsed.

    `received`: as the queue delivered it.
    """

    message_id: str
    receive_count: int
    content: Delivery | Retry | Trial
    slow_lane: bool
    received: dict[str, Any] = field(repr=False)

    @property
    def ping(self) -> Delivery | None:
        """The ping that this message is, if it is one."""
        return self.content if isinstance(self.content, Delivery) and self.content.ping else None

    @property
    def delivery_id(self) -> str | None:
        """The delivery that it is about; a trial chooses its own."""
        return None if isinstance(self.content, Trial) else self.content.delivery_id

    def names(self) -> dict[str, object]:
        """What a log line about it carries."""
        return {"app_id": self.content.app_id, "delivery_id": self.delivery_id}


@dataclass(frozen=True, slots=True)
class TrialLease:
    """The lease under which one delivery of a paused app is tried: trial `number` of the pause since then."""

    token: str
    number: int
    paused_since: float


@dataclass(frozen=True, slots=True)
class PendingAttempt:
    """An attempt that is about to be made.

    `record` is the claimed one of a retry, None on a first attempt. `trial` is set when this attempt is the trial
    of a paused app.
    """

    delivery: Delivery
    number: int
    app: App
    keys: Keys
    record: DeliveryRecord | None = None
    trial: TrialLease | None = None

    def names(self) -> dict[str, object]:
        """What every log line about this attempt carries."""
        return names(self.delivery) | {"attempt": self.number}


@dataclass(frozen=True, slots=True)
class Webhook:
    """What is posted."""

    headers: dict[str, str] = field(repr=False)  # they may be secret
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Sent:
    """What an attempt ended with. `keys`: all that it was sent with, to be masked in what is kept.

    `requests`: all that were made for it: to its token endpoint, if a token was asked for, then to its endpoint.
    """

    outcome: Response | SendFailure
    keys: Keys
    requests: tuple[Attempted, ...]

    @property
    def last(self) -> Attempted:
        """The request that it ended with."""
        return self.requests[-1]


@dataclass(frozen=True, slots=True)
class PostResult:
    """An attempt that was made, when it began, and how long it took.

    `delayed`: seconds of that in which this process worked, for it or for the others of its batch; `processor`:
    seconds of CPU that it took itself.
    """

    sent: Sent
    at: datetime
    milliseconds: int
    request_id: str
    delayed: float = 0.0
    processor: float = 0.0

    @property
    def outcome(self) -> Response | SendFailure:
        """What came of it."""
        return self.sent.outcome

    @property
    def endpoint_seconds(self) -> float:
        """How long the endpoint took, at most."""
        return max(0.0, self.milliseconds / 1000 - self.delayed)


# The id of a message, the attempt that it was for, and what came of it: None where no time was left to make it; an
# exception is a fault of ours.
Finished = tuple[str, PendingAttempt, PostResult | Exception | None]


def names(delivery: Delivery | DeliveryRecord) -> dict[str, object]:
    """What every log line about a delivery carries."""
    return {
        "event_id": delivery.event_id,
        "organization_id": delivery.organization_id,
        "delivery_id": delivery.delivery_id,
        "app_id": delivery.app_id,
    }
