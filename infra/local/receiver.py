"""Endpoints for demo and tests: loopback servers that keep and verify whatever arrives."""

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
MAX_KEPT = 100_000
MAX_BUFFERED_SECONDS = 120.0  # how long a request may be left without an answer
IDLE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Reply:
    """What to answer, and after how many seconds; status None never answers."""

    status: int | None
    after: float = 0.0
    headers: tuple[tuple[str, str], ...] = ()


# Given how often this webhook-id has come, this time included.
Behaviour = Callable[[int], Reply]


def ok(_: int) -> Reply:
    """A healthy endpoint."""
    return Reply(200)


def gone(_: int) -> Reply:
    """An endpoint that was taken down for good."""
    return Reply(410)


def hang(_: int) -> Reply:
    """Accepts the request and never answers."""
    return Reply(None, MAX_BUFFERED_SECONDS)


def slow(seconds: float) -> Behaviour:
    """Healthy, but takes its time."""
    return lambda _: Reply(200, seconds)


def failing_first(times: int) -> Behaviour:
    """Answers 500 to each webhook's first `times` attempts."""
    return lambda seen: Reply(500 if seen <= times else 200)


def busy_once(seconds: int) -> Behaviour:
    """Answers 503 to each webhook's first attempt, and asks not to be tried again for so long."""
    busy = Reply(503, headers=(("Retry-After", str(seconds)),))
    return lambda seen: busy if seen == 1 else Reply(200)


@dataclass(frozen=True, slots=True)
class Received:
    """One request; `standard` and `classic` say whether its signatures verified."""

    at: float
    headers: dict[str, str]
    body: bytes
    standard: bool
    classic: bool
    status: int | None

    @property
    def webhook_id(self) -> str:
        """The same for every copy and attempt of one webhook."""
        return self.headers["webhook-id"]

    @property
    def verified(self) -> bool:
        """Whether both signatures verified."""
        return self.standard and self.classic


class Receiver:
    """An endpoint at `url` that behaves as told; `secret` verifies what arrives."""

    def __init__(self, server: "_Server") -> None:
        self._server = server
        self.url = f"http://127.0.0.1:{server.server_port}/webhook"

    @property
    def secret(self) -> str:
        """The app's signing secret."""
        return self._server.secret

    @property
    def received(self) -> list[Received]:
        """Every request so far, in the order of arrival."""
        return self._server.received[:]

    @property
    def copies(self) -> Counter[str]:
        """How often each webhook-id came."""
        return Counter(self._server.copies)


@contextmanager
def receiver(behaviour: Behaviour, secret: str, host: str = "127.0.0.1") -> Iterator[Receiver]:
    """Run an endpoint on a free port; at the end of the block its port and threads are gone."""
    server = _Server(behaviour, secret, host)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="receiver")
    thread.start()
    try:
        yield Receiver(server)
    finally:
        server.closing.set()
        server.shutdown()
        server.hang_up()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # so that closing waits for them
    request_queue_size = 128

    def __init__(self, behaviour: Behaviour, secret: str, host: str) -> None:
        super().__init__((host, 0), _Handler)
        self.behaviour = behaviour
        self.secret = secret
        self.received: list[Received] = []
        self.copies: Counter[str] = Counter()
        self.closing = threading.Event()
        self._connections: set[Any] = set()
        self._lock = threading.Lock()
        key = base64.b64encode(secret.encode()).decode()
        self._webhook = Webhook(f"whsec_{key}")

    def take(self, headers: dict[str, str], body: bytes) -> Reply:
        """Keep a request; what to answer it."""
        standard, classic = self._standard(headers, body), self._classic(headers, body)
        with self._lock:
            self.copies[headers["webhook-id"]] += 1
            reply = self.behaviour(self.copies[headers["webhook-id"]])
            if len(self.received) < MAX_KEPT:
                self.received.append(Received(time.time(), headers, body, standard, classic, reply.status))
        return reply

    def hang_up(self) -> None:
        """Cut every connection, so that no thread goes on waiting for a request."""
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            with contextlib.suppress(OSError):  # the client was quicker
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
        """Say nothing: clients that give up on a hanging endpoint are what it is for."""

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
        reply = self.server.take({name.lower(): value for name, value in self.headers.items()}, body)
        if reply.after:
            self.server.closing.wait(reply.after)
        if reply.status is None or self.server.closing.is_set():
            self.close_connection = True
            return
        self.send_response(reply.status)
        for name, value in (("Content-Length", "0"), *reply.headers):
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """What arrives is kept, not printed."""
