"""How many deliveries are parked for an app that is off, so that no app's absence fills the table without end.

The limit is for each organisation that installed the app, so that none uses up what others need. It is soft: what
a batch parks is counted once, and each process goes by the total
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

Key = tuple[str, str, int]  # an app, an organisation, and the app's generation


@dataclass
class Parking:
    """One process's view; `limit` is for each app, organisation and generation."""

    limit: int
    telemetry: Telemetry
    _totals: LRUCache[Key, int] = field(default_factory=lambda: LRUCache(REMEMBERED))
    _fresh: Counter[Key] = field(default_factory=Counter)

    def full(self, app: App, organization_id: str) -> bool:
        """Whether no more first attempts are to be parked for an organisation."""
        return self._totals.get((app.app_id, organization_id, int(app.generation)), 0) >= self.limit

    def note(self, app: App, organization_id: str) -> None:
        """Note that one more delivery was parked."""
        self._fresh[app.app_id, organization_id, int(app.generation)] += 1

    def count(self) -> None:
        """Count what this batch parked.

        Policy: what cannot be counted stays parked all the same; the limit is then reached that much later.
        """
        fresh, self._fresh = self._fresh, Counter()
        for key, number in fresh.items():
            try:
                self._update(key, number, circuits.count_parked(*key, number))
            except Exception:  # noqa: BLE001 - see the policy
                self.telemetry.error(
                    "parked deliveries not counted: they stay parked, so the limit may be exceeded",
                    app_id=key[0],
                    organization_id=key[1],
                    number=number,
                )

    def _update(self, key: Key, number: int, total: int) -> None:
        self._totals[key] = total
        if total - number < self.limit <= total:
            # Exactly one of concurrent batches crosses the limit, and logs it.
            self.telemetry.warning(
                "parking is full: the organisation's further deliveries to the app are skipped",
                app_id=key[0],
                organization_id=key[1],
                parked=total,
            )
