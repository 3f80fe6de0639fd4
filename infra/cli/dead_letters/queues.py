"""Reading dead-letter queues, so that nothing is lost or hidden by it, and taking messages off them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from bellhop.backoff import Backoff
from bellhop.queues import MAX_ENTRIES, OutgoingMessage, Queue
from infra.cli import stack
from infra.cli.dead_letters import content
from infra.cli.dead_letters.content import DELIVERIES, ISSUE_EVENTS, RETRIES, SCHEDULES, TRANSITIONS, Content
from infra.cli.doctor.looking import QUEUE, Deployed
from infra.cli.errors import CommandError
from infra.cli.stack import Stack

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

MOST = 10_000  # messages of a queue that a command looks at
KEPT = timedelta(days=14)  # MessageRetentionPeriod in template.yaml
HIDDEN_SECONDS = 120  # what a command received is hidden from others, unless it ends before
WAIT_SECONDS = 1  # longer than 0, so that SQS asks all of its servers: an empty response then means that

ORIGINS = {
    ISSUE_EVENTS: stack.EVENTS_QUEUE,
    DELIVERIES: stack.DELIVERIES_QUEUE,
    RETRIES: stack.RETRIES_QUEUE,
    SCHEDULES: stack.RETRIES_QUEUE,
    TRANSITIONS: stack.TRANSITIONS_QUEUE,
}

_BACKOFF_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message of the dead-letter queue of `queue`. `sent_at`: when it was first sent, to whichever queue."""

    queue: str
    message_id: str
    body: str
    attributes: dict[str, str]
    group: str | None
    sent_at: datetime
    receipt: str = field(repr=False)

    @property
    def content(self) -> Content:
        """What it is."""
        return content.describe(self.queue, self.body, self.attributes)

    @property
    def kept_until(self) -> datetime:
        """When SQS deletes it."""
        return self.sent_at + KEPT


@dataclass(frozen=True)
class DeadLetterQueue:
    """The dead-letter queue of the work queue `name`, and the `origin` to which its messages go back."""

    name: str
    sqs: "SQSClient"
    url: str
    origin: Queue

    def reading(self, most: int = MOST) -> "Reading":
        """One pass over it."""
        return Reading(self, most)

    def hidden(self) -> int:
        """About how many messages another command has received, and shows again within HIDDEN_SECONDS."""
        name: Literal["ApproximateNumberOfMessagesNotVisible"] = "ApproximateNumberOfMessagesNotVisible"
        found = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=[name])
        return int(found["Attributes"][name])

    def send_back(self, messages: Sequence[DeadLetter]) -> list[DeadLetter]:
        """Send messages to the queue that they came from; returns those that it took."""
        copies = [
            OutgoingMessage(
                each.body,
                each.group,
                0,
                content.outgoing_attributes(self.name, each.attributes, each.sent_at.timestamp()),
            )
            for each in messages
        ]
        refused = self.origin.send_all(copies, Backoff(_BACKOFF_SECONDS))
        return [each for number, each in enumerate(messages) if number not in refused]


@dataclass
class Reading:
    """One pass over a dead-letter queue, of `most` messages. What is not deleted in it is given back at its end.

    Nothing is lost if the command dies: what it had received shows again after HIDDEN_SECONDS. Receiving a message
    does not change how long it is kept, and from a dead-letter queue SQS moves nothing on, however often it is
    received.
    """

    queue: DeadLetterQueue
    most: int
    complete: bool = False  # whether the queue had no more
    _received: dict[str, str] = field(default_factory=dict)  # receipts by message

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        receipts = [*self._received.values()]
        for start in range(0, len(receipts), MAX_ENTRIES):
            run = enumerate(receipts[start : start + MAX_ENTRIES])
            entries = [{"Id": str(n), "ReceiptHandle": receipt, "VisibilityTimeout": 0} for n, receipt in run]
            self.queue.sqs.change_message_visibility_batch(QueueUrl=self.queue.url, Entries=entries)  # type: ignore[arg-type]

    def pages(self) -> Iterator[list[DeadLetter]]:
        """The messages, up to ten at a time, each once."""
        seen = set[str]()
        while len(seen) < self.most:
            page = [each for each in self._receive(self.most - len(seen)) if each.message_id not in seen]
            if not page:
                self.complete = True
                return
            seen |= {each.message_id for each in page}
            yield page

    def delete(self, messages: Sequence[DeadLetter]) -> list[DeadLetter]:
        """Delete messages; returns those that SQS did not delete."""
        entries = [{"Id": str(n), "ReceiptHandle": each.receipt} for n, each in enumerate(messages)]
        if not entries:
            return []
        response = self.queue.sqs.delete_message_batch(QueueUrl=self.queue.url, Entries=entries)  # type: ignore[arg-type]
        failed = {int(each["Id"]) for each in response.get("Failed", [])}
        for number, each in enumerate(messages):
            if number not in failed:
                self._received.pop(each.message_id, None)
        return [messages[number] for number in sorted(failed)]

    def _receive(self, most: int) -> list[DeadLetter]:
        response = self.queue.sqs.receive_message(
            QueueUrl=self.queue.url,
            MaxNumberOfMessages=min(MAX_ENTRIES, most),
            VisibilityTimeout=HIDDEN_SECONDS,
            WaitTimeSeconds=WAIT_SECONDS,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["All"],
        )
        received = [_dead_letter(self.queue.name, message) for message in response.get("Messages", [])]
        self._received |= {each.message_id: each.receipt for each in received}
        return received


def find_queues(found: Stack, wanted: str | None) -> list[DeadLetterQueue]:
    """The stack's dead-letter queues; with `wanted` only that of this work queue.

    Raises:
        CommandError: the stack does not have it.
    """
    sqs = stack.client("sqs")
    urls = Deployed(found, "", stack.client).physical_ids(QUEUE)
    queues = []
    for name in (wanted,) if wanted else ORIGINS:
        if f"{name}DeadLetters" not in urls:
            raise CommandError(f"stack {found.name!r} has no queue {name}DeadLetters: run `make deploy`")
        queues.append(dead_letter_queue(found, sqs, name, urls[f"{name}DeadLetters"]))
    return queues


def dead_letter_queue(found: Stack, sqs: "SQSClient", name: str, url: str) -> DeadLetterQueue:
    """The dead-letter queue with that URL, of the work queue `name`."""
    return DeadLetterQueue(name, sqs, url, found.queue(ORIGINS[name]))


def _dead_letter(queue: str, message: Any) -> DeadLetter:
    system = message.get("Attributes", {})
    return DeadLetter(
        queue,
        message["MessageId"],
        message["Body"],
        content.attributes(message),
        system.get("MessageGroupId"),
        datetime.fromtimestamp(int(system["SentTimestamp"]) / 1000, UTC),
        message["ReceiptHandle"],
    )
