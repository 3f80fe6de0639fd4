"""A handler whose processor time is measured. Each contender builds on it, in a process of its own."""

import time
from collections.abc import Callable
from typing import Any

Event = dict[str, Any]

JSON = {"Content-Type": "application/json"}


class Measured:
    """Runs a handler and reads this process's clocks."""

    def __init__(self, handler: Callable[[Event], Any]) -> None:
        self.handler = handler

    def run(self, events: list[Event]) -> tuple[float, float, list[Any]]:
        """Handle the events one after the other; return processor and wall seconds, and the results."""
        wall, cpu = time.perf_counter(), time.process_time()
        results = [self.handler(event) for event in events]
        return time.process_time() - cpu, time.perf_counter() - wall, results
