"""What health's code is handed in tests: everything that a test does not choose fails when it is used."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from bellhop import tables
from bellhop.bus import Bus
from bellhop.queues import OutgoingMessage
from health import messages
from health.app import handle
from health.dependencies import HealthDependencies
from health.rules import Thresholds
from tests.support.endpoint import Clock
from tests.support.fakes import Recorder
from tests.support.ses import LINKS

_TOKENS = (f"worker-{number}" for number in count(1))


def unexpected(*arguments: Any) -> Any:
    raise AssertionError(f"a call that this test does not expect: {arguments}")


@dataclass
class ChainQueues:
    """The Retries and the Transitions queue; Retries refuses the messages at the positions `refuses`.

    `chain` has the messages that wait on Transitions, with their delays; `waiting` is what others have on Retries.
    """

    clock: Clock = field(default_factory=Clock)
    retries: list[OutgoingMessage] = field(default_factory=list)
    chain: list[tuple[Any, int]] = field(default_factory=list)
    refuses: set[int] = field(default_factory=set)
    waiting: int = 0
    telemetry: Recorder = field(default_factory=Recorder)

    def take(self, sent: Sequence[OutgoingMessage]) -> set[int]:
        self.retries += [m for n, m in enumerate(sent) if n not in self.refuses]
        return self.refuses

    def deps(self) -> HealthDependencies:
        return health_dependencies(
            retry=self.take,
            retries_waiting=lambda: self.waiting,
            send_later=lambda message, delay: self.chain.append((message, delay)),
            telemetry=self.telemetry,
            now=self.clock,
        )

    def follow(self, message: messages.OwnMessage) -> None:
        """Follow the chain to its end, as time passes."""
        self.chain.append((message, 0))
        while self.chain:
            following, delay = self.chain.pop(0)
            self.clock.move(delay)
            handle(messages.decode(messages.encode(following)), self.deps())


def health_dependencies(**chosen: Any) -> HealthDependencies:
    """Health's dependencies with the chosen ones replaced; needs the fixture `aws`."""
    values: dict[str, Any] = {
        "connection": tables.connect(),
        "announce": unexpected,
        "telemetry": Recorder(),
        "now": Clock(),
        "thresholds": Thresholds(1000, 7, 72),
        "send_later": unexpected,
        "ping": unexpected,
        "retry": unexpected,
        "retries_waiting": lambda: 0,
        "wait": unexpected,
        "bus": Bus(unexpected, "default"),
        "ses": None,
        "mail_from": "bellhop@tracker.example",
        "mail_configuration_set": "mail-settings",
        "links": LINKS,
        "replay_per_second": 10.0,
        "ping_seconds": 30.0,
        "settle_seconds": 90.0,
        "lease_seconds": 60.0,
        "overdue_seconds": 7200.0,
        "token": lambda: next(_TOKENS),
    }
    return HealthDependencies(**values | chosen)
