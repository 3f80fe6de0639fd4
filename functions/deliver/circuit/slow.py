"""Apps whose endpoints take long to respond, or do not: their deliveries leave the fast lane.

A batch ends with its slowest attempt, so one endpoint that hangs delays the next batches of that process. All
functions share one list of such apps and look at it every few seconds. A first attempt of a listed app is handed
over to the Retries queue, the slow lane, which has processes of its own. There it is attempted, and a quick
response takes the app off the list once its stay is over. A slow attempt begins the stay again, and one after the
stay doubles it. So an app that is slow in bursts does not come back before each.

What takes much of the processor delays a batch as well: there is one thread for all its attempts. Where they took
it for long, the apps are listed whose attempts took most. Nobody is taken for slow because of what others took.

An app is listed as soon as its attempt is slow, while it still runs: the others need not learn it the same way.
But only if another attempt of the batch got a response: else it may be our network that hangs.
"""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

from bellhop import circuits
from bellhop.circuits import Circuit
from bellhop.telemetry import Telemetry

SLOW_SECONDS = 2.0  # or half of the deadline, if that is less
LOOK_SECONDS = 2.0  # between two looks at the list
STAY_SECONDS = 30.0  # on the list after it was slow
MOST_STAY_SECONDS = 300.0  # so that an app with much traffic and a rare slow response is not kept there
REMEMBERED_SECONDS = 3600.0  # after a stay, in which the next one is twice as long


class Stay(NamedTuple):
    """Until when an app stays on the list, in Unix seconds, and how long it stays after it was slow."""

    until: float
    seconds: float

    def must_be_longer(self, now: float) -> bool:
        """Whether an app that was slow now has to stay longer: at least half a stay has to be left."""
        return self.until < now + self.seconds / 2


def _stay_of(circuit: Circuit) -> Stay:
    return Stay(float(circuit.slow_until or 0.0), float(circuit.slow_seconds or STAY_SECONDS))


def longer_stay(circuit: Circuit, now: float) -> Stay:
    """The stay of an app that was slow now."""
    until, seconds = _stay_of(circuit)
    if not circuit.slow_seconds or until + REMEMBERED_SECONDS < now:
        seconds = STAY_SECONDS
    elif until <= now:  # it was back, or nearly
        seconds = min(2 * seconds, MOST_STAY_SECONDS)
    return Stay(max(until, now + seconds), seconds)


@dataclass
class SlowApps:
    """One process's view of the list; `clock` in Unix seconds, `deadline` of an attempt in seconds.

    `outage_until`: until when our own network was taken to be down at the last look; see attempt/network.py.
    """

    deadline: float
    clock: Callable[[], float]
    telemetry: Telemetry
    outage_until: float = 0.0
    # How long each app stays, as far as this process knows.
    _listed: dict[str, Stay] = field(default_factory=dict)
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

    def take_in(self, slowest: Mapping[str, float], costly: AbstractSet[str] = frozenset()) -> None:
        """List the apps whose attempts were slow, by the seconds of their slowest, and those that were `costly`.

        Take off those that were neither.

        Policy: what cannot be written is not; the next attempt tries again.
        """
        now, known = self.clock(), dict(self._listed)
        slow = costly | {app_id for app_id, seconds in slowest.items() if seconds >= self.limit}
        try:
            self._take_in_listing()
            if new := slow - self._listed.keys():
                self._note(circuits.list_slow(new))
        except Exception:  # noqa: BLE001 - see the policy
            self.telemetry.error("list of slow apps not written: the next attempts of these apps try again")
        for app_id in slowest.keys() | costly:
            before = known.get(app_id)
            try:
                if app_id in slow and (before is None or before.must_be_longer(now)):
                    self._stay(app_id, now)
                elif app_id not in slow and before and before.until <= now:
                    self._end_stay(app_id, now)
            except Exception:  # noqa: BLE001 - see the policy
                self.telemetry.error(
                    "stay on the list of slow apps not written: the app's next attempt tries again", app_id=app_id
                )

    def _stay(self, app_id: str, now: float) -> None:
        circuit = circuits.load(app_id, consistent=False)
        stay = _stay_of(circuit)
        if stay.must_be_longer(now):
            stay = longer_stay(circuit, now)
            circuits.keep_slow(circuit, *stay)  # where another process was first, its stay is as good
        if app_id in self._listed:
            self._listed[app_id] = stay

    def _end_stay(self, app_id: str, now: float) -> None:
        stay = _stay_of(circuits.load(app_id))  # another process may have seen it slow
        if stay.until <= now:
            self._note(circuits.unlist_slow({app_id}))
        elif app_id in self._listed:
            self._listed[app_id] = stay

    def _take_in_listing(self) -> None:
        if self._listing and self._listing.done():
            listing, self._listing = self._listing, None
            self._note(listing.result())

    def _note(self, app_ids: frozenset[str]) -> None:
        # It stays half a minute at least, and for how long after it is slow next is not known here.
        new = Stay(self.clock() + STAY_SECONDS, MOST_STAY_SECONDS)
        self._listed = {app_id: self._listed.get(app_id, new) for app_id in app_ids}
