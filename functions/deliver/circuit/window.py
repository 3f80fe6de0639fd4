"""Which apps a process keeps an eye on, and when one fails so much that it is paused.

The counters of an app's day are shared by all functions, and every ADD returns them. What they grew by since
this process last looked is what all functions saw meanwhile: a window over the whole fleet that costs no read.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from cachetools import LRUCache

from bellhop.outcomes import OutcomeDay, OutcomeDelta

WINDOW_SECONDS = 300.0
MIN_ATTEMPTS = 10
FAILED_SHARE = 0.5

# From here on a process reads the app's gate before it attempts: others may have paused it.
SUSPICIOUS_FAILED = 3
SUSPICIOUS_SHARE = 0.1

REMEMBERED = 10_000  # apps and rows


@dataclass(frozen=True, slots=True)
class Seen:
    """Attempts counted at a moment, and how many of them failed."""

    at: float
    attempts: int
    failed: int


def failing(attempts: int, failed: int) -> bool:
    """Whether so much fails that the app is to be paused: half of at least ten attempts."""
    return attempts >= MIN_ATTEMPTS and failed >= attempts * FAILED_SHARE


def suspicious(attempts: int, failed: int) -> bool:
    """Whether enough fails that the app may be paused already; a few failures among many cost no look."""
    return failed >= SUSPICIOUS_FAILED and failed >= attempts * SUSPICIOUS_SHARE


@dataclass
class FailureWindow:
    """One process's view; `clock` in Unix seconds."""

    clock: Callable[[], float]
    _windows: LRUCache[str, deque[Seen]] = field(default_factory=lambda: LRUCache(REMEMBERED))
    _totals: LRUCache[tuple[str, str], tuple[int, int]] = field(default_factory=lambda: LRUCache(REMEMBERED))
    _until: LRUCache[str, float] = field(default_factory=lambda: LRUCache(REMEMBERED))

    def look_closer(self, app_id: str) -> bool:
        """Whether the app's gate has to be read: much of it failed, or it was found paused, a window ago."""
        return self._until.get(app_id, 0.0) > self.clock()

    def keep(self, app_id: str) -> None:
        """Read the app's gate for another window's length."""
        self._until[app_id] = self.clock() + WINDOW_SECONDS

    def drop(self, app_id: str, before: float) -> None:
        """Forget what was seen of the app before a moment."""
        window = self._windows.get(app_id, deque())
        while window and window[0].at < before:
            window.popleft()

    def note(self, delta: OutcomeDelta, row: OutcomeDay) -> bool:
        """Take in what an ADD returned; True when the app fails so much that it is to be paused."""
        window = self._windows.setdefault(delta.app_id, deque())
        attempts, failed = self._grown(delta, row)
        window.append(Seen(self.clock(), attempts, failed))
        while window[0].at < self.clock() - WINDOW_SECONDS:
            window.popleft()
        whole = sum(seen.attempts for seen in window), sum(seen.failed for seen in window)
        if delta.has_failure and suspicious(*whole):
            self.keep(delta.app_id)
        return delta.has_failure and failing(*whole)

    def _grown(self, delta: OutcomeDelta, row: OutcomeDay) -> tuple[int, int]:
        failed = int(row.error) + int(row.timeout)
        now = (int(row.success) + failed, failed)
        own = delta.error + delta.timeout
        key = (row.scope, row.generation_day)
        before = self._totals.get(key, (now[0] - delta.success - own, now[1] - own))
        self._totals[key] = now
        return now[0] - before[0], now[1] - before[1]
