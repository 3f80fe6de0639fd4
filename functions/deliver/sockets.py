"""Sockets that know the deadline of the attempt they work for.

No timeout of requests or urllib3 bounds the wall clock, because each covers one socket operation. Here every
operation gets the time that is left, so the sum is bounded: connect, TLS, headers and body.
"""

import socket
import ssl
import time
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Self

import certifi
from cachetools import LRUCache

SESSIONS = 2048


@dataclass(slots=True)
class Call:
    """What the sockets know of the request they work for."""

    deadline: float
    reused: bool = False
    received: bool = False
    ended: bool = False

    def left(self) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        return left


current_call: ContextVar[Call] = ContextVar("current_call")


class _Timed:
    """A socket whose every operation gets the time that the current call has left."""

    def recv_into(self, *args: Any) -> int:
        call = current_call.get()
        self.settimeout(call.left())  # type: ignore[attr-defined]
        count: int = super().recv_into(*args)  # type: ignore[misc]
        call.received = call.received or count > 0
        call.ended = count == 0
        return count

    def send(self, *args: Any) -> int:
        self.settimeout(current_call.get().left())  # type: ignore[attr-defined]
        count: int = super().send(*args)  # type: ignore[misc]
        return count

    def sendall(self, *args: Any) -> None:
        self.settimeout(current_call.get().left())  # type: ignore[attr-defined]
        super().sendall(*args)  # type: ignore[misc]


class _PlainSocket(_Timed, socket.socket):
    pass


class _TlsSocket(_Timed, ssl.SSLSocket):
    pass


class TlsContext(ssl.SSLContext):
    """A context that resumes sessions with hosts that it connects to again and again."""

    sessions: LRUCache[tuple[str, int], ssl.SSLSession | None]

    def __new__(cls) -> Self:
        """See SSLContext, which is made there."""
        made = super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        made.sslsocket_class = _TlsSocket
        made.sessions = LRUCache(SESSIONS)
        return made

    def wrap_socket(self, sock: socket.socket, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        """With the session that the same name and port gave before."""
        kwargs["session"] = self.sessions.get((str(kwargs.get("server_hostname")), sock.getpeername()[1]))
        return super().wrap_socket(sock, *args, **kwargs)

    def remember(self, sock: ssl.SSLSocket) -> None:
        """Keep a connection's session; of TLS 1.3 there is one only after the first answer.

        Not at a host's first connection: copying a session out costs a seventh of a handshake, and most hosts
        keep their one connection alive.
        """
        key = str(sock.server_hostname), sock.getpeername()[1]
        self.sessions[key] = sock.session if key in self.sessions else None


def tls_context(authorities: str | None = None) -> TlsContext:
    """The one TLS context of a process: loading the authorities costs more CPU than all else together."""
    context = TlsContext()
    context.load_verify_locations(authorities or certifi.where())
    return context


def connect_first(addresses: list[Any]) -> socket.socket:
    for tried, (family, kind, protocol, _, address) in enumerate(addresses):
        connection = _PlainSocket(family, kind, protocol)
        try:
            # An address that swallows packets leaves time for those after it.
            connection.settimeout(current_call.get().left() / (len(addresses) - tried))
            connection.connect(address)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.settimeout(current_call.get().left())  # the TLS handshake's
        except OSError:
            connection.close()
            if tried == len(addresses) - 1:
                raise
        else:
            return connection
    raise OSError("the name has no addresses")
