"""What one process knows of the apps' circuits: each is read with its app, and again after as long."""

from collections.abc import Callable
from dataclasses import dataclass, field

from cachetools import LRUCache
from pynamodb.exceptions import PynamoDBException
from pynamodb.models import Model

from bellhop import circuits
from bellhop.budget import OutOfBudgetError
from bellhop.circuits import Circuit
from bellhop.registry import App
from bellhop.tables import ItemKey
from bellhop.telemetry import Telemetry
from deliver.circuit.strikes import WELL_SECONDS

REMEMBERED = 10_000  # apps


@dataclass(frozen=True, slots=True)
class CircuitState:
    """A circuit as it is for an app's generation; see bellhop.circuits.Circuit. Times are Unix seconds."""

    paused_since: float | None = None
    next_trial_at: float = 0.0
    trials: int = 0
    trial_lease_until: float = 0.0
    closed_at: float | None = None
    replay_began: float = 0.0

    @property
    def awaits_release(self) -> bool:
        """Whether the app is paused, and no replay began since: the end of the pause begins one with the oldest.

        Where one did, the app was switched off and on, and this process knows it as it was before.
        """
        return self.paused_since is not None and self.replay_began < self.paused_since


@dataclass
class KnownCircuits:
    """One process's view, in which each circuit is at most `seconds` old; `clock` in Unix seconds."""

    seconds: float
    clock: Callable[[], float]
    telemetry: Telemetry
    _rows: LRUCache[str, tuple[float, Circuit]] = field(default_factory=lambda: LRUCache(REMEMBERED))
    _well: LRUCache[str, float] = field(default_factory=lambda: LRUCache(REMEMBERED))  # until when it counts

    def state(self, app: App) -> CircuitState:
        """The app's circuit as this process knows it.

        Policy: where it cannot be read, what was known before holds, and an app of which nothing is known is not
        paused. A webhook to an endpoint that is unwell does less harm than none to all that are well.
        """
        _, row = self._rows.get(app.app_id, (0.0, None))
        if row is None or self.lacks(ItemKey(Circuit, app.app_id)):
            try:
                row = circuits.load(app.app_id, consistent=False)
            except (PynamoDBException, OutOfBudgetError):
                self.telemetry.error(
                    "circuit not read: the app's deliveries go on by what was known of it before",
                    app_id=app.app_id,
                )
                row = row or Circuit(app.app_id)
            self._rows[app.app_id] = self.clock(), row
        return _state(row, int(app.generation))

    def lacks(self, key: ItemKey) -> bool:
        """Whether an app's circuit would have to be read."""
        read_at, row = self._rows.get(key.hash_key, (0.0, None))
        return row is None or not 0 <= self.clock() - read_at < self.seconds

    def take_in(self, key: ItemKey, item: Model | None) -> None:
        """Keep an app's circuit that was just read; None if it has no row."""
        self.note(item if isinstance(item, Circuit) else Circuit(key.hash_key))

    def read(self, app: App) -> CircuitState:
        """The app's circuit as it is now, for a step that must not go by less.

        Raises:
            PynamoDBException: the table did not respond.
        """
        row = circuits.load(app.app_id)
        self._rows[app.app_id] = self.clock(), row
        return _state(row, int(app.generation))

    def note(self, row: Circuit) -> None:
        """Note a circuit that this process just changed."""
        self._rows[row.app_id] = self.clock(), row

    def struck(self, app_id: str) -> bool:
        """Whether the circuit has strikes, as far as this process knows."""
        _, row = self._rows.get(app_id, (0.0, None))
        return bool(row and row.strikes)

    def note_well(self, app_id: str) -> None:
        """Note that the app's endpoint was just seen well."""
        self._well[app_id] = self.clock() + WELL_SECONDS

    def excuses(self, app_id: str) -> bool:
        """Whether the endpoint was seen well a moment ago, which excuses one failure."""
        return self._well.pop(app_id, 0.0) > self.clock()

    def forget(self, app_id: str) -> None:
        """Have the circuit read again."""
        self._rows.pop(app_id, None)

    def expire(self, app_id: str) -> None:
        """Have the circuit read again; where that fails, what was known of it holds."""
        if app_id in self._rows:
            self._rows[app_id] = 0.0, self._rows[app_id][1]


def _state(row: Circuit, generation: int) -> CircuitState:
    if row.generation != generation:
        return CircuitState()
    return CircuitState(
        circuits.paused_since(row, generation),
        float(row.next_trial_at or 0.0),
        int(row.trials or 0),
        float(row.trial_lease_until or 0.0),
        circuits.closed_at(row, generation),
        float(row.replay_began or 0.0),
    )
