"""Structured logs and metrics, handed to all code that decides something.

The library that writes them is not loaded here: the bellhop command uses this code without it.
"""

from typing import Any, Protocol


class Telemetry(Protocol):
    """One log line per decision, with the ids it is about. Counts become CloudWatch metrics."""

    def info(self, message: str, **fields: Any) -> None:
        """A decision as expected."""

    def warning(self, message: str, **fields: Any) -> None:
        """A decision that a person may have to look into."""

    def error(self, message: str, **fields: Any) -> None:
        """A fault of ours, with its traceback if an exception is being handled."""

    def count(self, name: str, number: int = 1) -> None:
        """Add to a metric."""

    def measure(self, name: str, seconds: float) -> None:
        """Give a metric one more duration, of which percentiles are made."""
