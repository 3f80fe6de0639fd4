"""Which of a batch's outcomes are written now, and which may wait.

A failure is written at once, and so is the first success that this process sees in an app's day: health judges by
"errors and no success". Further successes change no judgement, so this process buffers them until it writes a
failure of the same app, or until its first batch a minute later. If the process dies, at most those are lost.
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
    """One process's buffer; `clock` in seconds."""

    clock: Callable[[], float]
    _buffered: dict[Key, tuple[float, OutcomeDelta]] = field(default_factory=dict)
    _known: LRUCache[Key, bool] = field(default_factory=lambda: LRUCache(REMEMBERED))

    def due(self, deltas: Iterable[OutcomeDelta]) -> list[OutcomeDelta]:
        """Take in a batch's deltas; return what is to be written now, one for each row."""
        now = [self._take(delta) for delta in merge(deltas)]
        return [delta for delta in now if delta] + self._overdue()

    def written(self, delta: OutcomeDelta) -> None:
        """Say that `delta` was written. Until then the next success of its row is written at once."""
        if delta.success:
            self._known[_key(delta)] = True

    def _take(self, delta: OutcomeDelta) -> OutcomeDelta | None:
        key = _key(delta)
        since, buffered = self._buffered.pop(key, (self.clock(), None))
        whole = buffered + delta if buffered else delta
        if delta.has_failure or key not in self._known:
            return whole
        self._buffered[key] = (since, whole)
        return None

    def _overdue(self) -> list[OutcomeDelta]:
        old = [key for key, (since, _) in self._buffered.items() if since <= self.clock() - BUFFERED_SECONDS]
        return [self._buffered.pop(key)[1] for key in old]


def _key(delta: OutcomeDelta) -> Key:
    return delta.app_id, delta.organization_id, delta.generation, delta.day
