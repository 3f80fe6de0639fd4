"""requests' adapter over our own connections: guarded, timed, kept alive, one TLS context for all.

The ratios beside what is done for speed are the CPU of a POST without it to that with it: medians of sixty runs on
loopback, the same loop in one process, switched on and off in turn.
"""

import http.client
import queue
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ProtocolError

from deliver.http.fields import FieldsResponse
from deliver.http.sockets import Socket, TlsContext, TlsSocket, current_call

HOSTS = 256  # whose connections are kept
# All of a batch may go to one host at once, and each of its connections is worth keeping. So this is the largest
# BatchSize in template.yaml, and no setting: where batches are smaller, the room stays empty.
CONNECTIONS_PER_HOST = 100
# Less than load balancers of AWS (60) and nginx (75) keep one, so that they seldom close it while a request is on
# its way. Servers that keep one for less (Node.js and Apache: 5) have closed it by then, which is seen; networks
# that forget one without a word (NAT gateways: 350) do so later.
IDLE_SECONDS = 55.0
# Of what is left of the deadline, on a reused connection: how long its peer's host may take to acknowledge a
# request. So one that the network forgot leaves time for a new one.
UNACKNOWLEDGED_SHARE = 1 / 3


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """How long a connection is kept: `lifetime` seconds, after which its name is looked up anew.

    By a clock that goes on while the function is frozen. Where that clock was set back, nothing is known.
    """

    lifetime: float
    clock: Callable[[], float]

    def allows(self, connection: "_Connection") -> bool:
        """Whether a connection may serve one more request."""
        now = self.clock()
        young = 0 <= now - connection.made_at < self.lifetime and 0 <= now - connection.idle_since < IDLE_SECONDS
        return young and not (isinstance(connection.sock, TlsSocket) and connection.sock.unread)


class Adapter(HTTPAdapter):
    """`connect(scheme, host, port)` makes every socket."""

    def __init__(
        self, connect: Callable[[str, str, int], Socket], context: TlsContext, keep_alive: KeepAlive
    ) -> None:
        self._connect = connect
        self._context = context
        self._keep_alive = keep_alive
        super().__init__(pool_connections=HOSTS, pool_maxsize=CONNECTIONS_PER_HOST, max_retries=0)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **_: Any) -> None:  # noqa: FBT001, FBT002
        self.poolmanager = PoolManager(connections, maxsize=maxsize, block=block, ssl_context=self._context)
        self.poolmanager.pool_classes_by_scheme = {
            "http": self._pool_class("http", HTTPConnectionPool, HTTPConnection),
            "https": self._pool_class("https", HTTPSConnectionPool, HTTPSConnection),
        }

    def _pool_class(self, scheme: str, pool: Any, connection: Any) -> Any:
        ours = {"scheme": scheme, "connect_to": staticmethod(self._connect), "keep_alive": self._keep_alive}
        idle = staticmethod(partial(_Idle, self._keep_alive))
        return type(
            "Pool",
            (pool,),
            {"ConnectionCls": type("Connection", (_Connection, connection), ours), "QueueCls": idle},
        )

    def close(self) -> None:
        """Close the idle connections now; urllib3 leaves that to the garbage collector."""
        pools = self.poolmanager.pools
        for key in pools.keys():  # noqa: SIM118 - it is no dict: its iteration raises
            pools[key].close()
        super().close()

    def cert_verify(self, *_: Any, **__: Any) -> None:
        """The context has the authorities; requests would load them again for every connection."""

    def get_connection_with_tls_context(self, request: Any, *_: Any, **__: Any) -> Any:
        """The pool of the URL's host, never a proxy; 1.03."""
        parts = urlsplit(request.url)
        return self.poolmanager.connection_from_host(parts.hostname, parts.port, parts.scheme)

    def request_url(self, request: Any, *_: Any, **__: Any) -> str:
        """The request's target, which only a proxy needs otherwise; 1.03."""
        return str(request.path_url)

    def build_response(self, request: Any, raw: Any) -> requests.Response:  # noqa: ARG002 - HTTPAdapter's signature
        """Status, headers and the stream, without cookies; 1.03."""
        response = requests.Response()
        response.status_code, response.raw = raw.status, raw
        response.headers = CaseInsensitiveDict(raw.headers)
        return response


class _Idle:
    """A pool's idle connections, none of them too old.

    urllib3 puts a None into a new pool's queue for each slot, and its own queue takes its locks each time: 1.18 of
    a POST to a new host. A None says no more than an empty queue does, so none is kept.
    """

    def __init__(self, keep_alive: KeepAlive, size: int) -> None:
        self._keep_alive = keep_alive
        self._size = size
        self._connections: deque[_Connection] = deque()  # whose append and pop are atomic; the oldest is left

    def put(self, connection: "_Connection | None", block: bool = True) -> None:  # noqa: ARG002, FBT001, FBT002 - a queue's signature
        if connection is None:
            return
        connection.idle_since = self._keep_alive.clock()
        if current_call.get().unread:  # after the response came what nobody asked for
            connection.close()
        while self._connections and not self._keep_alive.allows(self._connections[0]):
            self._connections.popleft().close()
        if len(self._connections) >= self._size:
            raise queue.Full
        self._connections.append(connection)

    def get(self, block: bool = True, timeout: float | None = None) -> "_Connection":  # noqa: ARG002, FBT001, FBT002
        while self._connections:
            connection = self._connections.pop()
            if self._keep_alive.allows(connection):
                return connection  # urllib3 drops it if its socket can be read: it ended, or speaks unasked
            connection.close()
        raise queue.Empty

    def qsize(self) -> int:
        return len(self._connections)


class _Connection:
    """urllib3's connection with our way to a socket; host, SNI and certificate checks keep the name."""

    response_class = FieldsResponse

    scheme: str
    connect_to: Callable[[str, str, int], Socket]
    keep_alive: KeepAlive
    close: Callable[[], None]

    sock: Any  # a socket, TLS over one, or None
    made_at = idle_since = 0.0
    _plain: Socket
    _served: Any = None
    _corked: list[bytes] | None = None

    def _new_conn(self) -> Socket:
        self.made_at = self.keep_alive.clock()
        self._plain = type(self).connect_to(self.scheme, self._dns_host, self.port)  # type: ignore[attr-defined]
        return self._plain

    # urllib3's own searches every header for a mark of what to leave out, which none of ours has; 1.03 to 1.05.
    putheader = http.client.HTTPConnection.putheader

    def request(self, *args: Any, **kwargs: Any) -> None:
        # A TLS connection has its socket before its first request: only a socket that served one is reused.
        call, reused = current_call.get(), self.sock is not None and self.sock is self._served
        call.begin_request(reused=reused)
        if reused:
            self._plain.give_up_unacknowledged_after(call.remaining() * UNACKNOWLEDGED_SHARE)
        parts: list[bytes] = []
        self._corked = parts
        super().request(*args, **kwargs)  # type: ignore[misc]
        self._corked = None
        self.send(b"".join(parts))

    def send(self, data: Any) -> None:
        # http.client writes headers and body apart: two system calls, two TLS records, two packets; 1.03 to 1.05.
        if self._corked is None:
            super().send(data)  # type: ignore[misc]
        else:
            self._corked.append(data)

    def getresponse(self) -> Any:
        call, sock = (
            current_call.get(),
            self.sock,
        )  # http.client forgets the socket of a connection that is to close
        response = super().getresponse()  # type: ignore[misc]
        call.end_headers()
        if call.eof:  # http.client takes a header block that was cut off for a whole one
            response.close()
            raise ProtocolError("the connection ended inside the headers")
        self._served = sock
        return response
