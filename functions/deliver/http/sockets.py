"""Sockets that know the deadline of the attempt they work for.

No timeout of requests or urllib3 bounds the wall clock, because each covers one socket operation. Here every
operation gets the time that is left, so the sum is bounded: connect, TLS, headers and body.
"""

import errno
import os
import socket
import ssl
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Self

import certifi
from cachetools import LRUCache
from urllib3.exceptions import ProtocolError
from urllib3.util.ssltransport import SSLTransport

from deliver.http import hub

SESSIONS = 2048
READS_IN_A_ROW = 8
MAX_HEADER_BYTES = 131_072  # of one response, with those of the 1xx before it


@dataclass(slots=True)
class Call:
    """What the sockets know of the request they work for."""

    deadline: float
    reused: bool = False
    received: bool = False
    ended: bool = False
    reads: int = 0
    answered: bool = False
    header_bytes: int = 0

    def begin(self, *, reused: bool) -> None:
        """A request goes out on a connection that served one before, or not."""
        self.reused, self.answered, self.header_bytes = reused, False, 0

    def came(self, count: int) -> None:
        """So many bytes came over the wire, whatever they were.

        Raises:
            ProtocolError: too many before the headers ended; http.client alone would keep megabytes of them.
        """
        self.header_bytes += 0 if self.answered else count
        if self.header_bytes > MAX_HEADER_BYTES:
            raise ProtocolError(f"more than {MAX_HEADER_BYTES} bytes before the headers ended")

    def took(self, count: int) -> None:
        """So many bytes of an answer came; none: it has ended."""
        self.received = self.received or count > 0
        self.ended = count == 0

    def left(self) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline has passed")
        return left


current_call: ContextVar[Call] = ContextVar("current_call")


class _Socket(socket.socket):
    """A socket that never blocks: every operation waits, as a hub does, for what the current call has left."""

    def settimeout(self, _: float | None) -> None:
        """Whatever urllib3 wants here, the deadline is the call's."""
        if self.gettimeout() != 0.0:
            super().settimeout(0.0)

    def connect_within(self, address: Any, seconds: float) -> None:
        self.settimeout(0.0)
        error = self.connect_ex(address)
        if error == errno.EINPROGRESS:
            hub.until(self.fileno(), hub.WRITE, seconds)
            error = self.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))

    def recv(self, *args: Any) -> bytes:
        """What TLS reads."""
        self._give_way()
        data: bytes = self._wait_for(hub.READ, super().recv, *args)
        current_call.get().came(len(data))
        return data

    def recv_into(self, *args: Any) -> int:
        """What an answer without TLS is read by."""
        self._give_way()
        count: int = self._wait_for(hub.READ, super().recv_into, *args)
        current_call.get().came(count)
        current_call.get().took(count)
        return count

    def sendall(self, data: Any, flags: int = 0, /) -> None:  # noqa: ARG002 - a socket's signature
        left = memoryview(data)
        while left:
            left = left[self._wait_for(hub.WRITE, super().send, left) :]

    def _give_way(self) -> None:
        call = current_call.get()
        call.reads += 1
        if call.reads % READS_IN_A_ROW == 0:  # a peer whose data never runs dry: let the others go on
            hub.until(self.fileno(), hub.READ | hub.WRITE, call.left())

    def _wait_for(self, event: int, operation: Callable[..., Any], *args: Any) -> Any:
        """Repeat an operation until the socket is ready for it."""
        while True:
            left = current_call.get().left()
            try:
                return operation(*args)
            except BlockingIOError:
                hub.until(self.fileno(), event, left)


class TlsSocket(SSLTransport):
    """TLS that reads a few KiB at a time, and looks at the deadline in between.

    Reading by itself, OpenSSL goes on for as long as a peer sends what is no data: session tickets, key updates.
    """

    def recv_into(self, *args: Any) -> int:
        """What an answer is read by."""
        count: int = super().recv_into(*args)  # type: ignore[assignment]
        current_call.get().took(count)
        return count


class TlsContext(ssl.SSLContext):
    """A context that resumes sessions with hosts that it connects to again and again."""

    sessions: LRUCache[str, ssl.SSLSession | None]
    barren: LRUCache[str, bool]

    def __new__(cls) -> Self:
        """See SSLContext, which is made there."""
        made = super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        made.sessions = LRUCache(SESSIONS)
        made.barren = LRUCache(SESSIONS)
        return made

    def wrap_socket(self, sock: socket.socket, *_: Any, server_hostname: Any = None, **__: Any) -> Any:
        """Connected TLS, which is no SSLSocket."""
        return TlsSocket(sock, self, server_hostname)

    def wrap_bio(self, incoming: Any, outgoing: Any, *_: Any, server_hostname: Any = None, **__: Any) -> Any:
        """With the session that the same name gave before."""
        session = self.sessions.get(str(server_hostname))
        return super().wrap_bio(incoming, outgoing, server_hostname=server_hostname, session=session)

    def remember(self, tls: ssl.SSLObject) -> None:
        """Keep a connection's session; of TLS 1.3 there is one only after the first response.

        Not at a host's first connection: copying a session out costs a quarter of a handshake, and most hosts
        keep their one connection alive. Never again where it turned out that there is nothing to resume by.
        """
        name = str(tls.server_hostname)
        if name not in self.sessions:
            self.sessions[name] = None
        elif name not in self.barren:
            self._keep(name, tls.session)

    def _keep(self, name: str, session: ssl.SSLSession | None) -> None:
        if session and (session.has_ticket or session.id):
            self.sessions[name] = session
        else:
            self.barren[name] = True


def tls_context(authorities: str | None = None) -> TlsContext:
    """The one TLS context of a process: loading the authorities costs more CPU than all else together."""
    context = TlsContext()
    context.load_verify_locations(authorities or certifi.where())
    return context


def connect_first(addresses: list[Any]) -> socket.socket:
    for tried, (family, kind, protocol, _, address) in enumerate(addresses):
        connection = _Socket(family, kind, protocol)
        try:
            # An address that swallows packets leaves time for those after it.
            connection.connect_within(address, current_call.get().left() / (len(addresses) - tried))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            connection.close()
            if tried == len(addresses) - 1:
                raise
        else:
            return connection
    raise OSError("the name has no addresses")
