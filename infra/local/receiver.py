"""Endpoints for the demo and for tests: loopback servers that record and verify every request."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields

from infra.local.webhook_server import PlannedResponse, Request, WebhookServer, serving

MAX_RECORDED = 100_000
HANG_SECONDS = 120.0  # how long a hanging endpoint leaves a request without a response

# Called with the number of times that this webhook-id has arrived, this time included.
Behaviour = Callable[[int], PlannedResponse]


def ok(_: int) -> PlannedResponse:
    """A healthy endpoint."""
    return PlannedResponse(200)


def gone(_: int) -> PlannedResponse:
    """An endpoint that was taken down for good."""
    return PlannedResponse(410)


def hang(_: int) -> PlannedResponse:
    """An endpoint that accepts a request and never responds."""
    return PlannedResponse(None, HANG_SECONDS)


def slow(seconds: float) -> Behaviour:
    """An endpoint that is healthy, but slow."""
    return lambda _: PlannedResponse(200, seconds)


def failing_first(times: int) -> Behaviour:
    """An endpoint that responds with 500 to the first `times` attempts of each webhook."""
    return lambda seen: PlannedResponse(500 if seen <= times else 200)


def busy_once(seconds: int) -> Behaviour:
    """An endpoint that responds with 503 to the first attempt of each webhook, with a Retry-After."""
    busy = PlannedResponse(503, headers=(("Retry-After", str(seconds)),))
    return lambda seen: busy if seen == 1 else PlannedResponse(200)


@dataclass(frozen=True, slots=True)
class ReceivedRequest(Request):
    """A request, and the status of its response."""

    status: int | None


@dataclass
class _Recorder:
    """Records each request, and responds as the endpoint behaves."""

    behaviour: Behaviour
    received: list[ReceivedRequest] = field(default_factory=list)
    copies: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def respond(self, request: Request) -> PlannedResponse:
        """See Responder."""
        with self._lock:
            self.copies[request.webhook_id] += 1
            response = self.behaviour(self.copies[request.webhook_id])
            if len(self.received) < MAX_RECORDED:
                named = {each.name: getattr(request, each.name) for each in fields(Request)}
                self.received.append(ReceivedRequest(**named, status=response.status))
        return response


class Receiver:
    """An endpoint at `url`; `secret` verifies what arrives."""

    def __init__(self, server: WebhookServer, recorder: _Recorder) -> None:
        self._recorder = recorder
        self.secret = server.secret
        self.url = f"http://127.0.0.1:{server.server_port}/webhook"

    @property
    def received(self) -> list[ReceivedRequest]:
        """Every request so far, in the order of arrival."""
        return self._recorder.received[:]

    @property
    def copies(self) -> Counter[str]:
        """How often each webhook-id arrived."""
        return Counter(self._recorder.copies)


@contextmanager
def receiver(behaviour: Behaviour, secret: str, host: str = "127.0.0.1") -> Iterator[Receiver]:
    """Run an endpoint on a free port. At the end of the block its port and threads are gone."""
    recorder = _Recorder(behaviour)
    with serving(WebhookServer(recorder, secret, host)) as server:
        yield Receiver(server, recorder)
