"""A handler whose processor time can be asked for; what is compared builds on it, each in its own process."""

import time
from collections.abc import Callable
from typing import Any

Event = dict[str, Any]

JSON = {"Content-Type": "application/json"}


class Measured:
    """Runs a handler, and this process's clocks beside it."""

    def __init__(self, handler: Callable[[Event], Any]) -> None:
        self._handler = handler

    def run(self, events: list[Event]) -> tuple[float, float, list[Any]]:
        """Handle the events one after the other; processor and wall seconds of this process, the answers."""
        wall, cpu = time.perf_counter(), time.process_time()
        answers = [self._handler(event) for event in events]
        return time.process_time() - cpu, time.perf_counter() - wall, answers
