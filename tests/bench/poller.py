"""A stand-in for Lambda's poller: hands queue messages to a function, and counts its SQS requests."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.bench import messages, prices
from tests.bench.bill import Bill
from tests.bench.child import Child
from tests.bench.cloud import Cloud

REQUEST = 10  # most messages in one ReceiveMessage or DeleteMessageBatch


@dataclass(frozen=True)
class Poller:
    """Takes batches of up to `batch` messages from `queue` until it has been empty for `patience` seconds."""

    cloud: Cloud
    queue: str
    function: str
    batch: int
    patience: float = 0.0

    def drain(self, child: Child, bill: Bill) -> None:
        """Feed the function."""
        for taken in self._batches(bill):
            seen = child.call("run", messages.event([self._as_lambda_event(message) for message in taken]))
            if seen["result"]["batchItemFailures"]:
                raise RuntimeError(f"{self.function} returned messages to the queue; see its log")
            bill.add(self.function, seen)
            self._delete(taken, bill)

    def _batches(self, bill: Bill) -> Iterator[list[dict[str, Any]]]:
        taken: list[dict[str, Any]] = []
        end = time.monotonic() + self.patience
        while (fresh := self._receive(self.batch - len(taken), bill)) or time.monotonic() < end:
            taken += fresh
            if len(taken) == self.batch:
                yield taken
                taken = []
            if fresh:
                end = time.monotonic() + self.patience
            else:
                time.sleep(0.2)
        if taken:
            yield taken

    def _receive(self, number: int, bill: Bill) -> list[dict[str, Any]]:
        response = self.cloud.client("sqs").receive_message(
            QueueUrl=self.cloud.names[self.queue],
            MaxNumberOfMessages=min(REQUEST, number),
            AttributeNames=["All"],
        )
        found: list[dict[str, Any]] = response.get("Messages", [])
        if found:  # empty polls depend on the load, not on the deliveries, and are left out
            payload = sum(len(message["Body"]) for message in found)
            bill.units[f"{self.queue}.sqs_requests"] += prices.sqs_requests(payload)
        return found

    def _delete(self, taken: list[dict[str, Any]], bill: Bill) -> None:
        entries = [{"Id": str(n), "ReceiptHandle": m["ReceiptHandle"]} for n, m in enumerate(taken)]
        for start in range(0, len(entries), REQUEST):
            self.cloud.client("sqs").delete_message_batch(
                QueueUrl=self.cloud.names[self.queue], Entries=entries[start : start + REQUEST]
            )
            bill.units[f"{self.queue}.sqs_requests"] += 1

    def _as_lambda_event(self, message: dict[str, Any]) -> dict[str, Any]:
        receives = int(message["Attributes"]["ApproximateReceiveCount"])
        made = messages.queue_message(message["Body"], receives, self.queue)
        return made | {"messageId": message["MessageId"]}
