"""A queue service in memory: what was received ten times and given back is dead, a copy is a new message."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from bellhop.queues import Queue

RECEIVES = 10  # then SQS moves a message to the dead-letter queue
VISIBILITY = 190.0


@dataclass
class _Message:
    body: str
    due: float
    attributes: dict[str, Any]
    group: str | None
    sent_at: float
    received: int = 0

    def as_received(self, message_id: str) -> dict[str, Any]:
        sent = str(int(self.sent_at * 1000))
        system = {"ApproximateReceiveCount": str(self.received), "SentTimestamp": sent}
        return {
            "messageId": message_id,
            "eventSource": "aws:sqs",
            "body": self.body,
            "attributes": system | ({"MessageGroupId": self.group} if self.group else {}),
            "messageAttributes": {n: {"stringValue": v["StringValue"]} for n, v in self.attributes.items()},
        }


@dataclass
class QueueService:
    """One queue and the time; `dead` has what was dead-lettered."""

    now: float = 0.0
    waiting: list[_Message] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)

    @property
    def queue(self) -> Queue:
        return Queue(cast("Any", self), "queue")

    def send_message(self, **entry: Any) -> None:
        due, attributes = self.now + entry.get("DelaySeconds", 0), entry.get("MessageAttributes", {})
        group = entry.get("MessageGroupId")
        self.waiting.append(_Message(entry["MessageBody"], due, attributes, group, sent_at=self.now))

    def send_message_batch(self, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        for entry in Entries:
            self.send_message(**entry)
        return {"Successful": [{"Id": entry["Id"]} for entry in Entries]}

    def run(self, process: Callable[[list[dict[str, Any]]], list[str]], until: float) -> None:
        """Let a function have what is due, in batches of ten, until that time or until nothing waits."""
        while self.waiting and (first := min(message.due for message in self.waiting)) <= until:
            self.now = max(self.now, first)
            due = [message for message in self.waiting if message.due <= self.now][:10]
            self.waiting = [message for message in self.waiting if message not in due]
            for message in due:
                message.received += 1
            returned = process([message.as_received(str(n)) for n, message in enumerate(due)])
            for number in returned:
                self._give_back(due[int(number)])

    def _give_back(self, message: _Message) -> None:
        if message.received == RECEIVES:
            self.dead.append(message.body)
        else:
            message.due = self.now + VISIBILITY
            self.waiting.append(message)
