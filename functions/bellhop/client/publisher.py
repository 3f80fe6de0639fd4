"""Sending issue events to the IssueEvents queue: many in a call, each with its own result."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, as_completed, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from bellhop.backoff import Backoff
from bellhop.client.contract import Fault, check, encode
from bellhop.event_text import MAX_EVENT_BYTES, decode
from bellhop.queues import SENDS, OutgoingMessage, Queue, batches

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

AT_ONCE = 8  # calls; each takes some 20 ms, so that 500 events take a fraction of a second
BACKOFF = Backoff(0.2)

Event = Mapping[str, Any] | str  # an object, or its JSON


class MalformedEventsError(ValueError):
    """Some events break the contract, and none was sent. `faults` has those of each, by its position."""

    def __init__(self, faults: Mapping[int, Sequence[Fault]]) -> None:
        super().__init__("; ".join(f"event [{n}]: {fault}" for n, found in faults.items() for fault in found))
        self.faults = faults


class PublishError(Exception):
    """SQS did not take an event. It may be sent again: under the same event_id its webhooks are the same."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one event, by its position among those that were given.

    `message_id` is the queue message's, None if SQS did not take it. Then `reason` says why, and `cause` is the
    exception, if there was one. Where SQS did not respond, the event may be on the queue all the same.
    """

    position: int
    event_id: str
    message_id: str | None = None
    reason: str = ""
    cause: Exception | None = None

    @property
    def sent(self) -> bool:
        """Whether SQS has the event."""
        return self.message_id is not None


class Publisher:
    """Publishes to the queue at `queue_url`, the stack's output IssueEventsQueueUrl. Threads may share one."""

    def __init__(self, queue_url: str, sqs: "SQSClient | None" = None, backoff: Backoff = BACKOFF) -> None:
        self._queue = Queue(sqs or boto3.client("sqs", config=Config(max_pool_connections=AT_ONCE)), queue_url)
        self._backoff = backoff

    def publish(self, event: Event) -> str:
        """Send one event; returns the id of its queue message.

        Raises:
            MalformedEventsError: it breaks the contract.
            PublishError: SQS did not take it.
        """
        [outcome] = self.publish_all([event])
        if outcome.message_id is None:
            raise PublishError(f"event {outcome.event_id}: {outcome.reason}") from outcome.cause
        return outcome.message_id

    def publish_all(self, events: Iterable[Event]) -> list[Outcome]:
        """Send events, in no certain order; returns what became of each, in the order in which they were given.

        Raises:
            MalformedEventsError: some break the contract, and none was sent.
        """
        return sorted(self.outcomes(events), key=lambda outcome: outcome.position)

    def outcomes(self, events: Iterable[Event]) -> Iterator[Outcome]:
        """Send events, and say what became of each as soon as that is known.

        When it is closed or interrupted, what is not begun is not sent.

        Raises:
            MalformedEventsError: some break the contract, and none was sent.
        """
        given = list(events)
        faults = {number: found for number, event in enumerate(given) if (found := check(event))}
        if faults:
            raise MalformedEventsError(faults)
        messages = [_message(event) for event in given]
        numbered = enumerate(message for message, _ in messages)
        ids = [event_id for _, event_id in messages]
        sending: set[Future[list[Outcome]]] = set()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for batch in batches(numbered, MAX_EVENT_BYTES):
                sending.add(pool.submit(self._send, batch, ids))
                if len(sending) == AT_ONCE:
                    ended, sending = wait(sending, return_when=FIRST_COMPLETED)
                    yield from (outcome for each in ended for outcome in each.result())
            yield from (outcome for each in as_completed(sending) for outcome in each.result())

    def _send(self, batch: Sequence[tuple[int, OutgoingMessage]], ids: Sequence[str]) -> list[Outcome]:
        """Send one batch; what SQS rejects by a fault of its own is sent again, up to SENDS times."""
        outcomes: dict[int, Outcome] = {}
        left = dict(batch)
        for calls in range(SENDS):
            if calls:
                self._backoff(calls)
            try:
                response = self._queue.send_batch([*left.items()])
            except (ClientError, BotoCoreError) as error:
                outcomes |= {n: Outcome(n, ids[n], reason=str(error), cause=error) for n in left}
                break
            for sent in response.get("Successful", []):
                number = int(sent["Id"])
                outcomes[number] = Outcome(number, ids[number], sent["MessageId"])
            for failed in response.get("Failed", []):
                number, reason = int(failed["Id"]), f"{failed['Code']}: {failed.get('Message', '')}".rstrip(": ")
                outcomes[number] = Outcome(number, ids[number], reason=reason)
            again = {int(failed["Id"]) for failed in response.get("Failed", []) if not failed["SenderFault"]}
            left = {number: message for number, message in left.items() if number in again}
            if not left:
                break
        return list(outcomes.values())


def _message(event: Event) -> tuple[OutgoingMessage, str]:
    """The queue message of a valid event, in the message group of its organisation, and the event's id."""
    text = encode(event)
    fields = decode(text) if isinstance(event, str) else event
    return OutgoingMessage(text, fields["organization_id"]), fields["event_id"]
