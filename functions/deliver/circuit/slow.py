"""Apps whose endpoints take long to respond, or do not: their deliveries leave the fast lane.

A batch ends with its slowest attempt, so one endpoint that hangs delays the next batches of that process. All
functions share one list of such apps and look at it every few seconds. A first attempt of a listed app is handed
over to the Retries queue, the slow lane, which has processes of its own. There it is attempted, and a quick
response takes the app off the list.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from pynamodb.exceptions import PynamoDBException

from bellhop import circuits
from bellhop.budget import OutOfBudgetError
from bellhop.telemetry import Telemetry

SLOW_SECONDS = 2.0  # or half of the deadline, if that is less
LOOK_SECONDS = 2.0  # between two looks at the list


@dataclass(frozen=True, slots=True)
class Pace:
    """How long an app's attempt took, in seconds."""

    app_id: str
    seconds: float


@dataclass
class SlowApps:
    """One process's view of the list; `clock` in Unix seconds, `deadline` of an attempt in seconds."""

    deadline: float
    clock: Callable[[], float]
    telemetry: Telemetry
    _listed: frozenset[str] = frozenset()
    _looked_at: float = field(default=0.0)

    def __contains__(self, app_id: str) -> bool:
        return app_id in self._listed

    def look(self) -> None:
        """Read the list, unless that was done just now.

        Policy: where it cannot be read, what was known of it holds.
        """
        if 0 <= self.clock() - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = self.clock()
        try:
            self._listed = circuits.slow_apps()
        except (PynamoDBException, OutOfBudgetError):
            self.telemetry.error("list of slow apps not read: what was known of it before holds")

    def take_in(self, paces: Iterable[Pace]) -> None:
        """List the apps whose attempts were slow, and take off those that were not.

        Policy: what cannot be written is not; the next attempt tries again.
        """
        slowest: dict[str, float] = {}
        for pace in paces:
            slowest[pace.app_id] = max(pace.seconds, slowest.get(pace.app_id, 0.0))
        limit = min(SLOW_SECONDS, self.deadline / 2)
        slow = {app_id for app_id, seconds in slowest.items() if seconds >= limit}
        quick = (slowest.keys() - slow) & self._listed
        try:
            if slow - self._listed:
                self._listed = circuits.list_slow(slow - self._listed)
            if quick:
                self._listed = circuits.unlist_slow(quick)
        except (PynamoDBException, OutOfBudgetError):
            self.telemetry.error("list of slow apps not written: the next attempts of these apps try again")
