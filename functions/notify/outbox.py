"""Deliveries on their way to the queue, sent as soon as a batch is full: memory holds no more than one."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from bellhop.deliveries import Delivery, encode
from bellhop.queues import MAX_BATCH_BYTES, MAX_ENTRIES, SENDS, OutgoingMessage, Queue
from bellhop.telemetry import Telemetry
from notify.fanout import FanOut


@dataclass(frozen=True, slots=True)
class _Entry:
    fan_out: FanOut
    delivery: Delivery
    message: OutgoingMessage


@dataclass
class Outbox:
    """Sends deliveries of one fan-out or several, and tells each which of its own the queue accepted.

    Policy: what SQS refuses is sent again after `backoff`, SENDS times in all; then it is left to a continuation.
    So is what SQS did not confirm because it did not respond. `closed` is then true, and nothing more should be
    added: each further call would wait as long.
    """

    queue: Queue
    backoff: Callable[[int], None]
    now: Callable[[], float]
    telemetry: Telemetry
    closed: bool = False
    _waiting: list[_Entry] = field(default_factory=list)
    _bytes: int = 0

    def add(self, fan_out: FanOut, delivery: Delivery) -> None:
        """Send the delivery, soon: at the latest with the next `flush`."""
        text = encode(replace(delivery, enqueued_at=self.now()), fan_out.payload.shared)
        message = OutgoingMessage(text, group=delivery.app_id)
        if len(self._waiting) == MAX_ENTRIES or self._bytes + message.size > MAX_BATCH_BYTES:
            self.flush()
        self._bytes += message.size
        self._waiting.append(_Entry(fan_out, replace(delivery, body=b""), message))

    def flush(self) -> None:
        """Send what waits, and tell the fan-outs."""
        unsent, self._waiting, self._bytes = dict(enumerate(self._waiting)), [], 0
        for calls in range(SENDS):
            if not unsent or self.closed:
                break
            if calls:
                self.backoff(calls)
            for number in self._offer(unsent):
                entry = unsent.pop(number)
                entry.fan_out.accept(entry.delivery)
        for entry in unsent.values():
            self.telemetry.warning(
                "delivery rejected by its queue: it will be sent by a continuation of its event",
                event_id=entry.delivery.event_id,
                organization_id=entry.delivery.organization_id,
                delivery_id=entry.delivery.delivery_id,
            )

    def _offer(self, entries: dict[int, _Entry]) -> set[int]:
        try:
            return self.queue.offer([(number, entry.message) for number, entry in entries.items()])
        except Exception:  # noqa: BLE001 - SQS did not respond: see the policy above
            self.closed = True
            self.telemetry.error(
                "deliveries not enqueued: their events go on later, from what was confirmed",
                deliveries=len(entries),
            )
            return set()
