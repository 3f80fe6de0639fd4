"""Sending many messages to a queue, within the limits of SendMessageBatch."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
MAX_ENTRIES = 10
MAX_BATCH_BYTES = 1_048_576

MAX_DELAY = 900  # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html

SENDS = 4  # one, and three more for what SQS rejected by a fault of its own


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to send; `group` is the tenant that SQS's fair queues keep from starving others.

    It arrives no sooner than `delay` seconds after, 0 to MAX_DELAY.
    """

    body: str
    group: str
    delay: int = 0


def delay(seconds: float) -> int:
    """Whole seconds, rounded up, as far as a queue can delay a message."""
    return min(MAX_DELAY, math.ceil(seconds))


def batches(
    messages: Iterable[tuple[int, Outgoing]], max_bytes: int = MAX_BATCH_BYTES
) -> Iterator[list[tuple[int, Outgoing]]]:
    """Numbered messages in runs that one SendMessageBatch may carry."""
    run: list[tuple[int, Outgoing]] = []
    size = 0
    for number, message in messages:
        length = len(message.body.encode())
        if run and (len(run) == MAX_ENTRIES or size + length > max_bytes):
            yield run
            run, size = [], 0
        run.append((number, message))
        size += length
    if run:
        yield run


def send_all(sqs: "SQSClient", url: str, messages: Sequence[Outgoing], pause: Callable[[int], None]) -> set[int]:
    """Send every message; return the positions of those SQS did not take after `SENDS` tries.

    Policy: what SQS rejects is sent again after `pause(try)`; what it still rejects is the caller's to give
    back to its own queue, so nothing is lost and at most something is sent twice.
    """
    waiting = set(range(len(messages)))
    for attempt in range(SENDS):
        if attempt:
            pause(attempt)
        for batch in batches((number, messages[number]) for number in sorted(waiting)):
            answer = sqs.send_message_batch(QueueUrl=url, Entries=[_entry(*item) for item in batch])
            waiting -= {int(sent["Id"]) for sent in answer.get("Successful", [])}
        if not waiting:
            break
    return waiting


def _entry(number: int, message: Outgoing) -> "SendMessageBatchRequestEntryTypeDef":
    return {
        "Id": str(number),
        "MessageBody": message.body,
        "MessageGroupId": message.group,
        "DelaySeconds": message.delay,
    }
