"""A model of SQS fair queues, which no embedded AWS implements.

The rule is that of the SQS developer guide: a group is noisy while more than a tenth of the messages in flight,
and at least 30, are its own, or while it took more than a tenth of the consumers' recent time. Messages of other
groups are received first. No message is dropped.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues.html
"""

import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

NOISY_SHARE = 0.1
NOISY_MESSAGES = 30
RECENT_SECONDS = 60.0


@dataclass(slots=True)
class Message:
    """A message of one tenant."""

    group: str
    content: Any
    taken_at: float = 0.0


@dataclass
class FairQueue:
    """Safe to share between threads. Without `fair` it is a plain queue."""

    clock: Callable[[], float]
    fair: bool = True
    _waiting: deque[Message] = field(default_factory=deque)
    _in_flight: Counter[str] = field(default_factory=Counter)
    _recent: deque[tuple[float, str, float]] = field(default_factory=deque)
    _spent: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def put(self, message: Message) -> None:
        """Send a message."""
        with self._changed:
            self._waiting.append(message)
            self._changed.notify()

    def take(self, number: int, seconds: float) -> list[Message]:
        """Receive up to `number` messages. Waits up to `seconds` for the first."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting, seconds)
            chosen = self._choose(number)
            for message in chosen:
                message.taken_at = self.clock()
                self._in_flight[message.group] += 1
            return chosen

    def done(self, messages: Sequence[Message]) -> None:
        """Delete messages that were handled."""
        with self._changed:
            for message in messages:
                spent = self.clock() - message.taken_at
                self._in_flight[message.group] -= 1
                self._recent.append((self.clock(), message.group, spent))
                self._spent[message.group] += spent

    def size(self) -> int:
        """How many messages no worker has taken yet."""
        return len(self._waiting)

    def noisy(self) -> set[str]:
        """The groups whose messages are received after all others."""
        self._forget()
        flying, spent = sum(self._in_flight.values()), sum(self._spent.values())
        many = {g for g, n in self._in_flight.items() if n >= NOISY_MESSAGES and n > NOISY_SHARE * flying}
        return many | {g for g, seconds in self._spent.items() if seconds > NOISY_SHARE * spent}

    def _choose(self, number: int) -> list[Message]:
        noisy = self.noisy() if self.fair else set()
        order = sorted(self._waiting, key=lambda m: m.group in noisy) if noisy else self._waiting
        chosen = [message for message, _ in zip(order, range(number), strict=False)]
        taken = set(map(id, chosen))
        self._waiting = deque(message for message in self._waiting if id(message) not in taken)
        return chosen

    def _forget(self) -> None:
        while self._recent and self._recent[0][0] < self.clock() - RECENT_SECONDS:
            _, group, spent = self._recent.popleft()
            self._spent[group] -= spent
