"""Loopback servers that misbehave as a test asks, plain and TLS."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import trustme

Behaviour = Callable[[socket.socket, threading.Event], None]


@dataclass
class Server:
    """A server's address, and how many connections it has accepted."""

    port: int
    scheme: str = "http"
    accepted: int = 0

    @property
    def url(self) -> str:
        return f"{self.scheme}://localhost:{self.port}/hook"


@contextlib.contextmanager
def serve(behave: Behaviour, context: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Run `behave(connection, over)` in a thread for each connection. `over` is set when the block ends."""
    over, threads = threading.Event(), []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        server = Server(listener.getsockname()[1], "https" if context else "http")

        def handle(connection: socket.socket) -> None:
            with contextlib.suppress(OSError), connection:
                if context:
                    connection = context.wrap_socket(connection, server_side=True)
                with connection:
                    behave(connection, over)

        def accept() -> None:
            while not over.is_set():
                with contextlib.suppress(TimeoutError):
                    connection, _ = listener.accept()
                    connection.settimeout(5)
                    server.accepted += 1
                    threads.append(threading.Thread(target=handle, args=(connection,)))
                    threads[-1].start()

        acceptor = threading.Thread(target=accept)
        acceptor.start()
        try:
            yield server
        finally:
            over.set()
            acceptor.join()
            for thread in threads:
                thread.join()


def read_request(connection: socket.socket) -> bytes:
    """One whole request, or the part that arrived before the peer closed."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (more := connection.recv(65_536)):
            return data
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(int(v) for k, _, v in (h.partition(b":") for h in head.split(b"\r\n")) if k == b"Content-Length")
    while len(body) < length:
        body += connection.recv(65_536)
    return head + b"\r\n\r\n" + body


def responds_with(*responses: bytes) -> Behaviour:
    """Send one response for each request on the connection, in this order, then close."""

    def behave(connection: socket.socket, over: threading.Event) -> None:
        for response in responses:
            if not read_request(connection):
                return
            connection.sendall(response)

    return behave


def drips(head: bytes, drop: bytes, seconds: float = 0.05) -> Behaviour:
    """Read a request, send `head`, then `drop` every `seconds` until the test is over."""

    def behave(connection: socket.socket, over: threading.Event) -> None:
        read_request(connection)
        connection.sendall(head)
        while not over.wait(seconds):
            connection.sendall(drop)

    return behave


def silent(connection: socket.socket, over: threading.Event) -> None:
    """Accept the connection and never send anything."""
    over.wait()


def certificates() -> tuple[ssl.SSLContext, str]:
    """A server context for localhost, and its authority's certificate as PEM."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context, authority.cert_pem.bytes().decode()
