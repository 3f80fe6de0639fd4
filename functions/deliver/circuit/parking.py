"""How many deliveries of a switched-off app are parked, so that no app's absence fills the table without end.

The limit is soft. What a batch parks is counted once, in the app's circuit, and each process goes by the total
that it saw last. So the limit is exceeded by what was in flight then, and by one batch of each process that has
seen no total yet.
"""

from collections import Counter
from dataclasses import dataclass, field

from cachetools import LRUCache

from bellhop import circuits
from bellhop.registry import App
from bellhop.telemetry import Telemetry

REMEMBERED = 10_000  # apps

Key = tuple[str, int]  # an app and its generation


@dataclass
class Parking:
    """One process's view; `limit` is for each app and generation."""

    limit: int
    telemetry: Telemetry
    _totals: LRUCache[Key, int] = field(default_factory=lambda: LRUCache(REMEMBERED))
    _fresh: Counter[Key] = field(default_factory=Counter)

    def full(self, app: App) -> bool:
        """Whether no more first attempts of the app are to be parked."""
        return self._totals.get(_key(app), 0) >= self.limit

    def note(self, app: App) -> None:
        """Note that one more delivery was parked."""
        self._fresh[_key(app)] += 1

    def count(self) -> None:
        """Count what this batch parked.

        Policy: what cannot be counted stays parked all the same; the limit is then reached that much later.
        """
        fresh, self._fresh = self._fresh, Counter()
        for (app_id, generation), number in fresh.items():
            try:
                self._update(app_id, generation, number, circuits.count_parked(app_id, generation, number))
            except Exception:  # noqa: BLE001 - see the policy
                self.telemetry.error(
                    "parked deliveries not counted: they stay parked, beyond the limit if need be",
                    app_id=app_id,
                    number=number,
                )

    def _update(self, app_id: str, generation: int, number: int, total: int) -> None:
        self._totals[app_id, generation] = total
        if (
            total - number < self.limit <= total
        ):  # exactly one of concurrent batches crosses the limit, and logs it
            self.telemetry.warning(
                "parking is full: further deliveries of the app are skipped", app_id=app_id, parked=total
            )


def _key(app: App) -> Key:
    return app.app_id, int(app.generation)
