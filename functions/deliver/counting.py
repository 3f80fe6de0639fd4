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

from bellhop.outcomes import Tally, merge

HELD_SECONDS = 60.0
REMEMBERED = 10_000  # rows

Key = tuple[str, str, int, date]


@dataclass
class Ledger:
    """One process's view; `clock` in seconds."""

    clock: Callable[[], float]
    _held: dict[Key, tuple[float, Tally]] = field(default_factory=dict)
    _known: LRUCache[Key, bool] = field(default_factory=lambda: LRUCache(REMEMBERED))

    def due(self, tallies: Iterable[Tally]) -> list[Tally]:
        """Take in a batch's tallies; what is to be written now, one for each row."""
        now = [self._take(tally) for tally in merge(tallies)]
        return [tally for tally in now if tally] + self._overdue()

    def _take(self, tally: Tally) -> Tally | None:
        key = (tally.app_id, tally.organization_id, tally.epoch, tally.day)
        since, held = self._held.pop(key, (self.clock(), None))
        whole = held + tally if held else tally
        if tally.held_failure or key not in self._known:
            if whole.success:
                self._known[key] = True
            return whole
        self._held[key] = (since, whole)
        return None

    def _overdue(self) -> list[Tally]:
        old = [key for key, (since, _) in self._held.items() if since <= self.clock() - HELD_SECONDS]
        return [self._held.pop(key)[1] for key in old]
