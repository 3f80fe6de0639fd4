"""A loopback server that verifies every webhook in both signature schemes and responds as it is told."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

from infra.local import token_endpoint
from infra.local.token_endpoint import TokenEndpoint
from infra.local.verifying import Verifier

MAX_BODY_BYTES = 1_048_576
IDLE_SECONDS = 60.0
POLL_SECONDS = 0.05  # how soon the server notices that it is to end


@dataclass(frozen=True, slots=True)
class PlannedResponse:
    """The response to send, and after how many seconds. Without a status none is ever sent."""

    status: int | None
    delay: float = 0.0
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Request:
    """One request, with its header names in lower case, at a time in Unix seconds.

    `standard` and `classic` say whether the signatures of that scheme verified; `classic` is None where no
    secret is for it. `authorized`: whether it has a valid access token; None where none is wanted.
    """

    at: float
    headers: Mapping[str, str]
    body: bytes
    standard: bool
    classic: bool | None
    authorized: bool | None

    @property
    def webhook_id(self) -> str:
        """The id that all attempts and duplicates of one webhook share; empty if it has none."""
        return self.headers.get("webhook-id", "")

    @property
    def verified(self) -> bool:
        """Whether every signature verified."""
        return self.standard and self.classic is not False


class Responder(Protocol):
    """Decides what each request gets. It is called from many threads at once."""

    def respond(self, request: Request) -> PlannedResponse:
        """The response to a request."""


@contextmanager
def serving(server: "WebhookServer") -> Iterator["WebhookServer"]:
    """Run a server in a thread. At the end of the block its port is free and its connections are cut."""
    thread = threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,), name="receiver")
    thread.start()
    try:
        yield server
    finally:
        server.end()
        thread.join()


class WebhookServer(ThreadingHTTPServer):
    """An endpoint that verifies by `secret`, or by the `previous` one if there is one. Port 0 is any free one.

    Each may be a secret or the public key of one. With `tokens` it is a token endpoint too, at its own path, and
    wants an access token with each webhook.

    Threads that are `waited_for` are gone when the server has ended; others may still be busy with a response.
    """

    request_queue_size = 128

    def __init__(
        self,
        responder: Responder,
        secret: str,
        host: str,
        port: int = 0,
        *,
        previous: str | None = None,
        tokens: TokenEndpoint | None = None,
        waited_for: bool = True,
    ) -> None:
        super().__init__((host, port), _Handler)
        self.daemon_threads = not waited_for
        self.secret = secret
        self.responder = responder
        self.tokens = tokens
        self.closing = threading.Event()
        self._connections: set[Any] = set()
        self._lock = threading.Lock()
        self._verifiers = [Verifier(each) for each in (secret, previous) if each]
        self._classic = [each for each in self._verifiers if each.has_classic]

    def receive(self, path: str, headers: dict[str, str], body: bytes) -> PlannedResponse:
        """Verify a request and return the response to send."""
        if self.tokens and path == token_endpoint.PATH:
            status, found = self.tokens.respond(headers, body)
            return PlannedResponse(status, headers=(("Content-Type", "application/json"),), body=found)
        authorized = self.tokens.accepts(headers) if self.tokens else None
        standard = any(each.is_standard(headers, body) for each in self._verifiers)
        classic = any(each.is_classic(headers, body) for each in self._classic) if self._classic else None
        return self.responder.respond(Request(time.time(), headers, body, standard, classic, authorized))

    def end(self) -> None:
        """Stop serving, and cut every connection, so that no thread waits for another request."""
        self.closing.set()
        self.shutdown()
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            with contextlib.suppress(OSError):  # the client closed it first
                connection.shutdown(socket.SHUT_RDWR)
        self.server_close()

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


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    server: WebhookServer

    def do_POST(self) -> None:
        length = self._length()
        if length > MAX_BODY_BYTES:
            self.close_connection = True
            return
        body = self.rfile.read(length)
        headers = {name.lower(): value for name, value in self.headers.items()}
        response = self.server.receive(self.path, headers, body)
        if response.delay:
            self.server.closing.wait(response.delay)
        if response.status is None or self.server.closing.is_set():
            self.close_connection = True
            return
        self.send_response(response.status)
        for name, value in (("Content-Length", str(len(response.body))), *response.headers):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(response.body)

    def _length(self) -> int:
        written = self.headers.get("Content-Length", "")
        return int(written) if written.isdecimal() else 0

    def log_message(self, *_: object) -> None:
        """Print nothing: the responder says what is to be said."""
