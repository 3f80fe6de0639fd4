"""What of a batch's outcomes is written now, and what may wait.

A failure is written at once, and so is the first success that this process sees of an app's day: those are
what health judges by, "errors and no success". Every further success changes no verdict, so this process keeps
it until a failure of the same app is written, or until its first batch a minute later. A process that dies
takes at most that with it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date

from cachetools import LRUCache

from bellhop.outcomes import OutcomeDelta, merge

BUFFERED_SECONDS = 60.0
REMEMBERED = 10_000  # rows

Key = tuple[str, str, int, date]


@dataclass
class SuccessBuffer:
    """One process's view; `clock` in seconds."""

    clock: Callable[[], float]
    _held: dict[Key, tuple[float, OutcomeDelta]] = field(default_factory=dict)
    _known: LRUCache[Key, bool] = field(default_factory=lambda: LRUCache(REMEMBERED))

    def due(self, deltas: Iterable[OutcomeDelta]) -> list[OutcomeDelta]:
        """Take in a batch's deltas; what is to be written now, one for each row."""
        now = [self._take(delta) for delta in merge(deltas)]
        return [delta for delta in now if delta] + self._overdue()

    def _take(self, delta: OutcomeDelta) -> OutcomeDelta | None:
        key = (delta.app_id, delta.organization_id, delta.generation, delta.day)
        since, held = self._held.pop(key, (self.clock(), None))
        whole = held + delta if held else delta
        if delta.has_failure or key not in self._known:
            if whole.success:
                self._known[key] = True
            return whole
        self._held[key] = (since, whole)
        return None

    def _overdue(self) -> list[OutcomeDelta]:
        old = [key for key, (since, _) in self._held.items() if since <= self.clock() - BUFFERED_SECONDS]
        return [self._held.pop(key)[1] for key in old]
