"""A name that has no address, and a resolver that does not respond."""

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from deliver.http.faults import DnsError, OurFaultError
from deliver.http.resolver import CONTROL_NAME, RESOLVERS, Resolver, ResolverDownError, ResolversBusyError
from deliver.http.sockets import Call, current_call

FOUND: list[Any] = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.216.34", 443))]


class Zone:
    """Name servers: what each name's look-up returns or raises; one that is None hangs until the test ends."""

    def __init__(self, **names: Any) -> None:
        self.names = {name.replace("_", "."): result for name, result in names.items()}
        self.asked: list[str] = []
        self.over = threading.Event()

    def __call__(self, host: str, *_: Any) -> Any:
        self.asked.append(host)
        result = self.names[host]
        if result is None:
            self.over.wait()
        if isinstance(result, Exception):
            raise result
        return result


@pytest.fixture
def resolver() -> Iterator[Resolver]:
    made = Resolver()
    yield made
    made.close()


def look_up(resolver: Resolver, zone: Zone, monkeypatch: pytest.MonkeyPatch, seconds: float = 5.0) -> list[Any]:
    monkeypatch.setattr(socket, "getaddrinfo", zone)
    current_call.set(Call(time.monotonic() + seconds))
    try:
        return resolver.addresses("hooks.example", 443)
    finally:
        zone.over.set()


AGAIN = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
UNKNOWN = socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def test_a_name_that_is_found_asks_for_no_other(resolver: Resolver, monkeypatch: pytest.MonkeyPatch) -> None:
    zone = Zone(hooks_example=FOUND)
    assert look_up(resolver, zone, monkeypatch) == FOUND
    assert zone.asked == ["hooks.example"]


def test_a_name_that_does_not_exist_is_the_endpoints(resolver: Resolver, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DnsError):
        look_up(resolver, Zone(hooks_example=UNKNOWN), monkeypatch)


@pytest.mark.parametrize("control", [FOUND, UNKNOWN])
def test_a_name_whose_own_servers_fail_is_the_endpoints_while_the_resolver_works(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch, control: Any
) -> None:
    with pytest.raises(DnsError):
        look_up(resolver, Zone(hooks_example=AGAIN, amazonaws_com=control), monkeypatch)


def test_a_resolver_that_says_try_again_of_every_name_was_counted_as_the_endpoints_timeout(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ResolverDownError, match=CONTROL_NAME):
        look_up(resolver, Zone(hooks_example=AGAIN, amazonaws_com=AGAIN), monkeypatch)


def test_a_resolver_that_says_nothing_was_counted_as_the_endpoints_timeout(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ResolverDownError):
        look_up(resolver, Zone(hooks_example=None, amazonaws_com=None), monkeypatch, 0.2)


def test_a_name_whose_look_up_hangs_while_the_resolver_works_is_a_timeout(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(TimeoutError):
        look_up(resolver, Zone(hooks_example=None, amazonaws_com=FOUND), monkeypatch, 0.4)


@pytest.mark.parametrize("number", [socket.EAI_MEMORY, socket.EAI_SYSTEM])
def test_a_look_up_for_which_this_host_has_no_memory_is_ours(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    with pytest.raises(OurFaultError):
        look_up(resolver, Zone(hooks_example=socket.gaierror(number, "no memory")), monkeypatch)


def test_a_name_that_cannot_be_asked_for_is_the_endpoints(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DnsError):
        look_up(resolver, Zone(hooks_example=UnicodeError("label too long")), monkeypatch)


def test_a_look_up_that_never_began_is_our_fault_and_not_the_endpoints(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    zone = Zone(hooks_example=None, amazonaws_com=FOUND)
    for _ in range(RESOLVERS):
        resolver._threads.submit(zone.over.wait)
    with pytest.raises(ResolversBusyError, match=r"hooks\.example"):
        look_up(resolver, zone, monkeypatch, 0.2)


def test_looking_the_control_name_up_takes_one_thread_however_many_names_hang(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    zone = Zone(amazonaws_com=None)
    monkeypatch.setattr(socket, "getaddrinfo", zone)
    assert resolver._ask_control() is resolver._ask_control()
    zone.over.set()
