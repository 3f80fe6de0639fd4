"""Endpoints for the demo and for tests: loopback servers that record and verify every request."""

import base64
import contextlib
import hashlib
import hmac
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

MAX_BODY_BYTES = 1_048_576
MAX_RECORDED = 100_000
HANG_SECONDS = 120.0  # how long a hanging endpoint leaves a request without a response
IDLE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class PlannedResponse:
    """The response to send, and after how many seconds. Without a status none is ever sent."""

    status: int | None
    delay: float = 0.0
    headers: tuple[tuple[str, str], ...] = ()


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
class ReceivedRequest:
    """One request. `standard` and `classic` say whether the signatures of that scheme verified."""

    at: float
    headers: dict[str, str]
    body: bytes
    standard: bool
    classic: bool
    status: int | None

    @property
    def webhook_id(self) -> str:
        """The id that all attempts and duplicates of one webhook share."""
        return self.headers["webhook-id"]

    @property
    def verified(self) -> bool:
        """Whether both signatures verified."""
        return self.standard and self.classic


class Receiver:
    """An endpoint at `url`; `secret` verifies what arrives."""

    def __init__(self, server: "_Server") -> None:
        self._server = server
        self.url = f"http://127.0.0.1:{server.server_port}/webhook"

    @property
    def secret(self) -> str:
        """The app's signing secret."""
        return self._server.secret

    @property
    def received(self) -> list[ReceivedRequest]:
        """Every request so far, in the order of arrival."""
        return self._server.received[:]

    @property
    def copies(self) -> Counter[str]:
        """How often each webhook-id arrived."""
        return Counter(self._server.copies)


@contextmanager
def receiver(behaviour: Behaviour, secret: str, host: str = "127.0.0.1") -> Iterator[Receiver]:
    """Run an endpoint on a free port. At the end of the block its port and threads are gone."""
    server = _Server(behaviour, secret, host)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="receiver")
    thread.start()
    try:
        yield Receiver(server)
    finally:
        server.closing.set()
        server.shutdown()
        server.cut_connections()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # so that server_close waits for the threads
    request_queue_size = 128

    def __init__(self, behaviour: Behaviour, secret: str, host: str) -> None:
        super().__init__((host, 0), _Handler)
        self.behaviour = behaviour
        self.secret = secret
        self.received: list[ReceivedRequest] = []
        self.copies: Counter[str] = Counter()
        self.closing = threading.Event()
        self._connections: set[Any] = set()
        self._lock = threading.Lock()
        key = base64.b64encode(secret.encode()).decode()
        self._webhook = Webhook(f"whsec_{key}")

    def record(self, headers: dict[str, str], body: bytes) -> PlannedResponse:
        """Record a request and return the response to send."""
        standard, classic = self._standard(headers, body), self._classic(headers, body)
        with self._lock:
            self.copies[headers["webhook-id"]] += 1
            response = self.behaviour(self.copies[headers["webhook-id"]])
            if len(self.received) < MAX_RECORDED:
                request = ReceivedRequest(time.time(), headers, body, standard, classic, response.status)
                self.received.append(request)
        return response

    def cut_connections(self) -> None:
        """Cut every connection, so that no thread waits for another request."""
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            with contextlib.suppress(OSError):  # the client closed it first
                connection.shutdown(socket.SHUT_RDWR)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: that clients give up on a hanging endpoint is expected."""

    def _standard(self, headers: dict[str, str], body: bytes) -> bool:
        try:
            self._webhook.verify(body, headers)
        except WebhookVerificationError:
            return False
        return True

    def _classic(self, headers: dict[str, str], body: bytes) -> bool:
        expected = hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()
        return hmac.compare_digest(expected, headers.get("sentry-hook-signature", ""))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    server: _Server

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        if length > MAX_BODY_BYTES:
            self.close_connection = True
            return
        body = self.rfile.read(length)
        response = self.server.record({name.lower(): value for name, value in self.headers.items()}, body)
        if response.delay:
            self.server.closing.wait(response.delay)
        if response.status is None or self.server.closing.is_set():
            self.close_connection = True
            return
        self.send_response(response.status)
        for name, value in (("Content-Length", "0"), *response.headers):
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing: requests are recorded."""
