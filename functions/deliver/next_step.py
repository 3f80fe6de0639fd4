"""What is to be sent once the end of an attempt, or of a trial, is written."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bellhop.attempts import DeliveryRecord
from bellhop.deliveries import Retry, Trial
from bellhop.queues import MAX_DELAY
from deliver.attempt import chain
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


@dataclass(frozen=True, slots=True)
class Ended:
    """A message whose delivery, or trial, is written, and what is to be sent next.

    `names`: what a log line about it carries.
    """

    message_id: str
    names: dict[str, object]
    next_step: NextStep


def send_all(ended: Sequence[Ended], deps: DeliverDependencies) -> list[str]:
    """Send what follows; the ids of the messages that must come back, to send it then.

    Retries that the queue itself can delay go together, ten in a call.
    """
    soon, others = list[Ended](), list[Ended]()
    for each in ended:
        retry = each.next_step.retry
        (soon if retry and retry[1] <= MAX_DELAY else others).append(each)
    unsent = [soon[position].message_id for position in sorted(_send_soon(soon, deps))]
    for each in others:
        try:
            each.next_step.send(deps)
        except Exception:  # noqa: BLE001 - the record boundary
            _log_unsent(each, deps)
            unsent.append(each.message_id)
    return unsent


def announce_all(ended: Iterable[Ended], deps: DeliverDependencies) -> list[str]:
    """Announce what is exhausted; the ids of the messages that must come back, to announce it then."""
    unannounced = []
    for each in ended:
        if not each.next_step.exhausted:
            continue
        try:
            chain.announce_exhausted(each.next_step.exhausted, deps)
        except Exception:  # noqa: BLE001 - the record boundary
            deps.telemetry.error(
                "exhausted delivery not announced: the queue will deliver its message again, to announce it then",
                message_id=each.message_id,
                **each.names,
            )
            unannounced.append(each.message_id)
    return unannounced


def _send_soon(soon: Sequence[Ended], deps: DeliverDependencies) -> set[int]:
    """Send the retries together; the positions of those that were not sent."""
    if not soon:
        return set()
    try:
        unsent = deps.scheduler.send_all([each.next_step.retry for each in soon if each.next_step.retry])
    except Exception:  # noqa: BLE001 - the record boundary; what was sent after all is dropped if it comes twice
        deps.telemetry.error("retries not sent: each is named in a line of its own", number=len(soon))
        unsent = set(range(len(soon)))
    for position in sorted(unsent):
        _log_unsent(soon[position], deps)
    return unsent


def _log_unsent(ended: Ended, deps: DeliverDependencies) -> None:
    deps.telemetry.error(
        "retry, trial or release not sent: the queue will deliver the message again, to send it then",
        message_id=ended.message_id,
        **ended.names,
    )
