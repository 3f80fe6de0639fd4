"""What an endpoint says on a connection reaches no other app, and no other request of its own."""

import itertools
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trustme

from deliver import http
from deliver.http.guard import EndpointPolicy
from deliver.http.response import Response, SendFailure
from deliver.http.sockets import tls_context
from deliver.http.transport import Transport
from tests.support import servers
from tests.support.servers import Behaviour, responds_with, serve

OPENSSL_CONF = Path(http.__file__).with_name("openssl.cnf")
OPEN = EndpointPolicy(http=True, private=True, ports=None)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
EMPTY = b"HTTP/1.1 204 No Content\r\n\r\n"
GONE = b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"  # which would switch an app off


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def transport(authority: trustme.CA) -> Iterator[Transport]:
    context = tls_context()
    context.load_verify_locations(cadata=authority.cert_pem.bytes().decode())
    made = Transport(OPEN, context)
    yield made
    made.close()


@pytest.fixture(params=["http", "https"])
def server_context(request: pytest.FixtureRequest, authority: trustme.CA) -> ssl.SSLContext | None:
    return certified(authority.issue_cert("localhost")) if request.param == "https" else None


def certified(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def status(transport: Transport, app_id: str, url: str) -> int:
    outcome = transport.post(app_id, url, {}, b"{}", 5.0)
    assert isinstance(outcome, Response)
    return outcome.status


class SpeaksUnasked:
    """Responds once, and sends one more response, which nobody asked for, as `how` says."""

    def __init__(self, response: bytes, how: str) -> None:
        self.response, self.how = response, how
        self.idle, self.spoke = threading.Event(), threading.Event()

    def __call__(self, connection: socket.socket, over: threading.Event) -> None:
        servers.read_request(connection)
        if self.how == "in the same write":
            connection.sendall(self.response + GONE)
        else:
            segment = int(self.how == "in the same segment")
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, segment)
            connection.sendall(self.response)
            if not segment:
                self.idle.wait(5)
            connection.sendall(GONE)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
        self.spoke.set()
        over.wait()


@pytest.mark.skipif(not hasattr(socket, "TCP_CORK"), reason="puts two TLS records into one segment")
@pytest.mark.parametrize("next_app", ["same", "other"])
@pytest.mark.parametrize("response", [OK, CHUNKED, EMPTY], ids=["length", "chunked", "empty"])
@pytest.mark.parametrize("how", ["in the same write", "in the same segment", "while it is idle"])
def test_a_second_response_was_taken_for_the_response_to_the_next_delivery(
    transport: Transport, server_context: ssl.SSLContext | None, how: str, response: bytes, next_app: str
) -> None:
    speaks = SpeaksUnasked(response, how)
    with serve(speaks, server_context) as server:
        expected = 204 if response is EMPTY else 200
        assert status(transport, "same", server.url) == expected
        speaks.idle.set()
        assert speaks.spoke.wait(5)
        assert status(transport, next_app, server.url) == expected
        assert server.accepted == 2


def test_what_comes_after_the_next_request_went_out_could_be_another_apps(
    transport: Transport, server_context: ssl.SSLContext | None
) -> None:
    """The first connection says 410 to whatever comes next on it."""

    def behave(connection: socket.socket, over: threading.Event) -> None:
        responds_with(*([OK, GONE] if server.accepted == 1 else [OK]))(connection, over)

    with serve(behave, server_context) as server:
        assert status(transport, "attacker", server.url) == 200
        assert status(transport, "neighbour", server.url) == 200
        assert server.accepted == 2
        transport.close()  # or the server would wait for one more request


def test_apps_on_one_host_and_port_keep_connections_of_their_own(
    transport: Transport, server_context: ssl.SSLContext | None
) -> None:
    with serve(responds_with(*[OK] * 5), server_context) as server:
        for app_id in ["a", "b"] * 3:
            assert status(transport, app_id, server.url) == 200
        assert server.accepted == 2
        transport.close()  # or the server would wait for one more request


def test_tls_sessions_are_not_resumed_by_any_app(transport: Transport, authority: trustme.CA) -> None:
    reused: list[bool | None] = []

    def noted(connection: socket.socket, over: threading.Event) -> None:
        assert isinstance(connection, ssl.SSLSocket)
        reused.append(connection.session_reused)
        closing: Behaviour = responds_with(OK.replace(b"200 OK", b"200 OK\r\nConnection: close"))
        closing(connection, over)

    with serve(noted, certified(authority.issue_cert("localhost"))) as server:
        for app_id in ("a", "a", "b"):
            assert status(transport, app_id, server.url) == 200
    assert reused == [False] * 3


def test_a_certificate_with_only_a_common_name_was_accepted(transport: Transport, authority: trustme.CA) -> None:
    with serve(responds_with(OK), certified(authority.issue_cert(common_name="localhost"))) as server:
        outcome = transport.post("app", server.url, {}, b"{}", 5.0)
    assert isinstance(outcome, SendFailure)
    assert outcome.kind == "tls_error"


def test_a_server_chooses_neither_how_often_nor_with_how_many_bits_keys_are_exchanged() -> None:
    context = tls_context()
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert not [cipher["name"] for cipher in context.get_ciphers() if cipher["name"].startswith("DHE")]


# The groups of a first message to a server, as numbers (RFC 8446 section 4.2.7).
OFFERED = """
import contextlib, ssl
from deliver.http.sockets import Call, current_call, tls_context
current_call.set(Call(0.0))
incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
with contextlib.suppress(ssl.SSLWantReadError):
    tls_context().wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
hello = outgoing.read()
def number(at): return int.from_bytes(hello[at : at + 2], "big")
at = 44 + hello[43]  # behind the id of a session
at += 2 + number(at)  # the ciphers,
at += 1 + hello[at] + 2  # the compressions
while number(at) != 10:
    at += 4 + number(at + 2)
print(*(number(each) for each in range(at + 6, at + 4 + number(at + 2), 2)))
"""


def test_a_server_of_tls_1_3_chose_a_group_of_8192_bits() -> None:
    environ = os.environ | {"OPENSSL_CONF": str(OPENSSL_CONF), "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run([sys.executable, "-c", OFFERED], env=environ, capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["29", "23", "24", "25"]  # x25519, secp256r1, secp384r1, secp521r1


@pytest.mark.parametrize("kib", [17, 1000])
def test_a_chain_of_so_many_certificates_ends_inside_the_handshake(
    transport: Transport, authority: trustme.CA, tmp_path: Path, kib: int
) -> None:
    leaf, chain = authority.issue_cert("localhost"), tmp_path / "chain.pem"
    number = kib * 1024 // len(ssl.PEM_cert_to_DER_cert(authority.cert_pem.bytes().decode())) + 1
    chain.write_bytes(leaf.private_key_and_cert_chain_pem.bytes() + authority.cert_pem.bytes() * number)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    with serve(responds_with(OK), context) as server:
        outcome = transport.post("app", server.url, {}, b"{}", 5.0)
    assert isinstance(outcome, SendFailure)
    assert outcome.kind in {"tls_error", "invalid_response"}


def test_a_connection_that_was_made_in_the_place_of_a_kept_one_had_no_limit_for_its_handshake(
    transport: Transport, authority: trustme.CA, tmp_path: Path
) -> None:
    good, long = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf, chain, connections = authority.issue_cert("localhost"), tmp_path / "chain.pem", itertools.count()
    leaf.configure_cert(good)
    chain.write_bytes(leaf.private_key_and_cert_chain_pem.bytes() + authority.cert_pem.bytes() * 100)
    long.load_cert_chain(chain)

    def respond(connection: socket.socket, over: threading.Event) -> None:
        kept = next(connections) == 0
        with suppress(OSError), (good if kept else long).wrap_socket(connection, server_side=True) as tls:
            servers.read_request(tls)
            tls.sendall(OK)
            servers.read_request(tls)  # and closes

    with serve(respond) as server:
        url = server.url.replace("http:", "https:")
        assert isinstance(transport.post("app", url, {}, b"{}", 5.0), Response)
        outcome = transport.post("app", url, {}, b"{}", 5.0)
    assert isinstance(outcome, SendFailure)
    assert "in a TLS handshake" in outcome.detail


def test_a_long_chain_of_certificates_is_taken(
    transport: Transport, authority: trustme.CA, tmp_path: Path
) -> None:
    leaf, chain = authority.issue_cert("localhost"), tmp_path / "chain.pem"
    chain.write_bytes(leaf.private_key_and_cert_chain_pem.bytes() + authority.cert_pem.bytes() * 20)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    with serve(responds_with(OK), context) as server:
        assert isinstance(transport.post("app", server.url, {}, b"{}", 5.0), Response)
