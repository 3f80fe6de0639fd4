"""Parts of libraries that are private or carry no promise, and that deliver relies on: a test for each.

The table in deliver/http/__init__.py lists them, with what breaks when an update changes one.
"""

import contextvars
import http.client
import inspect
import io
import re
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from greenlet import greenlet
from pynamodb.connection.table import TableConnection
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.ssltransport import SSLTransport

from bellhop import aws as aws_session
from bellhop import tables
from bellhop.registry import App
from deliver.http import transport as module
from deliver.http.adapter import Adapter, _Connection, _Pool
from deliver.http.connections import Origin
from deliver.http.guard import AddressNotAllowedError, EndpointPolicy
from deliver.http.sockets import Call, TlsSocket, current_call, tls_context
from deliver.http.transport import GuardBypassedError, Transport
from tests.support import servers
from tests.support.fakes import app
from tests.support.servers import responds_with, serve

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SCHEMES = pytest.mark.parametrize(
    ("scheme", "connection"),
    [pytest.param("http", HTTPConnection, id="http"), pytest.param("https", HTTPSConnection, id="https")],
)


@pytest.fixture
def transport() -> Iterator[Transport]:
    built = Transport(EndpointPolicy(http=True, private=True, ports=None), tls_context())
    yield built
    built.close()


# ---- The guard sits in the connect that urllib3 calls, or nothing starts


@pytest.mark.parametrize("http", [True, False])
@pytest.mark.parametrize("private", [True, False])
@pytest.mark.parametrize("ports", [None, frozenset({443}), frozenset({8443})])
def test_a_transport_starts_under_every_policy(http: bool, private: bool, ports: frozenset[int] | None) -> None:
    Transport(EndpointPolicy(http, private, ports), tls_context()).close()


@SCHEMES
def test_a_transport_does_not_start_when_urllib3_connects_without_new_conn(
    scheme: str, connection: type[HTTPConnection], monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(self: Any) -> None:
        self.sock = socket.create_connection((self.host, self.port))

    monkeypatch.setattr(connection, "connect", connect)
    with pytest.raises(GuardBypassedError, match=rf"{scheme} connections of urllib3 .* do not ask .* Deploy"):
        Transport(EndpointPolicy(http=True), tls_context())


@SCHEMES
def test_a_transport_does_not_start_when_requests_uses_pools_that_are_not_ours(
    scheme: str, connection: type[HTTPConnection], monkeypatch: pytest.MonkeyPatch
) -> None:
    pools = {"http": HTTPConnectionPool, "https": HTTPSConnectionPool}

    def pool(_: Adapter, request: Any, *__: Any, **___: Any) -> Any:
        own = request.url.startswith(f"{scheme}:")
        return pools[scheme](module.REFUSED_HOST) if own else original(_, request)

    original = Adapter.get_connection_with_tls_context
    monkeypatch.setattr(Adapter, "get_connection_with_tls_context", pool)
    with pytest.raises(GuardBypassedError, match=f"{scheme} connections"):
        Transport(EndpointPolicy(http=True), tls_context())


def test_the_proof_sends_no_packet_even_when_the_guard_is_bypassed() -> None:
    with socket.socket() as unguarded, pytest.raises(OSError, match=r"unreachable|denied|invalid"):
        unguarded.connect((module.REFUSED_HOST, 443))


@SCHEMES
def test_urllib3_connects_by_new_conn_and_keeps_the_name_to_resolve(
    scheme: str, connection: type[HTTPConnection], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Any) -> socket.socket:
        raise AddressNotAllowedError(self._dns_host)

    monkeypatch.setattr(connection, "_new_conn", refuse)
    with pytest.raises(AddressNotAllowedError, match=r"^hooks\.example$"):
        connection("hooks.example").connect()


# ---- urllib3 and http.client


@SCHEMES
def test_a_request_leaves_only_through_send(
    scheme: str, connection: type[HTTPConnection], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[bytes] = []
    monkeypatch.setattr(connection, "send", lambda _, data: sent.append(data))
    made = connection("hooks.example")
    made.request("POST", "/in", body=b"{}", headers={"Content-Length": "2"})
    assert b"".join(sent).startswith(b"POST /in HTTP/1.1\r\n")
    assert b"".join(sent).endswith(b"\r\n\r\n{}")
    assert made.sock is None


def test_urllib3s_putheader_adds_only_the_marks_of_what_to_leave_out() -> None:
    source = inspect.getsource(HTTPConnection.putheader)
    assert "super().putheader(header, *values)" in source
    assert source.count("SKIP") == source.count("SKIP_HEADER") + source.count("SKIPPABLE_HEADERS")
    assert _Connection.putheader is http.client.HTTPConnection.putheader


def test_http_client_refuses_control_characters_in_headers() -> None:
    made = http.client.HTTPConnection("hooks.example")
    made.putrequest("POST", "/")
    for name, value in [("X-A\r\nX-B", "c"), ("X-A", "b\r\nX-C: d")]:
        with pytest.raises(ValueError, match=r"[Ii]nvalid header"):
            made.putheader(name, value)


@SCHEMES
def test_the_pools_that_requests_uses_are_ours(
    scheme: str, connection: type[HTTPConnection], transport: Transport
) -> None:
    request = requests.PreparedRequest()
    request.url = f"{scheme}://hooks.example/in"
    current_call.set(Call(0.0, "pager"))
    assert isinstance(transport._adapter.get_connection_with_tls_context(request), _Pool)
    made = transport._adapter.connection(Origin("pager", scheme, "hooks.example", 443))
    assert isinstance(made, _Connection)
    assert isinstance(made, connection)
    assert type(made)._new_conn is _Connection._new_conn


def test_requests_calls_nothing_of_a_pool_but_urlopen() -> None:
    assert set(re.findall(r"\bconn\.(\w+)\(", inspect.getsource(HTTPAdapter.send))) == {"urlopen"}


def test_a_tls_connection_may_be_no_ssl_socket_and_reads_its_socket_by_recv() -> None:
    reads: list[str] = []

    class Noted(socket.socket):
        def recv(self, *args: Any) -> bytes:
            reads.append("recv")
            return super().recv(*args)

    context, authority = servers.certificates()
    client = tls_context()
    client.load_verify_locations(cadata=authority)
    with serve(responds_with(OK), context) as server, Noted() as plain:
        plain.connect(("127.0.0.1", server.port))
        tls = client.wrap_socket(plain, server_hostname="localhost")
        assert ssl.SSLSocket not in type(tls).mro()
        assert isinstance(tls, TlsSocket)
        assert isinstance(tls, SSLTransport)
        assert tls.getpeercert()
    assert reads


def test_a_file_of_a_socket_reads_by_recv_into() -> None:
    reads: list[str] = []

    class Noted(socket.socket):
        def recv_into(self, *args: Any) -> int:
            reads.append("recv_into")
            return super().recv_into(*args)

    near, far = socket.socketpair()
    with far, Noted(fileno=near.detach()) as noted, noted.makefile("rb") as file:
        far.sendall(b"line\n")
        assert file.readline() == b"line\n"
    assert reads


def test_http_client_takes_a_header_block_that_was_cut_off_for_a_whole_one() -> None:
    near, far = socket.socketpair()
    with near:
        with far:
            far.sendall(b"HTTP/1.1 200 OK\r\nX-A: b\r\n")
        response = http.client.HTTPResponse(near)
        response.begin()
        assert response.headers["X-A"] == "b"


def test_http_client_begins_a_response_by_reading_lines_of_its_file() -> None:
    asked: list[int] = []

    class Lines(io.BytesIO):
        def readline(self, limit: int | None = -1) -> bytes:
            asked.append(limit or 0)
            return super().readline(limit)

    near, far = socket.socketpair()
    with near, far:
        response = http.client.HTTPResponse(near)
        response.fp.close()
        response.fp = Lines(b"HTTP/1.1 200 OK\r\nX-A: b\r\n\r\n")  # type: ignore[assignment]
        response.begin()
        assert response.headers["X-A"] == "b"
        assert len(asked) == 3
        response.close()


def test_http_client_closes_a_responses_file_after_the_last_byte_of_the_body() -> None:
    closed: list[int] = []

    class Noted(http.client.HTTPResponse):
        def _close_conn(self) -> None:
            closed.append(1)
            super()._close_conn()  # type: ignore[misc]

    for head in (b"Content-Length: 2\r\n\r\nok", b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"):
        near, far = socket.socketpair()
        with near, far:
            far.sendall(b"HTTP/1.1 200 OK\r\n" + head)
            response = Noted(near)
            response.begin()
            assert closed == []
            assert response.read() == b"ok"
            assert closed
            closed.clear()
    assert http.client.HTTPConnection.response_class is http.client.HTTPResponse


def test_a_body_that_is_read_to_its_end_gives_its_connection_back(transport: Transport) -> None:
    with serve(responds_with(OK, OK)) as server:
        transport.post("app", server.url, {}, b"{}", 5.0)
        assert len(transport._idle) == 1
        transport.close()  # or the server would wait for one more request


def test_a_transport_that_is_closed_has_closed_its_idle_connections(transport: Transport) -> None:
    with serve(responds_with(OK, OK)) as server:
        transport.post("app", server.url, {}, b"{}", 5.0)
        [idle] = transport._idle._all
        transport.close()
        assert isinstance(idle, _Connection)
        assert idle.sock is None


# ---- requests


@pytest.mark.parametrize(
    "name", ["cert_verify", "get_connection_with_tls_context", "request_url", "build_response"]
)
def test_requests_asks_the_adapter_for_what_ours_does_in_its_own_way(
    name: str, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    original = getattr(Adapter, name)

    def noted(*args: Any, **kwargs: Any) -> Any:
        asked.append(name)
        return original(*args, **kwargs)

    monkeypatch.setattr(Adapter, name, noted)
    with serve(responds_with(OK)) as server:
        transport.post("app", server.url, {}, b"{}", 5.0)
    assert asked == [name]


def test_requests_builds_its_pools_by_init_poolmanager_when_an_adapter_is_made() -> None:
    asked: list[str] = []

    class Noted(HTTPAdapter):
        def init_poolmanager(self, *_: Any, **__: Any) -> None:
            asked.append("pools")

    assert not hasattr(Noted(), "poolmanager")
    assert asked == ["pools"]


# ---- greenlet and pynamodb


def test_a_greenlet_has_context_variables_of_its_own() -> None:
    mine: contextvars.ContextVar[str] = contextvars.ContextVar("mine", default="nobody's")
    mine.set("the parent's")
    seen: list[str] = []

    def work() -> None:
        seen.append(mine.get())
        mine.set("the greenlet's")

    greenlet(work).switch()
    assert seen == ["nobody's"]
    assert mine.get() == "the parent's"


def test_models_of_pynamodb_share_a_connection_and_its_botocore_session(aws: None) -> None:
    connection = tables.connect()
    tables.bind(connection, {App: App.Meta.table_name})
    table = App._get_connection()
    assert isinstance(table, TableConnection)
    assert table.connection is connection
    assert connection.session is aws_session.core()
    app().save()
    assert App.get("pager").name == "Pager"
