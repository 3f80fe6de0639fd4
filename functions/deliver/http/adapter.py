"""requests' adapter over our own connections: guarded, timed, kept alive, one TLS context for all.

requests hands each request to what it takes for urllib3's pool of the URL's host. Ours is `_Pool`, which has the
one method that requests calls, and no state: the connections that are kept are in `IdleConnections`.

The ratios beside what is done for speed are the CPU of a POST without it to that with it: medians of sixty runs on
loopback, the same loop in one process, switched on and off in turn.
"""

import errno
import http.client
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ProtocolError

from deliver.http import hub
from deliver.http.connections import IdleConnections, Origin
from deliver.http.fields import FieldsResponse
from deliver.http.sockets import Socket, TlsContext, TlsSocket, current_call

# Of what is left of the deadline, on a reused connection: how long its peer's host may take to acknowledge a
# request. So one that the network forgot leaves time for a new one.
UNACKNOWLEDGED_SHARE = 1 / 3

_DEFAULT_PORTS = {"http": 80, "https": 443}
_ENDED = {errno.EPIPE, errno.ECONNRESET}


class Adapter(HTTPAdapter):
    """`connect(scheme, host, port)` makes every socket."""

    def __init__(
        self,
        connect: Callable[[str, str, int], Socket],
        context: TlsContext,
        idle: IdleConnections,
        clock: Callable[[], float],
    ) -> None:
        self._connect = connect
        self._context = context
        self._idle = idle
        self._clock = clock
        super().__init__(max_retries=0)

    def init_poolmanager(self, *_: Any, **__: Any) -> None:
        """Nothing: of urllib3's pools, none is used."""

    def close(self) -> None:
        """Close the idle connections."""
        self._idle.close_all()

    def cert_verify(self, *_: Any, **__: Any) -> None:
        """The context has the authorities; requests would load them again for every connection."""

    def get_connection_with_tls_context(self, request: Any, *_: Any, **__: Any) -> Any:
        """The pool of the app and the URL's host, never a proxy; 1.03."""
        parts = urlsplit(request.url)
        port = parts.port or _DEFAULT_PORTS[parts.scheme]
        return _Pool(self, Origin(current_call.get().app_id, parts.scheme, str(parts.hostname), port))

    def request_url(self, request: Any, *_: Any, **__: Any) -> str:
        """The request's target, which only a proxy needs otherwise; 1.03."""
        return str(request.path_url)

    def build_response(self, request: Any, raw: Any) -> requests.Response:  # noqa: ARG002 - HTTPAdapter's signature
        """Status, headers and the stream, without cookies; 1.03."""
        response = requests.Response()
        response.status_code, response.raw = raw.status, raw
        response.headers = CaseInsensitiveDict(raw.headers)
        return response

    def connection(self, origin: Origin) -> "_Connection":
        """One that is kept, or a new one."""
        kept = self._idle.take(origin)
        if isinstance(kept, _Connection):
            return kept
        if origin.scheme == "https":
            made: _Connection = _TlsConnection(origin.host, origin.port, ssl_context=self._context)
        else:
            made = _PlainConnection(origin.host, origin.port)
        made.connect_to, made.made_at = self._connect, self._clock()
        return made

    def keep(self, origin: Origin, connection: "_Connection") -> None:
        """Take a connection back whose response was read to its end."""
        if connection.is_reusable():
            self._idle.keep(origin, connection)
        else:
            connection.close()


class _Pool:
    """What requests takes for a pool of urllib3, to which a response gives its connection back."""

    def __init__(self, adapter: Adapter, origin: Origin) -> None:
        self._adapter = adapter
        self._origin = origin

    def urlopen(self, method: str, url: str, body: bytes, headers: Any, **_: Any) -> Any:
        """The response, as soon as its headers are there."""
        connection = self._adapter.connection(self._origin)
        with ExitStack() as failed:
            failed.callback(connection.close)
            connection.begin()
            try:
                connection.request(method, url, body, headers, preload_content=False)
            except OSError as error:
                # A receiver may respond and close before it has read the whole request.
                if error.errno not in _ENDED:
                    raise
            response = connection.getresponse()
            failed.pop_all()
        response._connection, response._pool = connection, self  # noqa: SLF001 - as urllib3's does
        return response

    def _put_conn(self, connection: "_Connection") -> None:
        """Called by a response that was read to its end."""
        self._adapter.keep(self._origin, connection)


class _Connection:
    """urllib3's connection with our way to a socket; host, SNI and certificate checks keep the name."""

    response_class: Any = FieldsResponse

    connect_to: Callable[[str, str, int], Socket]
    scheme: str
    connect: Callable[[], None]
    close: Callable[[], None]

    sock: Any = None  # a socket, TLS over one, or None
    made_at = idle_since = 0.0
    _plain: Socket
    _reused = False
    _corked: list[bytes] | None = None

    def _new_conn(self) -> Socket:
        current_call.get().begin_connection()
        self._plain = self.connect_to(self.scheme, self._dns_host, self.port)  # type: ignore[attr-defined]
        return self._plain

    # urllib3's own searches every header for a mark of what to leave out, which none of ours has; 1.03 to 1.05.
    putheader = http.client.HTTPConnection.putheader

    def descriptor(self) -> int:
        return self._plain.fileno()

    def is_reusable(self) -> bool:
        """Whether the response was all that came, and the peer lets the connection be used again."""
        call = current_call.get()
        return self.sock is not None and not (call.unread or call.unframed) and self._is_quiet()

    def begin(self) -> None:
        """Connect, unless this is one that was kept."""
        self._reused = self.sock is not None
        if not self._reused:
            self.connect()
        current_call.get().begin_request(reused=self._reused)

    def request(self, *args: Any, **kwargs: Any) -> None:
        call = current_call.get()
        if self._reused:
            self._plain.give_up_unacknowledged_after(call.remaining() * UNACKNOWLEDGED_SHARE)
        parts: list[bytes] = []
        self._corked = parts
        super().request(*args, **kwargs)  # type: ignore[misc]
        self._corked = None
        if self._reused and not self._is_quiet():
            # Here and not when it was taken: whatever comes from now on may be the response.
            raise ProtocolError("the peer closed the kept connection, or spoke unasked")
        self.send(b"".join(parts))

    def send(self, data: Any) -> None:
        # http.client writes headers and body apart: two system calls, two TLS records, two packets; 1.03 to 1.05.
        if self._corked is None:
            super().send(data)  # type: ignore[misc]
        else:
            self._corked.append(data)

    def getresponse(self) -> Any:
        call = current_call.get()
        response = super().getresponse()  # type: ignore[misc]
        call.end_headers()
        if call.eof:  # http.client takes a header block that was cut off for a whole one
            response.close()
            raise ProtocolError("the connection ended inside the headers")
        return response

    def _is_quiet(self) -> bool:
        """Whether nothing is unread: in the socket, or in what TLS has taken from it."""
        if isinstance(self.sock, TlsSocket) and self.sock.unread:
            return False
        return not hub.is_ready(self._plain.fileno(), hub.READ)


class _PlainConnection(_Connection, HTTPConnection):
    scheme = "http"


class _TlsConnection(_Connection, HTTPSConnection):
    scheme = "https"
