"""Several addresses of one name: the next is tried beside the first, and the first that accepts wins."""

import errno
import os
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from deliver.http import hub, sockets
from deliver.http.faults import NoIpv6Error
from deliver.http.resolver import MAX_ADDRESSES
from deliver.http.sockets import RACING, Call, Socket, connect_first, current_call

V4, V6 = socket.AF_INET, socket.AF_INET6


def address(host: str, port: int = 1, family: int = V4) -> Any:
    return (family, socket.SOCK_STREAM, 6, "", (host, port) if family == V4 else (host, port, 0, 0))


@pytest.fixture(autouse=True)
def call() -> None:
    current_call.set(Call(time.monotonic() + 10))


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def swallowing() -> Iterator[int]:
    """A port of loopback whose queue is full: further packets are swallowed."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for connection in waiting:
            connection.setblocking(False)
            connection.connect_ex(full.getsockname())
        yield full.getsockname()[1]
        for connection in waiting:
            connection.close()


class Begun:
    """Every connect that begins, and those that are made to fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **failing: int) -> None:
        self.sockets: list[Socket] = []
        self.hosts: list[str] = []
        begin = Socket.begin_connect

        def noted(connection: Socket, target: Any) -> bool:
            self.sockets.append(connection)
            self.hosts.append(target[0])
            number = failing.get("v6" if connection.family == V6 else "v4")
            if number:
                raise OSError(number, os.strerror(number))
            return begin(connection, target)

        monkeypatch.setattr(Socket, "begin_connect", noted)


def test_a_first_address_that_swallows_packets_took_half_of_the_deadline(
    monkeypatch: pytest.MonkeyPatch, swallowing: int, listening: int
) -> None:
    begun, waits, until = Begun(monkeypatch), list[float](), hub.until

    def noted(descriptor: int, event: int, seconds: float) -> None:
        waits.append(seconds)
        until(descriptor, event, seconds)

    monkeypatch.setattr(hub, "until", noted)
    with connect_first([address("127.0.0.1", swallowing), address("127.0.0.1", listening)]) as won:
        assert won.getpeername()[1] == listening
    assert [connection.fileno() for connection in begun.sockets] == [-1, -1]  # the loser is closed too
    assert waits[0] == sockets.NEXT_ADDRESS_SECONDS


def test_a_first_address_that_accepts_leaves_the_others_alone(
    monkeypatch: pytest.MonkeyPatch, listening: int
) -> None:
    begun = Begun(monkeypatch)
    connect_first([address("127.0.0.1", listening), address("127.0.0.2", listening)]).close()
    assert begun.hosts == ["127.0.0.1"]


def test_the_addresses_of_one_name_held_a_descriptor_each(
    monkeypatch: pytest.MonkeyPatch, swallowing: int, listening: int
) -> None:
    monkeypatch.setattr(sockets, "NEXT_ADDRESS_SECONDS", 0.01)
    begun, most, until = Begun(monkeypatch), list[int](), hub.until

    def noted(descriptor: int, event: int, seconds: float) -> None:
        most.append(sum(connection.fileno() >= 0 for connection in begun.sockets))
        until(descriptor, event, seconds)

    monkeypatch.setattr(hub, "until", noted)
    swallow = [address("127.0.0.1", swallowing)] * (MAX_ADDRESSES - 1)
    with connect_first([*swallow, address("127.0.0.1", listening)]) as won:
        assert won.getpeername()[1] == listening
    assert max(most) == RACING
    assert {connection.fileno() for connection in begun.sockets} == {-1}


def test_when_every_address_swallows_packets_the_deadline_ends_it(swallowing: int) -> None:
    current_call.set(Call(time.monotonic() + 0.4))
    with pytest.raises(TimeoutError):
        connect_first([address("127.0.0.1", swallowing)] * 2)


def test_a_missing_route_to_ipv6_hides_nothing_of_what_ipv4_said(monkeypatch: pytest.MonkeyPatch) -> None:
    Begun(monkeypatch, v4=errno.ECONNREFUSED, v6=errno.ENETUNREACH)
    with pytest.raises(ConnectionRefusedError):
        connect_first([address("fd00::1", family=V6), address("127.0.0.1")])


def test_a_name_with_ipv6_alone_is_told_that_there_is_no_route(monkeypatch: pytest.MonkeyPatch) -> None:
    Begun(monkeypatch, v6=errno.ENETUNREACH)
    with pytest.raises(NoIpv6Error, match="give it an IPv4 address"):
        connect_first([address("fd00::1", family=V6)])


def test_ports_that_ran_out_decide_though_another_address_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    Begun(monkeypatch, v4=errno.EADDRNOTAVAIL, v6=errno.ECONNREFUSED)
    with pytest.raises(OSError, match="Cannot assign") as caught:
        connect_first([address("fd00::1", family=V6), address("127.0.0.1")])
    assert caught.value.errno == errno.EADDRNOTAVAIL


@pytest.mark.parametrize("number", [errno.ENETUNREACH, errno.EACCES, errno.EPERM])
def test_a_router_or_firewall_of_theirs_was_taken_for_a_fault_of_ours(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    with Socket(V4, socket.SOCK_STREAM) as connection:
        monkeypatch.setattr(Socket, "getsockopt", lambda *_: number)
        with pytest.raises(OSError, match="host") as caught:
            connection.finish_connect()
    assert caught.value.errno == errno.EHOSTUNREACH


def test_a_name_without_addresses_is_said_to_have_none() -> None:
    with pytest.raises(OSError, match="no addresses"):
        connect_first([])
