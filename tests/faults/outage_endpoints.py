"""Endpoints that an outage makes refuse every connection, or hang."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from infra.local.receiver import hang, ok
from infra.local.webhook_server import PlannedResponse, Request, WebhookServer, serving

EVERY = 5  # of the webhooks of an app that fails now and then, its first attempt


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request that arrived, at a time in Unix seconds, and the status of its response."""

    at: float
    webhook_id: str
    status: int | None


@dataclass
class Endpoint:
    """An endpoint on a loopback address; `first` is what the first attempt of each fifth webhook gets."""

    secret: str
    host: str = "127.0.0.1"
    first: PlannedResponse = field(default_factory=lambda: ok(1))
    arrivals: list[Arrival] = field(default_factory=list)
    gone: bool = False
    hanging: bool = False
    _port: int = 0
    _seen: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _serving: ExitStack = field(default_factory=ExitStack)

    @property
    def url(self) -> str:
        """Where webhooks are sent."""
        return f"http://{self.host}:{self._port}/webhook"

    def accept(self) -> None:
        """Begin to take connections, or begin again."""
        server = WebhookServer(self, self.secret, self.host, self._port)
        self._port = server.server_port
        self._serving.enter_context(serving(server))

    def refuse(self) -> None:
        """Take no connections any more."""
        self._serving.close()

    def respond(self, request: Request) -> PlannedResponse:
        """See Responder."""
        with self._lock:
            planned = self._planned(request)
            self._seen.add(request.webhook_id)
            self.arrivals.append(Arrival(request.at, request.webhook_id, planned.status))
        return planned

    def _planned(self, request: Request) -> PlannedResponse:
        if self.hanging:
            return hang(1)
        if self.gone:
            return PlannedResponse(410)
        if not request.verified:
            return PlannedResponse(401)
        fresh = request.webhook_id not in self._seen
        return self.first if fresh and len(self._seen) % EVERY == EVERY - 1 else ok(1)


@contextmanager
def accepting(endpoint: Endpoint) -> Iterator[Endpoint]:
    """Have an endpoint take connections for the length of the block, except while it refuses them."""
    endpoint.accept()
    try:
        yield endpoint
    finally:
        endpoint.refuse()
