"""What deliver works with, and the attempt it is to make."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bellhop.attempts import DeliveryRecord
from bellhop.deliveries import Delivery, Retry
from bellhop.registry import App
from bellhop.telemetry import Telemetry
from deliver.attempt.signing import Keys
from deliver.circuit.parking import Parking
from deliver.circuit.window import FailureWindow
from deliver.success_buffer import SuccessBuffer


class InternalError(Exception):
    """A fault of ours: the message goes back to its queue with its budget untouched."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long to go on. `delays`: seconds before each retry; `lease`: seconds a claim or probe may take."""

    delays: tuple[int, ...]
    lease: float

    @property
    def span(self) -> float:
        """How long a delivery may wait for a pause to end, in seconds: as long as its retries would take."""
        return float(sum(self.delays))


@dataclass(frozen=True)
class DeliverDependencies:
    """Time, randomness and every call outside come in here."""

    app: Callable[[str], App | None]
    keys: Callable[[str], Keys | None]
    remind: Callable[[Retry, int], None]
    publish: Callable[[str, str, dict[str, Any]], None]
    policy: RetryPolicy
    buffer: SuccessBuffer
    watch: FailureWindow
    parking: Parking
    telemetry: Telemetry
    now: Callable[[], datetime]
    uniform: Callable[[float, float], float]
    token: Callable[[], str]

    def time(self) -> float:
        """Now, in Unix seconds."""
        return self.now().timestamp()


@dataclass(frozen=True, slots=True)
class Probe:
    """The lease under which one delivery of a paused app is tried, and since when it is paused."""

    lease: str
    paused_since: float


@dataclass(frozen=True, slots=True)
class Job:
    """An attempt to make.

    `record` is the claimed one of a retry, None on a first attempt. `probe` is set when this attempt probes a
    paused app, `deferred_since` (Unix seconds) when it was put off before.
    """

    delivery: Delivery
    number: int
    app: App
    keys: Keys
    record: DeliveryRecord | None = None
    probe: Probe | None = None
    deferred_since: float | None = None

    def names(self) -> dict[str, object]:
        """What every log line about this attempt carries."""
        return names(self.delivery) | {"attempt": self.number}


def names(delivery: Delivery) -> dict[str, object]:
    """What every log line about a delivery carries."""
    return {
        "event_id": delivery.event_id,
        "organization_id": delivery.organization_id,
        "delivery_id": delivery.delivery_id,
        "app_id": delivery.app_id,
    }
