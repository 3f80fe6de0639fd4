"""Bytes where TLS should be: records of any kind and length, in the handshake and instead of it."""

import socket
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliver.attempt.verdict import Counter, judge
from deliver.http.guard import EndpointPolicy
from deliver.http.response import SendFailure
from deliver.http.sockets import tls_context
from deliver.http.transport import Transport
from tests.support.fakes import NOW
from tests.support.servers import Server, serve

KINDS = st.sampled_from([20, 21, 22, 23, 24, 0, 255]) | st.integers(0, 255)  # change, alert, handshake, data, ...
VERSIONS = st.sampled_from([b"\x03\x03", b"\x03\x01", b"\x03\x04", b"\x02\x00", b"\xff\xff"])
HANDSHAKES = st.tuples(st.sampled_from([0, 2, 4, 8, 11, 13, 20, 254]), st.binary(max_size=40)).map(
    lambda each: bytes([each[0]]) + len(each[1]).to_bytes(3, "big") + each[1]
)
ALERTS = st.tuples(st.sampled_from([1, 2, 0]), st.integers(0, 255)).map(bytes)
CONTENTS = st.one_of(HANDSHAKES, ALERTS, st.binary(max_size=40), st.just(b""))


@st.composite
def records(draw: st.DrawFn) -> bytes:
    content = draw(CONTENTS)
    length = draw(st.sampled_from([len(content), len(content), 0, 65_535, len(content) + 1]))
    return bytes([draw(KINDS)]) + draw(VERSIONS) + length.to_bytes(2, "big") + content


class Says:
    """A server that sends what the test has put here, and closes."""

    def __init__(self) -> None:
        self.bytes = b""

    def __call__(self, connection: socket.socket, over: threading.Event) -> None:
        connection.recv(65_536)
        connection.sendall(self.bytes)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[tuple[Says, Server, Transport]]:
    says, transport = Says(), Transport(EndpointPolicy(http=True, private=True, ports=None), tls_context())
    with serve(says) as server:
        yield says, server, transport
        transport.close()


@given(said=st.lists(records(), max_size=4).map(b"".join) | st.binary(max_size=60))
def test_whatever_comes_where_tls_should_be_is_a_send_failure_of_the_endpoints(
    endpoint: tuple[Says, Server, Transport], said: bytes
) -> None:
    says, server, transport = endpoint
    says.bytes = said
    outcome = transport.post("app", server.url.replace("http:", "https:"), {}, b"{}", 5.0)
    assert isinstance(outcome, SendFailure)
    assert judge(outcome, NOW).counter is Counter.TIMEOUT
