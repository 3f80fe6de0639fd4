"""The whole path of a delivery: notify with its event and deliver with its webhook, as their runtimes call them.

The clock runs a quarter of a second a batch, as in a process that works off one batch after another at endpoints
that respond in 150 ms. So caches expire and buffered counts are written as often as there.
"""

import json
import time
from importlib import import_module
from typing import Any

from tests.bench.measured import Event, Measured
from tests.bench.messages import Context, event

BATCH_SECONDS = 0.25


class PacedClock:
    """The time: only batches move it, and no other contender's rounds."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


def make(authorities: str) -> Measured:
    """Build both handlers."""
    clock = PacedClock()
    time.time = clock
    # Imported only now: the functions build what they work with, and its clocks, when they are imported.
    ours, notify, deliver = map(import_module, ("tests.bench.ours", "notify.app", "deliver.app"))
    ours.make(authorities)

    def handle(both: Event) -> Any:
        for name, handler in (("event", notify.handler), ("delivery", deliver.handler)):
            text = json.dumps(event([each[name] for each in both["Records"]]))
            result = _runtime(text, handler)
            if result["batchItemFailures"]:
                return result
        clock.now += BATCH_SECONDS
        return result

    return Measured(handle)


def _runtime(text: str, handler: Any) -> Any:
    """What Lambda's runtime does around a handler: from JSON, and to it."""
    result = handler(json.loads(text), Context())
    json.dumps(result)
    return result
