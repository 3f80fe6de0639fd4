"""How far work is that takes longer than a second, said now and then on standard error."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from infra.cli import errors

FIRST_SECONDS = 1.0  # until the first line


@dataclass
class ProgressLines:
    """Says how far it is: first after a second, then every `seconds`."""

    seconds: float = 1.0
    clock: Callable[[], float] = time.monotonic
    _next: float = field(init=False)

    def __post_init__(self) -> None:
        self._next = self.clock() + FIRST_SECONDS

    def say(self, line: str) -> None:
        """Print the line if it is time for one."""
        now = self.clock()
        if now >= self._next:
            self._next = now + self.seconds
            errors.say(line)
