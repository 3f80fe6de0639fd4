"""requests' adapter over our own connections: guarded, timed, kept alive, one TLS context for all.

The ratios beside what is done for speed are the CPU of a POST without it to that with it: medians of sixty runs on
loopback, the same loop in one process, switched on and off in turn.
"""

import http.client
import queue
import socket
from collections import deque
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ProtocolError

from deliver.http.sockets import TlsContext, current_call

HOSTS = 256  # whose connections are kept
# All of a batch may go to one host at once, and each of its connections is worth keeping. So this is the largest
# BatchSize in template.yaml, and no setting: where batches are smaller, the room stays empty.
CONNECTIONS_PER_HOST = 100


class Adapter(HTTPAdapter):
    """`connect(scheme, host, port)` makes every socket."""

    def __init__(self, connect: Callable[[str, str, int], socket.socket], context: TlsContext) -> None:
        self._connect = connect
        self._context = context
        super().__init__(pool_connections=HOSTS, pool_maxsize=CONNECTIONS_PER_HOST, max_retries=0)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **_: Any) -> None:  # noqa: FBT001, FBT002
        self.poolmanager = PoolManager(connections, maxsize=maxsize, block=block, ssl_context=self._context)
        self.poolmanager.pool_classes_by_scheme = {
            "http": self._pool_class("http", HTTPConnectionPool, HTTPConnection),
            "https": self._pool_class("https", HTTPSConnectionPool, HTTPSConnection),
        }

    def _pool_class(self, scheme: str, pool: Any, connection: Any) -> Any:
        ours = {"scheme": scheme, "connect_to": staticmethod(self._connect)}
        return type(
            "Pool",
            (pool,),
            {"ConnectionCls": type("Connection", (_Connection, connection), ours), "QueueCls": _Idle},
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
    """A pool's idle connections.

    urllib3 puts a None into a new pool's queue for each slot, and its own queue takes its locks each time: 1.18 of
    a POST to a new host.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._connections: deque[Any] = deque()  # whose append and pop are atomic

    def put(self, connection: Any, block: bool = True) -> None:  # noqa: ARG002, FBT001, FBT002 - a queue's signature
        if len(self._connections) >= self._size:
            raise queue.Full
        self._connections.append(connection)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:  # noqa: ARG002, FBT001, FBT002
        try:
            return self._connections.pop()
        except IndexError:
            raise queue.Empty from None

    def qsize(self) -> int:
        return len(self._connections)


class _Connection:
    """urllib3's connection with our way to a socket; host, SNI and certificate checks keep the name."""

    scheme: str
    connect_to: Callable[[str, str, int], socket.socket]

    sock: Any  # a socket, TLS over one, or None
    _served: Any = None
    _corked: list[bytes] | None = None

    def _new_conn(self) -> socket.socket:
        return type(self).connect_to(self.scheme, self._dns_host, self.port)  # type: ignore[attr-defined]

    # urllib3's own searches every header for a mark of what to leave out, which none of ours has; 1.03 to 1.05.
    putheader = http.client.HTTPConnection.putheader

    def request(self, *args: Any, **kwargs: Any) -> None:
        # A TLS connection has its socket before its first request: only a socket that served one is reused.
        current_call.get().begin_request(reused=self.sock is not None and self.sock is self._served)
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
        call.headers_read = True
        if call.eof:  # http.client takes a header block that was cut off for a whole one
            response.close()
            raise ProtocolError("the connection ended inside the headers")
        self._served = sock
        return response
