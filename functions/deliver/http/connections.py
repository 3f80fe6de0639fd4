"""Connections that are kept for the next request: whose they are, for how long, and how many."""

import select
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from deliver.http.resolver import LOOKUPS
from deliver.http.sockets import RACING

# Less than load balancers of AWS (60) and nginx (75) keep one, so that they seldom close it while a request is on
# its way. Servers that keep one for less (Node.js and Apache: 5) have closed it by then, which is seen; networks
# that forget one without a word (NAT gateways: 350) do so later.
IDLE_SECONDS = 55.0
REAP_SECONDS = 1.0

# The most are three large batches' worth. Under TLS, each holds about 50 KiB.
MOST_IDLE, LEAST_IDLE = 300, 16
# What a process may have open beside them: for each attempt, the race for an address with the selector that
# watches it; a socket for each look-up; and the clients of AWS, standard output and what libraries open briefly.
ATTEMPTS = 100  # at once: the largest BatchSize in template.yaml
_OTHER_DESCRIPTORS = 64


class Origin(NamedTuple):
    """Whose connection it is, and to where. Apps share none, though their endpoints be on one host and port.

    What a peer says too early cannot be told from the response to the request that went out meanwhile. So it may
    only ever be taken for a response to the same app.
    """

    app_id: str
    scheme: str
    host: str
    port: int


class Kept(Protocol):
    """A connection, as far as it is kept."""

    made_at: float
    idle_since: float

    def descriptor(self) -> int:
        """The descriptor of its socket."""

    def close(self) -> None:
        """Close it."""


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """How long a connection is kept: `lifetime` seconds, after which its name is looked up anew.

    By a clock that goes on while the function is frozen. Where that clock was set back, nothing is known.
    """

    lifetime: float
    clock: Callable[[], float]

    def allows(self, connection: Kept) -> bool:
        """Whether a connection may serve one more request."""
        now = self.clock()
        return 0 <= now - connection.made_at < self.lifetime and 0 <= now - connection.idle_since < IDLE_SECONDS


class IdleConnections:
    """The idle connections of a process, at most `most` over all apps and hosts."""

    def __init__(self, keep_alive: KeepAlive, most: int) -> None:
        self._keep_alive = keep_alive
        self._most = most
        self._lock = threading.Lock()
        self._all: dict[Kept, Origin] = {}  # the one that was idle for longest comes first
        self._of: dict[Origin, list[Kept]] = {}  # the same in the same order
        self._reaped_at = 0.0

    def __len__(self) -> int:
        return len(self._all)

    def take(self, origin: Origin) -> Kept | None:
        """The connection that was used last, no longer kept; None when there is none that is young enough."""
        now = self._keep_alive.clock()
        with self._lock:
            if not 0 <= now - self._reaped_at < REAP_SECONDS:
                self._reaped_at = now
                self._reap()
            while origin in self._of:
                connection = self._of[origin][-1]
                self._forget(connection)
                if self._keep_alive.allows(connection):
                    return connection
                connection.close()
        return None

    def keep(self, origin: Origin, connection: Kept) -> None:
        """Keep a connection; for want of room, the one that was idle for longest goes."""
        connection.idle_since = self._keep_alive.clock()
        with self._lock:
            self._all[connection] = origin
            self._of.setdefault(origin, []).append(connection)
            while len(self._all) > self._most:
                self._drop(next(iter(self._all)))

    def close_all(self) -> bool:
        """Close them; whether there were any."""
        with self._lock:
            connections = list(self._all)
            for connection in connections:
                self._drop(connection)
        return bool(connections)

    def _reap(self) -> None:
        """Close those that are too old, or whose peer has closed them or speaks unasked."""
        idle = select.poll()
        by_descriptor: dict[int, Kept] = {}
        for connection in list(self._all):
            if self._keep_alive.allows(connection):
                by_descriptor[connection.descriptor()] = connection
                idle.register(connection.descriptor(), select.POLLIN)
            else:
                self._drop(connection)
        for descriptor, _ in idle.poll(0):
            self._drop(by_descriptor[descriptor])

    def _drop(self, connection: Kept) -> None:
        self._forget(connection)
        connection.close()

    def _forget(self, connection: Kept) -> None:
        origin = self._all.pop(connection)
        self._of[origin].remove(connection)
        if not self._of[origin]:
            del self._of[origin]


def most_idle(descriptors: int) -> int:
    """How many idle connections a process may keep that may have so many descriptors.

    A negative number, such as RLIM_INFINITY, is no limit.
    """
    if descriptors < 0:
        return MOST_IDLE
    room = descriptors - ATTEMPTS * (RACING + 1) - LOOKUPS - _OTHER_DESCRIPTORS
    return min(MOST_IDLE, max(LEAST_IDLE, room))
