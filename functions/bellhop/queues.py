"""Sending messages to a queue: one, or many within the limits of SendMessageBatch."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef, SendMessageBatchResultTypeDef

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
MAX_ENTRIES = 10
MAX_BATCH_BYTES = 1_048_576

MAX_DELAY = 900  # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html

SENDS = 4  # one, and three more for what SQS rejected by a fault of its own


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """A message to send. It arrives no sooner than `delay` seconds later, 0 to MAX_DELAY.

    `group` is the tenant: SQS's fair queues keep one tenant from starving the others. None is no tenant's.
    `attributes` are text beside the body.
    """

    body: str
    group: str | None = None
    delay: int = 0
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Its bytes as SQS counts them: the body, and name, type and value of each attribute."""
        texts = (text for name, value in self.attributes.items() for text in (name, "String", value))
        return len(self.body.encode()) + sum(len(text.encode()) for text in texts)


def delay(seconds: float) -> int:
    """Whole seconds, rounded up, as far as a queue can delay a message."""
    return min(MAX_DELAY, math.ceil(seconds))


def batches(
    messages: Iterable[tuple[int, OutgoingMessage]], max_bytes: int = MAX_BATCH_BYTES
) -> Iterator[list[tuple[int, OutgoingMessage]]]:
    """Numbered messages in runs that one SendMessageBatch may carry."""
    run: list[tuple[int, OutgoingMessage]] = []
    size = 0
    for number, message in messages:
        length = message.size
        if run and (len(run) == MAX_ENTRIES or size + length > max_bytes):
            yield run
            run, size = [], 0
        run.append((number, message))
        size += length
    if run:
        yield run


@dataclass(frozen=True)
class Queue:
    """A queue to send to."""

    sqs: "SQSClient"
    url: str

    def send(self, message: OutgoingMessage) -> None:
        """Send one message."""
        self.sqs.send_message(QueueUrl=self.url, **_fields(message))

    def send_all(self, messages: Sequence[OutgoingMessage], backoff: Callable[[int], None]) -> set[int]:
        """Send every message; return the positions of those that SQS did not take after `SENDS` calls.

        Policy: what SQS rejects is sent again after `backoff(calls)`. What it still rejects, the caller gives
        back to its own queue. So nothing is lost, and at most something is sent twice.
        """
        unsent = set(range(len(messages)))
        for calls in range(SENDS):
            if calls:
                backoff(calls)
            for batch in batches((number, messages[number]) for number in sorted(unsent)):
                unsent -= self.offer(batch)
            if not unsent:
                break
        return unsent

    def offer(self, batch: Sequence[tuple[int, OutgoingMessage]]) -> set[int]:
        """Send what one SendMessageBatch may carry, once; return the numbers of the messages that SQS took."""
        return {int(sent["Id"]) for sent in self.send_batch(batch).get("Successful", [])}

    def send_batch(self, batch: Sequence[tuple[int, OutgoingMessage]]) -> "SendMessageBatchResultTypeDef":
        """Send what one SendMessageBatch may carry, once; the response has the messages' numbers as their ids."""
        entries = [_entry(number, message) for number, message in batch]
        return self.sqs.send_message_batch(QueueUrl=self.url, Entries=entries)

    def waiting(self) -> int:
        """About how many messages are due and not received yet."""
        name: Literal["ApproximateNumberOfMessages"] = "ApproximateNumberOfMessages"
        found = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=[name])
        return int(found["Attributes"][name])


def _entry(number: int, message: OutgoingMessage) -> "SendMessageBatchRequestEntryTypeDef":
    return {"Id": str(number), **_fields(message)}  # type: ignore[typeddict-item]


def _fields(message: OutgoingMessage) -> dict[str, Any]:
    group = {"MessageGroupId": message.group} if message.group else {}
    texts = {name: {"DataType": "String", "StringValue": text} for name, text in message.attributes.items()}
    attributes = {"MessageAttributes": texts} if texts else {}
    return {"MessageBody": message.body, "DelaySeconds": message.delay, **group, **attributes}
