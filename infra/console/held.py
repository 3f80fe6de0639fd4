"""What is kept of an app: deliveries that were parked or are exhausted, counted as far as is reasonable."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bellhop import attempts
from bellhop.attempts import REPLAYABLE

BOUND = 10_000
_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Held:
    """How many deliveries are in which state; not `complete`, there are at least so many."""

    counts: Mapping[str, int]
    complete: bool

    def total(self, states: Iterable[str]) -> int:
        """How many are in one of these states, at least."""
        return sum(self.counts.get(state, 0) for state in states)

    def said(self, states: Iterable[str] = REPLAYABLE) -> str:
        """Such as "1,204 parked, 3 exhausted"."""
        parts = ", ".join(f"{self.total([s]):,} {s}" for s in states if self.total([s])) or "none"
        return parts if self.complete else f"at least {parts}"


def count(app_id: str, bound: int = BOUND) -> Held:
    """Count the held deliveries of an app, the oldest first, up to `bound`."""
    counts: Counter[str] = Counter()
    after, left = None, bound
    while left:
        size = min(_PAGE, left)
        page = list(attempts.replayable(app_id, after, size))
        counts.update(row.state for row in page)
        if not page:
            return Held(counts, complete=True)
        after, left = page[-1].replayable_at, left - len(page)
    return Held(counts, complete=False)
