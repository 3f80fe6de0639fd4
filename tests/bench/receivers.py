"""Endpoints for the bench: one asyncio process with many ports, so fast that it does not distort a measurement.

An endpoint's behaviour is in its path: /<behaviour>/<milliseconds before the response>/<app>.
"""

import asyncio
import re
import ssl
import threading
import time
from dataclasses import dataclass, field

BURST_SECONDS, CYCLE_SECONDS = 10.0, 45.0  # for so long in each cycle an endpoint is slow that is so in bursts

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_ID = re.compile(rb"webhook-id: *(\S+)", re.IGNORECASE)
_SENT = re.compile(rb'"sent":([0-9.]+)')

_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_CLOSE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
_FAILED = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 6\r\n\r\nbroken"
_FAILING = b'"fails_once":true'


@dataclass
class Arrivals:
    """The requests so far: (app, seconds from send to receipt) of those with a send time, and ids that failed."""

    arrivals: list[tuple[str, float]] = field(default_factory=list)
    failed: set[bytes] = field(default_factory=set)
    requests: int = 0
    hushed: bool = False


class Receivers:
    """The endpoints, on loopback. `plain` and `tls` are the numbers of ports."""

    def __init__(self, plain: int, tls: int, certificate: str) -> None:
        self._seen = Arrivals()
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._plain = self._open(plain, None)
        self._tls = self._open(tls, _context(certificate))

    def ports(self) -> tuple[list[int], list[int]]:
        """The ports, plain and TLS."""
        return self._plain, self._tls

    def take(self) -> tuple[list[tuple[str, float]], int]:
        """The arrivals and the number of requests since the last call."""
        taken, requests = self._seen.arrivals, self._seen.requests
        self._seen.arrivals, self._seen.requests = [], 0
        return taken, requests

    def hush(self, on: bool) -> None:
        """Read what comes and send nothing, as if the network lost it; while `on`."""
        self._seen.hushed = on

    def _open(self, number: int, context: ssl.SSLContext | None) -> list[int]:
        opening = asyncio.run_coroutine_threadsafe(self._listen(number, context), self._loop)
        return opening.result()

    async def _listen(self, number: int, context: ssl.SSLContext | None) -> list[int]:
        servers = [
            await self._loop.create_server(
                lambda: _Hook(self._seen, self._loop), "127.0.0.1", 0, ssl=context, backlog=1024
            )
            for _ in range(number)
        ]
        return [server.sockets[0].getsockname()[1] for server in servers]


def _context(certificate: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.num_tickets = 0  # as with many hosts: the sender has no TLS session to resume
    return context


class _Hook(asyncio.Protocol):
    def __init__(self, seen: Arrivals, loop: asyncio.AbstractEventLoop) -> None:
        self._seen = seen
        self._loop = loop
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, mark, body = self._data.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if mark and length and len(body) >= int(length[1]):
            self._data = b""
            self._take(head, body)

    def _take(self, head: bytes, body: bytes) -> None:
        _, behaviour, milliseconds, app = head.split(b" ", 2)[1].split(b"/")
        if self._seen.hushed:
            return
        self._seen.requests += 1
        if sent := _SENT.search(body[:200]):
            self._seen.arrivals.append((app.decode(), time.time() - float(sent[1])))
        if behaviour != b"hang":
            response = self._choose(behaviour, head, body)
            quick = behaviour == b"bursts" and time.time() % CYCLE_SECONDS >= BURST_SECONDS
            self._respond(response, 0.0 if quick else int(milliseconds) / 1000)

    def _choose(self, behaviour: bytes, head: bytes, body: bytes) -> bytes:
        if behaviour == b"close":
            return _CLOSE
        if behaviour == b"fail":
            return _FAILED
        name = _ID.search(head)
        if name and _FAILING in body and name[1] not in self._seen.failed:
            self._seen.failed.add(name[1])
            return _FAILED
        return _OK

    def _respond(self, response: bytes, seconds: float) -> None:
        if seconds:
            self._loop.call_later(seconds, self._write, response)
        else:
            self._write(response)

    def _write(self, response: bytes) -> None:
        self._transport.write(response)
        if response is _CLOSE:
            self._transport.close()
