"""Each function in a process of its own; its calls and its log are counted."""

import importlib
import os
from collections.abc import Callable
from typing import Any

from tests.bench.measured import Event, Measured
from tests.bench.messages import Context
from tests.bench.meter import Meter


class Metered:
    """A handler, its AWS calls, and what it prints."""

    def __init__(self, make: Callable[[], Measured], schemas: dict[str, Any]) -> None:
        self._meter = Meter(schemas)
        self._measured = make()

    def run(self, event: Event) -> dict[str, Any]:
        """Handle one event. Returns `cpu`, `wall`, `result`, and what the meter counted."""
        before = os.fstat(1).st_size
        cpu, wall, results = self._measured.run([event])
        log = {"printed": os.fstat(1).st_size - before, "lines": _lines(before)}
        return {"cpu": cpu, "wall": wall, "result": results[0]} | log | self._meter.take()


class MeteredDeliver(Metered):
    """Deliver also buffers counts. Writing them has its price, too."""

    def settle(self) -> dict[str, Any]:
        """Have the buffered counts written, and return what the meter counts."""
        _imported("tests.bench.ours").settle(self._measured)
        return self._meter.take()


def deliver(authorities: str, schemas: dict[str, Any]) -> MeteredDeliver:
    """The deliver function, trusting the bench's authority."""
    return MeteredDeliver(lambda: _imported("tests.bench.ours").make(authorities), schemas)


def other(function: str, schemas: dict[str, Any]) -> Metered:
    """notify or health, as they are."""

    def make() -> Measured:
        handler = _imported(f"{function}.app").handler
        return Measured(lambda event: handler(event, Context()))

    return Metered(make, schemas)


def _imported(module: str) -> Any:
    # Imported after the meter exists: it sees only later sessions, and a module may create one when imported.
    return importlib.import_module(module)


def _lines(before: int) -> int:
    with open("/dev/fd/1", "rb") as log:  # noqa: PTH123 - the descriptor, whatever file it is
        log.seek(before)
        return log.read().count(b"\n")
