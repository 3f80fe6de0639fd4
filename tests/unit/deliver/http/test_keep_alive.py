"""How long a connection is kept, and what becomes of a request on one that is dead."""

import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from deliver.http import sockets
from deliver.http.adapter import UNACKNOWLEDGED_SHARE
from deliver.http.connections import IDLE_SECONDS
from deliver.http.guard import EndpointPolicy
from deliver.http.response import Response
from deliver.http.sockets import tls_context
from deliver.http.transport import Transport
from tests.support import servers
from tests.support.servers import responds_with, serve

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LIFETIME = 200.0


@dataclass
class Clock:
    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def transport(clock: Clock) -> Iterator[Transport]:
    made = Transport(EndpointPolicy(http=True, private=True, ports=None), tls_context(), LIFETIME, clock)
    yield made
    made.close()


def post(transport: Transport, url: str) -> None:
    assert isinstance(transport.post("app", url, {}, b"{}", 5.0), Response)


def test_a_connection_that_was_idle_for_too_long_is_not_used_again(transport: Transport, clock: Clock) -> None:
    with serve(responds_with(OK, OK)) as server:
        post(transport, server.url)
        clock.now += IDLE_SECONDS - 0.1
        post(transport, server.url)
        assert server.accepted == 1
    with serve(responds_with(OK, OK)) as server:
        post(transport, server.url)
        clock.now += IDLE_SECONDS
        post(transport, server.url)
        transport.close()
        assert server.accepted == 2


def test_a_busy_connection_never_resolved_its_name_again(
    transport: Transport, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up: list[str] = []
    find = socket.getaddrinfo

    def noted(host: str, *rest: Any) -> Any:
        looked_up.append(host)
        return find(host, *rest)

    monkeypatch.setattr(socket, "getaddrinfo", noted)
    with serve(responds_with(*[OK] * 20)) as server:
        for _ in range(10):  # never idle for long
            post(transport, server.url)
            clock.now += LIFETIME / 8
        transport.close()
    assert looked_up == ["localhost"] * 2


def test_a_clock_that_was_set_back_makes_every_connection_anew(transport: Transport, clock: Clock) -> None:
    with serve(responds_with(OK, OK)) as server:
        post(transport, server.url)
        clock.now -= 3600
        post(transport, server.url)
        transport.close()
        assert server.accepted == 2


def test_a_lifetime_of_nothing_keeps_no_connection(clock: Clock) -> None:
    brief = Transport(EndpointPolicy(http=True, private=True, ports=None), tls_context(), 0.0, clock)
    with serve(responds_with(OK, OK)) as server:
        post(brief, server.url)
        post(brief, server.url)
        brief.close()
        assert server.accepted == 2


@pytest.mark.parametrize("in_one_packet", [True, False])
def test_what_a_connection_says_unasked_is_no_response_to_the_next_request(
    transport: Transport, in_one_packet: bool
) -> None:
    spoke = threading.Event()

    def talks(connection: socket.socket, over: threading.Event) -> None:
        servers.read_request(connection)
        gone = b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"
        if in_one_packet:
            connection.sendall(OK + gone)
        else:
            connection.sendall(OK)
            connection.sendall(gone)
        spoke.set()
        over.wait()

    with serve(talks) as server:
        for _ in range(2):
            outcome = transport.post("app", server.url, {}, b"{}", 5.0)
            assert isinstance(outcome, Response)
            assert outcome.status == 200
            assert spoke.wait(5)
            spoke.clear()
        assert server.accepted == 2


def test_bytes_that_wait_inside_tls_keep_a_connection_from_being_used_again(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, authority = servers.certificates()
    transport._adapter._context.load_verify_locations(cadata=authority)
    with serve(responds_with(OK, OK), context) as server:
        post(transport, server.url)
        monkeypatch.setattr(sockets.TlsSocket, "unread", True)
        post(transport, server.url)
        transport.close()
        assert server.accepted == 2


def test_a_connection_that_the_network_forgot_burned_the_whole_deadline(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A host that acknowledges nothing more, as when a NAT gateway forgot the connection. The nearest thing on
    # loopback is one that takes nothing more, on which the kernel gives up after the same time.
    def takes_nothing_more(connection: socket.socket, over: threading.Event) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096 if server.accepted == 1 else 1 << 20)
        servers.read_request(connection)
        connection.sendall(OK)
        if server.accepted == 1:
            over.wait()
        servers.read_request(connection)
        connection.sendall(OK)

    given: list[float] = []
    give_up = sockets.Socket.give_up_unacknowledged_after

    def sooner(self: sockets.Socket, seconds: float) -> None:
        given.append(seconds)
        give_up(self, 0.05)

    monkeypatch.setattr(sockets.Socket, "give_up_unacknowledged_after", sooner)
    with serve(takes_nothing_more) as server:
        post(transport, server.url)
        assert given == []  # the first request on a connection has all the time that there is
        outcome = transport.post("app", server.url, {}, b"x" * 6_000_000, 30.0)
        assert isinstance(outcome, Response)
        assert server.accepted == 2
        transport.close()  # or the server would wait for one more request
    [seconds] = given
    assert 0 < seconds <= 30.0 * UNACKNOWLEDGED_SHARE
