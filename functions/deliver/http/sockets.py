"""Sockets that know the deadline of the attempt they work for.

No timeout of requests or urllib3 bounds the wall clock, because each covers one socket operation. Here every
operation gets the time that is left, so the sum is bounded: connect, TLS, headers and body.
"""

import errno
import os
import selectors
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable
from contextlib import closing, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Self

import certifi
from urllib3.util.ssltransport import SSLTransport

from deliver.http import faults, hub
from deliver.http.faults import BudgetExceededError

# The budget of one attempt. It bounds the CPU that an endpoint can take from the others of its batch: each read
# costs some 10 to 30 microseconds, however little it brings, and there is one thread for all.
MAX_READS = 600  # of a socket, and of TLS: a response needs less than ten
# A chain has a few certificates of 1 to 2 KiB. OpenSSL would take 100 KiB, and each KiB of certificates that lead
# nowhere costs 0.7 ms of CPU.
MAX_HANDSHAKE_BYTES = 16_384
_HANDSHAKE = MAX_HANDSHAKE_BYTES, "in a TLS handshake"
# Of CPU, in OpenSSL: a handshake with RSA keys of 4096 bits takes 3 ms; as many key updates as fit into the bytes
# before the headers end, 270.
MAX_TLS_SECONDS = 0.02
MAX_HEADER_BYTES = 131_072  # of one response, with those of the 1xx before it
# After the headers: twice the body that is read. The rest is what frames it, such as chunk extensions, trailers
# and TLS records that carry no data.
MAX_BODY_BYTES = 131_072

READS_IN_A_ROW = 8
# After so many reads, each waits a moment first, and longer after as many again. What drips in meanwhile is read
# at once, and the others go on. So who sends a byte each millisecond for ten seconds is read 200 times, no more.
FREE_READS = 32
PAUSE_SECONDS = 0.02

NEXT_ADDRESS_SECONDS = 0.25  # RFC 8305 section 5: after which the next address is tried beside the one before
# Addresses of a name at once; each holds a descriptor. The one that began first is given up for the next: after a
# second, when its first packet was lost, or is not going to be responded to.
RACING = 4


@dataclass(slots=True)
class Call:
    """What the sockets know of the POST they work for; the package's docstring shows who sets what, and when."""

    deadline: float  # on the monotonic clock
    app_id: str = ""  # whose POST it is
    reused: bool = False
    response_began: bool = False
    eof: bool = False
    reads: int = 0
    headers_read: bool = False
    unframed: bool = False
    peeking: bool = False
    unread: bool = False
    bytes_on_wire: int = 0
    tls_seconds: float = 0.0
    phase: tuple[int, str] = _HANDSHAKE  # how many bytes may be on the wire, and where

    def begin_connection(self) -> None:
        """Note that a new connection is made, perhaps after a kept one had been closed."""
        self._begin(*_HANDSHAKE)

    def begin_request(self, *, reused: bool) -> None:
        """Note that a request goes out, on a connection that served one before or not."""
        self.reused, self.headers_read, self.unframed, self.unread = reused, False, False, False
        self._begin(MAX_HEADER_BYTES, "before the headers ended")

    def end_headers(self) -> None:
        """Note that the status and headers are there."""
        self.headers_read = True
        self._begin(MAX_BODY_BYTES, "around a body")

    def _begin(self, most: int, where: str) -> None:
        self.bytes_on_wire, self.phase = 0, (most, where)

    def on_read(self) -> None:
        """Note that bytes are about to be read, from a socket or out of TLS.

        Raises:
            BudgetExceededError: too often.
        """
        self.reads += 1
        if self.reads > MAX_READS:
            raise BudgetExceededError(f"the response came in more than {MAX_READS} pieces")

    def check_tls(self) -> None:
        """Check how much CPU OpenSSL took.

        Raises:
            BudgetExceededError: too much.
        """
        if self.tls_seconds > MAX_TLS_SECONDS:
            raise BudgetExceededError(f"TLS took {self.tls_seconds:.2f} seconds of CPU")

    def pause(self) -> None:
        """Let the others go on before the next read."""
        hub.pause(min(PAUSE_SECONDS * (self.reads // FREE_READS), self.remaining()))

    def room(self, wanted: int) -> int:
        """How many of the bytes that a reader has room for may come over the wire.

        So the budget ends where it says, however large the reader's buffer is: Python 3.14 made it 128 KiB. And a
        body that a large buffer takes in together with the headers is not counted as too many of them.

        Raises:
            BudgetExceededError: none; http.client alone would keep megabytes.
        """
        most, where = self.phase
        if self.bytes_on_wire >= most:
            raise BudgetExceededError(f"more than {most} bytes {where}")
        return min(wanted, most - self.bytes_on_wire)

    def on_wire(self, count: int) -> None:
        """Note that bytes came over the wire, whatever they were."""
        self.bytes_on_wire += count

    def on_decrypted(self, count: int) -> None:
        """Note that bytes of a response came; none means that the connection ended."""
        self.response_began = self.response_began or count > 0
        self.eof = count == 0

    def check_reading(self) -> None:
        """Refuse to read while a reader is asked what it has already.

        Raises:
            BlockingIOError: it has nothing more, and is not to ask the socket.
        """
        if self.peeking:
            raise BlockingIOError(errno.EAGAIN, "nothing more is there yet")

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


class Socket(socket.socket):
    """A socket that never blocks: every operation waits in the hub, for at most what the current call has left."""

    def settimeout(self, _: float | None) -> None:
        """Whatever urllib3 asks for, the deadline is the call's."""
        if self.gettimeout() != 0.0:
            super().settimeout(0.0)

    def begin_connect(self, address: Any) -> bool:
        """Whether the address has accepted already; it may do so later."""
        self.settimeout(0.0)
        self.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        error = self.connect_ex(address)
        if error not in {0, errno.EINPROGRESS}:
            raise OSError(error, os.strerror(error))
        return error == 0

    def finish_connect(self) -> None:
        """Raise what became of a connect that began, unless the address accepted."""
        error = self.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error in {errno.ENETUNREACH, errno.EACCES, errno.EPERM}:
            # A router or firewall on the way said so. What this host forbids fails as the connect begins.
            error = errno.EHOSTUNREACH
        if error:
            raise OSError(error, os.strerror(error))

    def give_up_unacknowledged_after(self, seconds: float) -> None:
        """Let the connection fail if the peer's host does not acknowledge for so long what is sent.

        A host acknowledges at once, however long its program takes to respond. So silence says that the network,
        or the host, has forgotten the connection.
        """
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; elsewhere, where nothing is deployed, it has the deadline
            self.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, max(1, round(seconds * 1000)))

    def recv(self, size: int, *flags: int) -> bytes:
        """How TLS reads."""
        call = current_call.get()
        self._before_read()
        data: bytes = self._when_ready(hub.READ, super().recv, call.room(size), *flags)
        call.on_wire(len(data))
        return data

    def recv_into(self, buffer: Any, size: int = 0, *flags: int) -> int:
        """How a response without TLS is read."""
        call = current_call.get()
        call.check_reading()
        self._before_read()
        count: int = self._when_ready(hub.READ, super().recv_into, buffer, call.room(size or len(buffer)), *flags)
        call.on_wire(count)
        call.on_decrypted(count)
        return count

    def sendall(self, data: Any, flags: int = 0, /) -> None:  # noqa: ARG002 - a socket's signature
        unsent = memoryview(data)
        while unsent:
            unsent = unsent[self._when_ready(hub.WRITE, super().send, unsent) :]

    def _before_read(self) -> None:
        call = current_call.get()
        call.on_read()
        if call.reads > FREE_READS:
            call.pause()
        elif call.reads % READS_IN_A_ROW == 0:  # a peer whose data never runs dry must not hold up the others
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
        call = current_call.get()
        call.check_reading()
        call.on_read()
        if call.reads % FREE_READS == 0:  # one read of the socket may have brought hundreds of records of a byte
            call.pause()
        count: int = super().recv_into(*args)  # type: ignore[assignment]
        call.on_decrypted(count)
        return count

    @property
    def unread(self) -> bool:
        """Whether bytes came that nobody asked for, and are not in the socket any more, where a poll sees them."""
        return bool(self.sslobj.pending() or self.incoming.pending)


class _TlsObject(ssl.SSLObject):
    """OpenSSL, which may take so much CPU for one attempt.

    Policy: what a server makes us calculate is known only afterwards. It may ask for a costly handshake, and send
    tickets and key updates at any time, each of which is a calculation. So what was too much ends the attempt.
    """

    def do_handshake(self) -> None:
        """Go on with the handshake, within the budget."""
        self._measured(super().do_handshake)

    def read(self, *args: Any) -> Any:
        """Decrypt what has come, within the budget."""
        return self._measured(super().read, *args)

    @staticmethod
    def _measured(operation: Callable[..., Any], *args: Any) -> Any:
        call, before = current_call.get(), time.thread_time()
        call.check_tls()  # where it ended by asking for more bytes
        try:
            result = operation(*args)
        finally:
            call.tls_seconds += time.thread_time() - before
        call.check_tls()
        return result


# Python's own, without DHE; those of TLS 1.3 are not chosen here.
CIPHERS = "@SECLEVEL=2:ECDH+AESGCM:ECDH+CHACHA20:ECDH+AES:!aNULL:!eNULL:!aDSS:!SHA1:!AESCCM"


class TlsContext(ssl.SSLContext):
    """A context whose connections are TlsSockets.

    A certificate is valid for the names that it has as subject alternative names (RFC 9525 section 6.3). There is
    no renegotiation, in which a server of TLS 1.2 can ask for one handshake after the other; and no DHE, in which
    the server chooses how many bits we calculate with: 8192 of them are a tenth of a second. Under TLS 1.3 it is
    openssl.cnf that leaves these out.

    It resumes no sessions. Resuming saved at most 6% of the CPU of a POST on a new connection (with RSA
    certificates; 1% with ECDSA), added 12% to a host's first one, and was state that tenants of one host share.
    """

    def __new__(cls) -> Self:
        """See SSLContext, which takes its protocol here."""
        context = super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.hostname_checks_common_name = False
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.set_ciphers(CIPHERS)
        context.sslobject_class = _TlsObject
        return context

    def wrap_socket(self, sock: socket.socket, *_: Any, server_hostname: Any = None, **__: Any) -> Any:
        """Connected TLS, which is no SSLSocket."""
        return TlsSocket(sock, self, server_hostname)


def tls_context(authorities: str | None = None) -> TlsContext:
    """The one TLS context of a process: loading the authorities costs more CPU than the rest of its start."""
    context = TlsContext()
    context.load_verify_locations(authorities or certifi.where())
    return context


def connect_first(addresses: list[Any]) -> Socket:
    """Connect to the addresses of a name beside one another, within what the current call has left (RFC 8305).

    The next address is tried when the one before has failed, or has not accepted for `NEXT_ADDRESS_SECONDS`. The
    first that accepts wins, and the others are closed. So an address that swallows packets costs a moment.

    Raises:
        TimeoutError: none accepted before the deadline.
        OSError: none accepted; the error that says whose fault it is.
    """
    call, waiting = current_call.get(), deque(addresses)
    with closing(_Race()) as race:
        while waiting or race.running:
            remaining = call.remaining()
            connection = race.start(waiting.popleft()) if waiting else None
            if connection is None and race.running:
                connection = race.wait(min(NEXT_ADDRESS_SECONDS, remaining) if waiting else remaining)
            if connection:
                return connection
        raise faults.deciding(race.errors or [OSError("the name has no addresses")])


class _Race:
    """Connects that have begun. `errors`: what became of the addresses that failed."""

    def __init__(self) -> None:
        self.running: dict[Socket, None] = {}  # the one that began first comes first
        self.errors: list[OSError] = []
        self._selector = selectors.DefaultSelector()  # itself a descriptor, so that the hub can wait for them all

    def start(self, address: Any) -> Socket | None:
        """Begin to connect; the connection if it is there at once."""
        family, kind, protocol, _, target = address
        connection = None
        if len(self.running) == RACING:
            self._end(
                next(iter(self.running)), TimeoutError("the address did not accept before the next one's turn")
            )
        try:
            connection = Socket(family, kind, protocol)
            if connection.begin_connect(target):
                return connection
            self._selector.register(connection, selectors.EVENT_WRITE)
        except OSError as error:
            no_route = family == socket.AF_INET6 and error.errno in _NO_ROUTE
            self._fail(connection, faults.NoIpv6Error(_IPV6_ONLY) if no_route else error)
        else:
            self.running[connection] = None
        return None

    def wait(self, seconds: float) -> Socket | None:
        """The first connection that an address accepts; None when one failed instead, or the time is over."""
        with suppress(TimeoutError):
            hub.until(self._selector.fileno(), hub.READ, seconds)
        for key, _ in self._selector.select(0):
            connection: Any = key.fileobj
            try:
                connection.finish_connect()
            except OSError as error:
                self._end(connection, error)
            else:
                del self.running[connection]
                return connection  # type: ignore[no-any-return]
        return None

    def close(self) -> None:
        """Close all that have not won."""
        self._selector.close()
        for connection in self.running:
            connection.close()

    def _end(self, connection: Socket, error: OSError) -> None:
        del self.running[connection]
        self._selector.unregister(connection)
        self._fail(connection, error)

    def _fail(self, connection: Socket | None, error: OSError) -> None:
        self.errors.append(error)
        if connection:
            connection.close()


_NO_ROUTE = {errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
_IPV6_ONLY = "its name has IPv6 addresses only, and there is no route to them from here: give it an IPv4 address"
