"""Idle connections: how many are kept over all apps and hosts, which go first, and when there is no room."""

import errno
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from deliver.http import hub, sockets
from deliver.http.connections import (
    IDLE_SECONDS,
    LEAST_IDLE,
    MOST_IDLE,
    REAP_SECONDS,
    IdleConnections,
    KeepAlive,
    Origin,
    most_idle,
)
from deliver.http.faults import OurFaultError
from deliver.http.guard import EndpointPolicy
from deliver.http.response import Response
from deliver.http.sockets import tls_context
from deliver.http.transport import Transport
from tests.support import servers
from tests.support.servers import responds_with, serve

OPEN = EndpointPolicy(http=True, private=True, ports=None)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Clock:
    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass(eq=False)
class Connection:
    """One end of a pair of sockets, as far as it is kept; `peer` is the other end."""

    made_at: float
    idle_since: float = 0.0
    closed: bool = False

    def __post_init__(self) -> None:
        self.near, self.peer = socket.socketpair()

    def descriptor(self) -> int:
        return self.near.fileno()

    def close(self) -> None:
        self.closed = True
        self.near.close()
        self.peer.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def idle(clock: Clock) -> Iterator[IdleConnections]:
    made = IdleConnections(KeepAlive(600.0, clock), 3)
    yield made
    made.close_all()


@pytest.fixture
def transport(clock: Clock) -> Iterator[Transport]:
    made = Transport(OPEN, tls_context(), 600.0, clock, descriptors=0)
    yield made
    made.close()


def origin(app_id: str) -> Origin:
    return Origin(app_id, "https", "hooks.example", 443)


def post(transport: Transport, app_id: str, url: str) -> None:
    assert isinstance(transport.post(app_id, url, {}, b"{}", 5.0), Response)


def test_the_connection_that_was_idle_for_longest_goes_whoever_its_app_is(
    idle: IdleConnections, clock: Clock
) -> None:
    made = [Connection(clock.now) for _ in range(5)]
    for connection, app_id in zip(made, "ababc", strict=True):
        idle.keep(origin(app_id), connection)
    assert [connection.closed for connection in made] == [True, True, False, False, False]
    assert [idle.take(origin(app_id)) for app_id in "cba"] == [made[4], made[3], made[2]]
    assert len(idle) == 0
    for connection in made[2:]:
        connection.close()


def test_of_an_apps_connections_the_one_that_was_used_last_is_taken(idle: IdleConnections, clock: Clock) -> None:
    older, newer = Connection(clock.now), Connection(clock.now)
    idle.keep(origin("a"), older)
    idle.keep(origin("a"), newer)
    assert idle.take(origin("b")) is None
    assert idle.take(origin("a")) is newer
    assert idle.take(origin("a")) is older
    assert idle.take(origin("a")) is None
    older.close()
    newer.close()


def test_connections_that_ended_or_are_too_old_held_their_descriptors(idle: IdleConnections, clock: Clock) -> None:
    ended, speaks = Connection(clock.now), Connection(clock.now)
    idle.keep(origin("a"), ended)
    idle.keep(origin("b"), speaks)
    ended.peer.close()
    speaks.peer.send(b"!")
    clock.now += REAP_SECONDS
    alive = Connection(clock.now)
    idle.keep(origin("c"), alive)
    assert idle.take(origin("d")) is None
    assert (ended.closed, speaks.closed, alive.closed) == (True, True, False)
    clock.now += IDLE_SECONDS
    assert idle.take(origin("d")) is None
    assert alive.closed
    assert len(idle) == 0


@pytest.mark.parametrize(
    ("descriptors", "expected"), [(-1, MOST_IDLE), (65_536, MOST_IDLE), (1024, 300), (900, 176), (256, LEAST_IDLE)]
)
def test_how_many_are_kept_follows_from_how_many_descriptors_there_are(descriptors: int, expected: int) -> None:
    assert most_idle(descriptors) == expected


def test_every_host_that_ever_had_deliveries_held_descriptors(transport: Transport) -> None:
    with serve(responds_with(OK, OK)) as server:
        for n in range(LEAST_IDLE + 10):
            post(transport, f"app-{n}", server.url)
        assert len(transport._idle) == LEAST_IDLE
        transport.close()  # or the server would wait for one more request


def test_connections_that_their_servers_closed_are_not_kept(transport: Transport, clock: Clock) -> None:
    closed = threading.Event()

    def once(connection: socket.socket, over: threading.Event) -> None:
        servers.read_request(connection)
        connection.sendall(OK)
        closed.wait(5)

    with serve(once) as server:
        for n in range(8):
            post(transport, f"app-{n}", server.url)
        kept: list[Any] = list(transport._idle._all)
        assert len(kept) == 8
        closed.set()
        for connection in kept:
            hub.until(connection.descriptor(), hub.READ, 5.0)
        clock.now += REAP_SECONDS
        post(transport, "last", server.url)
        assert len(transport._idle) <= 1


class NoDescriptors:
    """The first `number` connects find that the process can open nothing more."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
        self.left = number
        begin = sockets.Socket.begin_connect

        def connect(connection: sockets.Socket, address: Any) -> bool:
            self.left -= 1
            if self.left >= 0:
                raise OSError(errno.EMFILE, "Too many open files")
            return begin(connection, address)

        monkeypatch.setattr(sockets.Socket, "begin_connect", connect)


def test_idle_connections_go_before_a_delivery_fails_for_want_of_descriptors(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(responds_with(OK, OK)) as server:
        post(transport, "idle", server.url)
        NoDescriptors(monkeypatch, 1)
        post(transport, "new", server.url)
        assert len(transport._idle) == 1
        transport.close()  # or the server would wait for one more request


@pytest.mark.parametrize(("kept", "failures"), [(True, 2), (False, 1)])
def test_without_descriptors_after_that_it_is_our_fault(
    transport: Transport, monkeypatch: pytest.MonkeyPatch, kept: bool, failures: int
) -> None:
    with serve(responds_with(OK, OK)) as server:
        if kept:
            post(transport, "idle", server.url)
        NoDescriptors(monkeypatch, failures)
        with pytest.raises(OurFaultError, match="Too many open files"):
            transport.post("new", server.url, {}, b"{}", 5.0)
        assert len(transport._idle) == 0
