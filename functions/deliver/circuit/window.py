"""Which apps may be failing, and when one fails so much that it is paused.

All processes count in the same rows, and every ADD returns its row's totals. The growth between two ADDs of this
process is what the whole fleet counted meanwhile: a window over the fleet that costs no read. For example: after
an ADD the row showed 40 attempts, 2 of them failed. This process adds one failure, and the ADD returns 61
attempts, 14 failed. So the fleet made 21 attempts in between, of which 12 failed.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from cachetools import LRUCache

from bellhop.outcomes import OutcomeDay, OutcomeDelta

WINDOW_SECONDS = 300.0
MIN_ATTEMPTS = 10
FAILED_SHARE = 0.5

# From here on a process reads the app's circuit before it attempts anything: others may have paused the app.
SUSPICIOUS_FAILED = 3
SUSPICIOUS_SHARE = 0.1

REMEMBERED = 10_000  # apps and rows


@dataclass(frozen=True, slots=True)
class Sample:
    """Attempts that were counted up to a moment since the sample before, and how many of them failed."""

    at: float
    attempts: int
    failed: int


def failing(attempts: int, failed: int) -> bool:
    """Whether so much fails that the app is to be paused: half of at least ten attempts."""
    return attempts >= MIN_ATTEMPTS and failed >= attempts * FAILED_SHARE


def suspicious(attempts: int, failed: int) -> bool:
    """Whether enough fails that the app may be paused already. A few failures among many are not worth a read."""
    return failed >= SUSPICIOUS_FAILED and failed >= attempts * SUSPICIOUS_SHARE


@dataclass
class FailureWindow:
    """One process's view; `clock` in Unix seconds."""

    clock: Callable[[], float]
    _windows: LRUCache[str, deque[Sample]] = field(default_factory=lambda: LRUCache(REMEMBERED))
    _totals: LRUCache[tuple[str, str], tuple[int, int]] = field(default_factory=lambda: LRUCache(REMEMBERED))
    _until: LRUCache[str, float] = field(default_factory=lambda: LRUCache(REMEMBERED))

    def suspects(self, app_id: str) -> bool:
        """Whether the app's circuit must be read: within the last window it failed much, or was found paused."""
        return self._until.get(app_id, 0.0) > self.clock()

    def suspect(self, app_id: str) -> None:
        """Have the app's circuit read for another window's length."""
        self._until[app_id] = self.clock() + WINDOW_SECONDS

    def forget(self, app_id: str, before: float) -> None:
        """Forget the app's samples from before a moment, in Unix seconds."""
        window = self._windows.get(app_id, deque())
        while window and window[0].at < before:
            window.popleft()

    def add(self, delta: OutcomeDelta, row: OutcomeDay) -> bool:
        """Take in the row that the ADD of `delta` returned; True when the app is to be paused."""
        window = self._windows.setdefault(delta.app_id, deque())
        attempts, failed = self._growth(delta, row)
        window.append(Sample(self.clock(), attempts, failed))
        while window[0].at < self.clock() - WINDOW_SECONDS:
            window.popleft()
        whole = sum(sample.attempts for sample in window), sum(sample.failed for sample in window)
        if delta.has_failure and suspicious(*whole):
            self.suspect(delta.app_id)
        return delta.has_failure and failing(*whole)

    def _growth(self, delta: OutcomeDelta, row: OutcomeDay) -> tuple[int, int]:
        failed = int(row.error) + int(row.timeout)
        now = (int(row.success) + failed, failed)
        own = delta.error + delta.timeout
        key = (row.scope, row.generation_day)
        before = self._totals.get(key, (now[0] - delta.success - own, now[1] - own))
        self._totals[key] = now
        return now[0] - before[0], now[1] - before[1]
