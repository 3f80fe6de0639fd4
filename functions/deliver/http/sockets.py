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
from urllib3.exceptions import ProtocolError
from urllib3.util.ssltransport import SSLTransport

from deliver.http import hub

READS_IN_A_ROW = 8
MAX_HEADER_BYTES = 131_072  # of one response, with those of the 1xx before it


@dataclass(slots=True)
class Call:
    """What the sockets know of the POST they work for; the package's docstring shows who sets what, and when."""

    deadline: float  # on the monotonic clock
    reused: bool = False
    response_began: bool = False
    eof: bool = False
    reads: int = 0
    headers_read: bool = False
    bytes_on_wire: int = 0

    def begin_request(self, *, reused: bool) -> None:
        """Note that a request goes out, on a connection that served one before or not."""
        self.reused, self.headers_read, self.bytes_on_wire = reused, False, 0

    def on_wire(self, count: int) -> None:
        """Note that bytes came over the wire, whatever they were.

        Raises:
            ProtocolError: too many before the headers ended; http.client alone would keep megabytes of them.
        """
        self.bytes_on_wire += 0 if self.headers_read else count
        if self.bytes_on_wire > MAX_HEADER_BYTES:
            raise ProtocolError(f"more than {MAX_HEADER_BYTES} bytes before the headers ended")

    def on_decrypted(self, count: int) -> None:
        """Note that bytes of a response came; none means that the connection ended."""
        self.response_began = self.response_began or count > 0
        self.eof = count == 0

    def remaining(self) -> float:
        """Seconds until the deadline.

        Raises:
            TimeoutError: it has passed.
        """
        remaining = self.deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("the deadline has passed")
        return remaining


current_call: ContextVar[Call] = ContextVar("current_call")  # each greenlet has a context of its own


class _Socket(socket.socket):
    """A socket that never blocks: every operation waits in the hub, for at most what the current call has left."""

    def settimeout(self, _: float | None) -> None:
        """Whatever urllib3 asks for, the deadline is the call's."""
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
        """How TLS reads."""
        self._give_way()
        data: bytes = self._when_ready(hub.READ, super().recv, *args)
        current_call.get().on_wire(len(data))
        return data

    def recv_into(self, *args: Any) -> int:
        """How a response without TLS is read."""
        self._give_way()
        count: int = self._when_ready(hub.READ, super().recv_into, *args)
        current_call.get().on_wire(count)
        current_call.get().on_decrypted(count)
        return count

    def sendall(self, data: Any, flags: int = 0, /) -> None:  # noqa: ARG002 - a socket's signature
        unsent = memoryview(data)
        while unsent:
            unsent = unsent[self._when_ready(hub.WRITE, super().send, unsent) :]

    def _give_way(self) -> None:
        call = current_call.get()
        call.reads += 1
        if call.reads % READS_IN_A_ROW == 0:  # a peer whose data never runs dry must not hold up the others
            hub.until(self.fileno(), hub.READ | hub.WRITE, call.remaining())

    def _when_ready(self, event: int, operation: Callable[..., Any], *args: Any) -> Any:
        """Repeat an operation until the socket is ready for it."""
        while True:
            remaining = current_call.get().remaining()
            try:
                return operation(*args)
            except BlockingIOError:
                hub.until(self.fileno(), event, remaining)


class TlsSocket(SSLTransport):
    """TLS that reads a few KiB at a time, and checks the deadline in between.

    Where OpenSSL reads by itself, it goes on for as long as a peer sends session tickets, key updates and other
    records that carry no data.
    """

    def recv_into(self, *args: Any) -> int:
        """How a response is read."""
        count: int = super().recv_into(*args)  # type: ignore[assignment]
        current_call.get().on_decrypted(count)
        return count


class TlsContext(ssl.SSLContext):
    """A context whose connections are TlsSockets.

    It resumes no sessions. Resuming saved at most 6% of the CPU of a POST on a new connection (with RSA
    certificates; 1% with ECDSA), added 12% to a host's first one, and was state that tenants of one host share.
    """

    def __new__(cls) -> Self:
        """See SSLContext, which takes its protocol here."""
        context = super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context

    def wrap_socket(self, sock: socket.socket, *_: Any, server_hostname: Any = None, **__: Any) -> Any:
        """Connected TLS, which is no SSLSocket."""
        return TlsSocket(sock, self, server_hostname)


def tls_context(authorities: str | None = None) -> TlsContext:
    """The one TLS context of a process: loading the authorities costs more CPU than the rest of its start."""
    context = TlsContext()
    context.load_verify_locations(authorities or certifi.where())
    return context


def connect_first(addresses: list[Any]) -> socket.socket:
    """Connect to the first address that accepts, within what the current call has left.

    Raises:
        OSError: none did; the last one's error.
    """
    for position, (family, kind, protocol, _, address) in enumerate(addresses):
        connection = _Socket(family, kind, protocol)
        try:
            # An address that swallows packets leaves time for those after it.
            connection.connect_within(address, current_call.get().remaining() / (len(addresses) - position))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            connection.close()
            if position == len(addresses) - 1:
                raise
        else:
            return connection
    raise OSError("the name has no addresses")
