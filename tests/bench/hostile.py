"""How far an attempt exceeds its deadline, whatever its endpoint does, plain and over TLS."""

import socket
import ssl
import struct
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deliver.http.guard import EndpointPolicy
from deliver.http.response import Response
from deliver.http.sockets import tls_context
from deliver.http.transport import Transport
from tests.bench.rig import Rig
from tests.support import servers
from tests.support.servers import Behaviour, drips, responds_with, serve, silent

DEADLINE_SECONDS = 0.5
ROUNDS = 3
GZIP_HEAD = b"HTTP/1.1 500 Oops\r\nContent-Encoding: gzip\r\nContent-Length: 4098\r\n\r\n"
BOMB = b"\x1f\x8b" + b"\0" * 4096


def flood(head: bytes, drop: bytes) -> Behaviour:
    """Read a request, send `head`, then `drop` as fast as the peer reads."""

    def behave(connection: socket.socket, over: threading.Event) -> None:
        servers.read_request(connection)
        connection.sendall(head)
        while not over.is_set():
            connection.sendall(drop)

    return behave


def reset(connection: socket.socket, over: threading.Event) -> None:
    """Read a request and reset the connection."""
    servers.read_request(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


BEHAVIOURS: dict[str, Behaviour] = {
    "sends nothing": silent,
    "drips headers": drips(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"),
    "drips the body": drips(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"."),
    "endless headers": flood(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n" * 1000),
    "endless 100 Continue": flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    "10 GB body": flood(b"HTTP/1.1 500 Oops\r\nContent-Length: 10737418240\r\n\r\n", b"x" * 65_536),
    "gzip bomb": responds_with(GZIP_HEAD + BOMB),
    "truncated headers": responds_with(b"HTTP/1.1 200 OK\r\nX-A: b"),
    "invalid UTF-8": responds_with(b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\n\xff\xfe\xff\xfe"),
    "redirect to itself": responds_with(b"HTTP/1.1 302 Found\r\nLocation: /hook\r\nContent-Length: 0\r\n\r\n"),
    "closes mid-body": responds_with(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 100\r\n\r\nhalf"),
    "resets": reset,
}


def measure(_: Rig, on_progress: Callable[[str], None]) -> dict[str, Any]:
    """For each behaviour: the attempt's result, and the most milliseconds that it exceeded its deadline by."""
    on_progress("hostile endpoints")
    context, authority = servers.certificates()
    with tempfile.TemporaryDirectory(prefix="bellhop-") as directory:
        (Path(directory) / "authority.pem").write_text(authority)
        trusted = tls_context(str(Path(directory) / "authority.pem"))
    transport = Transport(EndpointPolicy(http=True, private=True, ports=None), trusted)
    results = {
        f"{name}, {'TLS' if tls else 'plain'}": _worst(transport, behave, tls)
        for name, behave in BEHAVIOURS.items()
        for tls in (None, context)
    }
    results["stalls in the TLS handshake"] = _worst(transport, silent, None, scheme="https")
    transport.close()
    return results


def _worst(
    transport: Transport, behave: Behaviour, context: ssl.SSLContext | None, scheme: str | None = None
) -> dict[str, Any]:
    with serve(behave, context) as server:
        url = server.url if scheme is None else f"{scheme}://localhost:{server.port}/"
        rounds = [_once(transport, url) for _ in range(ROUNDS)]
    return {"result": rounds[0][0], "beyond_ms": max(beyond for _, beyond in rounds)}


def _once(transport: Transport, url: str) -> tuple[str, float]:
    began = time.monotonic()
    outcome = transport.post("app", url, {"Content-Type": "application/json"}, b"{}", DEADLINE_SECONDS)
    beyond = max(0.0, time.monotonic() - began - DEADLINE_SECONDS) * 1000
    return f"http_{outcome.status}" if isinstance(outcome, Response) else outcome.kind, beyond
