"""Apps whose endpoints take long to respond, or do not: their deliveries leave the fast lane.

A batch ends with its slowest attempt, so one endpoint that hangs delays the next batches of that process. All
functions share one list of such apps and look at it every few seconds. A first attempt of a listed app is handed
over to the Retries queue, the slow lane, which has processes of its own. There it is attempted, and a quick
response takes the app off the list, but not at once: each time that the app delays a process of the fast lane
keeps it there for longer. So one that is slow in bursts does not come back before each.

An app is listed as soon as its attempt is slow, while it still runs: the others need not learn it the same way.
But only if another attempt of the batch got a response: else it may be our network that hangs.
"""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from bellhop import circuits
from bellhop.telemetry import Telemetry

SLOW_SECONDS = 2.0  # or half of the deadline, if that is less
LOOK_SECONDS = 2.0  # between two looks at the list
STAY_SECONDS = 30.0  # on the list after it was slow, and for each batch of the fast lane that it delayed


@dataclass
class SlowApps:
    """One process's view of the list; `clock` in Unix seconds, `deadline` of an attempt in seconds.

    `outage_until`: until when our own network was taken to be down at the last look; see attempt/network.py.
    """

    deadline: float
    clock: Callable[[], float]
    telemetry: Telemetry
    outage_until: float = 0.0
    # Since when, or when it was last slow here; or as if it had been slow half a minute before it may leave.
    _listed: dict[str, float] = field(default_factory=dict)
    _looked_at: float = field(default=0.0)
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "slow-apps"))
    _listing: "Future[frozenset[str]] | None" = None

    @property
    def limit(self) -> float:
        """Seconds from which an attempt is slow."""
        return min(SLOW_SECONDS, self.deadline / 2)

    def __contains__(self, app_id: str) -> bool:
        return app_id in self._listed

    def look(self) -> bool:
        """Read the list, unless that was done just now; False where it could not be read.

        Policy: what was known of it holds then.
        """
        if 0 <= self.clock() - self._looked_at < LOOK_SECONDS:
            return True
        self._looked_at = self.clock()
        try:
            row = circuits.slow_list()
            self.outage_until = float(row.outage_until or 0.0)
            self._note(row.names)
        except Exception:  # noqa: BLE001 - see the policy
            self.telemetry.error("list of slow apps not read: what was known of it before holds")
            return False
        return True

    def list_running(self, app_ids: AbstractSet[str]) -> None:
        """List apps whose attempts still run and are slow by now.

        Policy: by a thread, and nobody waits for it. A table that does not respond must not hold up the attempts.
        """
        new = app_ids - self._listed.keys()
        if not new or self._listing:  # while DynamoDB does not respond, no further calls wait for the thread
            return
        try:
            self._listing = self._thread.submit(circuits.list_slow, new)
        except RuntimeError:  # there is no thread to be had
            self.telemetry.error("list of slow apps not written: the next attempts of these apps try again")

    def take_in(self, slowest: Mapping[str, float]) -> None:
        """List the apps whose attempts were slow, by the seconds of their slowest; take off those that were not.

        Policy: what cannot be written is not; the next attempt tries again.
        """
        now = self.clock()
        slow = {app_id for app_id, seconds in slowest.items() if seconds >= self.limit}
        quick = {app_id for app_id in slowest if now - self._listed.get(app_id, now) >= STAY_SECONDS} - slow
        try:
            # What was not on the list as this batch began was attempted in the fast lane.
            delayed_by = slow - self._listed.keys()
            self._take_in_listing()
            new = slow - self._listed.keys()
            self._listed |= dict.fromkeys(slow - new, now)
            if new:
                self._note(circuits.list_slow(new))
            self._unlist(quick, now)
            for app_id in delayed_by:
                circuits.lengthen_stay(app_id, now, STAY_SECONDS)
        except Exception:  # noqa: BLE001 - see the policy
            self.telemetry.error("list of slow apps not written: the next attempts of these apps try again")

    def _unlist(self, quick: AbstractSet[str], now: float) -> None:
        stays = {app_id: circuits.end_stay(app_id, now) for app_id in quick}
        self._listed |= {app_id: until - STAY_SECONDS for app_id, until in stays.items() if until}
        if leaving := {app_id for app_id, until in stays.items() if not until}:
            self._note(circuits.unlist_slow(leaving))

    def _take_in_listing(self) -> None:
        if self._listing and self._listing.done():
            listing, self._listing = self._listing, None
            self._note(listing.result())

    def _note(self, app_ids: frozenset[str]) -> None:
        self._listed = {app_id: self._listed.get(app_id, self.clock()) for app_id in app_ids}
