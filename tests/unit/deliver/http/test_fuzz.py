"""Responses put together from what HTTP has, in any order, with anything in between: none keeps its message."""

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deliver.attempt.verdict import judge
from deliver.http.guard import EndpointPolicy
from deliver.http.response import Response, SendFailure
from deliver.http.sockets import tls_context
from deliver.http.transport import Transport
from tests.support import servers
from tests.support.fakes import NOW
from tests.support.servers import Server, serve

ANYTHING = st.binary(max_size=12)
ENDS = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\r\r\n", b""])
NUMBERS = st.sampled_from(
    [
        b"0",
        b"2",
        b"5",
        b"-1",
        b"+5",
        b"0x5",
        b"5, 5",
        b"5, 6",
        b"9" * 30,
        b"9" * 5000,
        b"1_0",
        b" ",
        b"\xb2",
        b"nan",
    ]
)
NAMES = st.sampled_from(
    b"Content-Length content-length Transfer-Encoding Connection Keep-Alive Retry-After webhook-delivery "
    b"Content-Encoding Set-Cookie Location Content-Type Trailer Upgrade".split()
)
VALUES = st.one_of(
    NUMBERS,
    st.sampled_from([b"chunked", b"gzip, chunked", b"identity", b"close", b"keep-alive", b"disable", b"gzip"]),
    st.sampled_from([b"26 Nov 2026 13:00:00 +99999999999999999", b"multipart/mixed; boundary=x", b"a" * 66_000]),
    ANYTHING,
)
FIELDS = st.tuples(NAMES | ANYTHING, st.sampled_from([b": ", b":", b" : ", b""]), VALUES, ENDS).map(b"".join)
STATUS_LINES = st.tuples(
    st.sampled_from([b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2", b"HTTP/1.9", b"ICY", b""]),
    st.sampled_from(
        [b" 200", b" 200", b" 100", b" 101", b" 103", b" 204", b" 304", b" 410", b" 503", b" 999", b" 42"]
    )
    | ANYTHING,
    st.sampled_from([b" OK", b"", b" ", b" \xff"]),
    ENDS,
).map(b"".join)
CHUNKS = st.tuples(
    st.sampled_from([b"2", b"0", b"-1", b"-ffff", b"ffffffffffffffffffff", b"zz", b"2;a=b", b"", b"0x2"]),
    ENDS,
    st.sampled_from([b"ok", b"", b"okok"]),
    ENDS,
).map(b"".join)
MESSAGES = st.tuples(
    STATUS_LINES,
    st.lists(FIELDS, max_size=6).map(b"".join) | FIELDS.map(lambda line: line * 120),
    ENDS,
    st.one_of(st.lists(CHUNKS, max_size=4).map(b"".join), ANYTHING, st.just(b"ok"), FIELDS),
).map(b"".join)
RESPONSES = st.lists(MESSAGES, min_size=1, max_size=3).map(b"".join)


class Says:
    """A server that sends what the test has put here, for each request anew, and closes."""

    def __init__(self) -> None:
        self.response = b""

    def __call__(self, connection: socket.socket, over: threading.Event) -> None:
        if servers.read_request(connection):
            connection.sendall(self.response)


@pytest.fixture(scope="module", params=["http", "https"])
def endpoint(request: pytest.FixtureRequest) -> Iterator[tuple[Says, Server, Transport]]:
    certificate, authority = servers.certificates()
    trusting = tls_context()
    trusting.load_verify_locations(cadata=authority)
    says, transport = Says(), Transport(EndpointPolicy(http=True, private=True, ports=None), trusting)
    with serve(says, certificate if request.param == "https" else None) as server:
        yield says, server, transport
        transport.close()


@given(response=RESPONSES)
@settings(max_examples=150)
def test_whatever_an_endpoint_sends_is_a_response_or_a_send_failure_and_has_a_verdict(
    endpoint: tuple[Says, Server, Transport], response: bytes
) -> None:
    says, server, transport = endpoint
    says.response = response
    outcome: Any = transport.post("app", server.url, {}, b"{}", 5.0)
    assert isinstance(outcome, Response | SendFailure)
    assert judge(outcome, NOW).result
