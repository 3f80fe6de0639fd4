"""A replay: the chain of messages on the Transitions queue that sends what is kept of an app."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from bellhop import circuits
from bellhop.attempts import PARKED
from bellhop.circuits import Circuit
from bellhop.queues import OutgoingMessage, Queue


@dataclass(frozen=True, slots=True)
class Replay:
    """Send the next page of an app's replayable deliveries, in the order of `app_lists.replayable`.

    Those in one of `states` are sent, `rate` of them per second. `after` is the cursor, None at the beginning of
    a pass; this pass began at `began`, looks at what is listed after `since`, and has sent `found` so far. The
    replay ends with an empty pass that began at or after `settles_at`, when nobody parks deliveries any more.
    Times are Unix seconds. `sent`, over all `passes`, is for the log. `started_at`: when the first pass began,
    None in that one, unless a stop is ahead.
    """

    app_id: str
    generation: int
    states: tuple[str, ...]
    rate: float
    settles_at: float
    began: float
    after: str | None = None
    found: int = 0
    sent: int = 0
    passes: int = 0
    started_at: float | None = None
    since: str | None = None

    @property
    def started(self) -> float:
        """When the replay began. A stop ends those that began before it."""
        return self.began if self.started_at is None else self.started_at


def begin(
    circuit: Circuit,
    generation: int,
    states: Sequence[str],
    rate: float,
    now: float,
    *,
    settle_seconds: float = 0.0,
) -> Replay:
    """A replay of the circuit's app that begins now, and goes on until nobody parks: `settle_seconds` from now.

    A stop by a clock that is ahead does not end it.
    """
    started_at = circuits.begin_after_stop(circuit, now)
    app_id, settles_at = circuit.app_id, now + settle_seconds
    return Replay(app_id, generation, tuple(states), rate, settles_at, now, started_at=started_at)


def encode(replay: Replay) -> str:
    """The replay as the body of a queue message.

    What only later passes say is left out in the first: version 0.1.0 takes no field that it does not know.
    """
    fields, later = asdict(replay), ("passes", "started_at", "since")
    return json.dumps({"kind": "replay"} | {n: v for n, v in fields.items() if v or n not in later})


@dataclass(frozen=True)
class Releases:
    """Starts the replays that follow a pause, on the Transitions `queue`.

    `settle_seconds`: how long after a pause a process may still park deliveries.
    """

    queue: Queue
    per_second: float
    settle_seconds: float
    now: Callable[[], float]

    def start(self, app_id: str, generation: int) -> None:
        """Have what is parked of an app sent, as a replay sends it. To start it twice sends nothing twice."""
        circuit, now = circuits.load(app_id), self.now()
        replay = begin(circuit, generation, (PARKED,), self.per_second, now, settle_seconds=self.settle_seconds)
        self.queue.send(OutgoingMessage(encode(replay)))
