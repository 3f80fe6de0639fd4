"""What is to be sent once the end of an attempt, or of a trial, is written."""

from dataclasses import dataclass

from bellhop.attempts import DeliveryRecord
from bellhop.deliveries import Retry, Trial
from deliver.dependencies import DeliverDependencies


@dataclass(frozen=True, slots=True)
class NextStep:
    """A retry or a trial with its delay in seconds, the release of what is parked of an app in its generation, the
    event that a delivery is exhausted, or nothing.
    """

    retry: tuple[Retry, int] | None = None
    trial: tuple[Trial, int] | None = None
    released: tuple[str, int] | None = None
    exhausted: DeliveryRecord | None = None

    def send(self, deps: DeliverDependencies) -> None:
        """Send its messages. The event is announced last in a batch; see batch.py."""
        if self.retry:
            deps.scheduler.send(*self.retry)
        if self.trial:
            deps.scheduler.send_trial(*self.trial)
        if self.released:
            deps.releases.start(*self.released)
