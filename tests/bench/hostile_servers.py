"""Endpoints that keep a reader busy, in a process of their own."""

import contextlib
import ssl

from tests.bench.hostile import flood
from tests.support.servers import Behaviour, drips, serve

_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BEHAVIOURS: dict[str, Behaviour] = {
    "header lines of three bytes": flood(b"HTTP/1.1 200 OK\r\n", b"a:\n" * 1000),
    "interim responses": flood(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000),
    "chunks of one byte": flood(_CHUNKED, b"1\r\na\r\n" * 1000),
    "chunk extensions": flood(_CHUNKED, b"1;" + b"a" * 60_000 + b"\r\na\r\n"),
    "trailers": flood(_CHUNKED + b"2\r\nok\r\n0\r\n", b"a: b\r\n" * 1000),
    "a byte each millisecond": drips(b"HTTP/1.1 200 OK\r\nX-A: ", b"a", 0.001),
    "TLS records of one byte": drips(b"HTTP/1.1 200 OK\r\nX-A: ", b"a", 0.0),
}


class HostileServers:
    """A server for each behaviour; the last is over TLS, with `certificate`."""

    def __init__(self, certificate: str) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self._serving = contextlib.ExitStack()
        servers = [
            self._serving.enter_context(serve(behave, context if name.startswith("TLS") else None))
            for name, behave in BEHAVIOURS.items()
        ]
        self._urls = [server.url for server in servers]

    def urls(self) -> list[str]:
        """Where they are."""
        return self._urls
