"""A name that has no address, and a resolver that does not respond."""

import socket
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from deliver.http.faults import DnsError, OurFaultError
from deliver.http.hub import Hub
from deliver.http.resolver import (
    CONTROL_NAME,
    CROWDED_SECONDS,
    HANG_SECONDS,
    HUNG_LOOKUPS,
    LOOKUPS,
    MAX_ADDRESSES,
    MOST_ADDRESSES,
    REMEMBERED_NAMES,
    REMEMBERED_SECONDS,
    UNKNOWN_LOOKUPS,
    Resolver,
    ResolverDownError,
    ResolversBusyError,
)
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
        result = self.names.get(host)
        if result is None:
            self.over.wait()
            raise socket.gaierror(socket.EAI_AGAIN, "the system gave up")
        if isinstance(result, Exception):
            raise result
        return result


@dataclass
class Clock:
    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def resolver(clock: Clock) -> Iterator[Resolver]:
    made = Resolver(clock)
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
        look_up(resolver, Zone(hooks_example=None, amazonaws_com=None), monkeypatch, 1.2 * HANG_SECONDS)


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


def test_looking_the_control_name_up_takes_one_thread_however_many_names_hang(
    resolver: Resolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    zone = Zone(amazonaws_com=None)
    monkeypatch.setattr(socket, "getaddrinfo", zone)
    assert resolver._ask_control() is resolver._ask_control()
    zone.over.set()


# ---- Names that hang leave the others alone


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Zone]:
    """Every name hangs but the control name."""
    made = Zone(amazonaws_com=FOUND)
    monkeypatch.setattr(socket, "getaddrinfo", made)
    yield made
    made.over.set()


def batch(resolver: Resolver, zone: Zone, names: Iterable[str]) -> dict[str, list[str]]:
    """Look names up beside one another, as the attempts of a batch do; for each outcome, the names that had it."""
    outcomes: dict[str, list[str]] = {}

    def one(name: str) -> None:
        current_call.set(Call(time.monotonic() + (30.0 if zone.names.get(name) else 0.6)))
        try:
            resolver.addresses(name, 443)
        except (OSError, OurFaultError, DnsError) as error:
            outcomes.setdefault(type(error).__name__, []).append(name)
        else:
            outcomes.setdefault("found", []).append(name)

    side: Hub[None] = Hub()
    for name in names:
        side.start(partial(one, name))
    while side.wait():
        pass
    return {outcome: sorted(of_it) for outcome, of_it in outcomes.items()}


def names(label: str, number: int) -> list[str]:
    return [f"{label}-{n:03}.example" for n in range(number)]


def test_look_ups_of_one_name_that_hang_took_the_threads_of_every_other_name(
    resolver: Resolver, zone: Zone
) -> None:
    healthy = names("healthy", 68)
    zone.names.update(dict.fromkeys(healthy, FOUND))
    for _ in range(2):
        outcomes = batch(resolver, zone, ["hole.example"] * 32 + healthy)
        assert outcomes == {"found": healthy, "TimeoutError": ["hole.example"] * 32}
    assert zone.asked.count("hole.example") == 1


def test_a_whole_batch_of_names_that_hang_leaves_a_thread_for_the_one_that_does_not(
    resolver: Resolver, zone: Zone
) -> None:
    zone.names["healthy.example"] = FOUND
    holes = names("hole", 99)
    outcomes = batch(resolver, zone, [*holes, "healthy.example"])
    assert outcomes.pop("found") == ["healthy.example"]
    # On a busy machine some of them find no thread before their time is over, or it ends before anything is found.
    assert outcomes.keys() <= {"TimeoutError", "ResolversBusyError", "ResolverDownError"}
    assert sorted(name for ended in outcomes.values() for name in ended) == holes


def test_ever_new_names_that_hang_leave_threads_for_names_that_were_found_before(
    resolver: Resolver, zone: Zone
) -> None:
    zone.names |= {"known.example": FOUND, "unknown.example": FOUND}
    assert batch(resolver, zone, ["known.example"]) == {"found": ["known.example"]}
    batch(resolver, zone, names("hole", UNKNOWN_LOOKUPS))
    outcomes = batch(resolver, zone, [*names("other", 10), "unknown.example", "known.example"])
    assert outcomes["found"] == ["known.example"]
    assert outcomes["ResolversBusyError"] == [*names("other", 10), "unknown.example"]
    assert len(resolver._under_way) < LOOKUPS


def test_who_finds_no_thread_is_told_so_before_anybody_else_is_waited_for(resolver: Resolver, zone: Zone) -> None:
    batch(resolver, zone, names("hole", UNKNOWN_LOOKUPS))
    current_call.set(Call(time.monotonic() + 60))
    with pytest.raises(ResolversBusyError, match=r"late\.example"):  # outside a hub, it would wait for a minute
        resolver.addresses("late.example", 443)


def test_a_name_that_still_hangs_ends_the_next_attempt_at_once_as_the_endpoints_timeout(
    resolver: Resolver, zone: Zone
) -> None:
    batch(resolver, zone, ["hole.example"])
    current_call.set(Call(time.monotonic() + 60))
    with pytest.raises(TimeoutError, match="by an earlier attempt"):
        resolver.addresses("hole.example", 443)
    assert zone.asked.count("hole.example") == 1


def test_names_that_hung_before_share_a_few_threads_for_a_while(
    resolver: Resolver, zone: Zone, clock: Clock
) -> None:
    holes = names("hole", HUNG_LOOKUPS + 4)
    zone.names["healthy.example"] = FOUND
    for _ in range(2):
        batch(resolver, zone, holes)
        end_look_ups(resolver, zone)
    outcomes = batch(resolver, zone, [*holes, "healthy.example"])
    assert (len(outcomes["TimeoutError"]), len(outcomes["ResolversBusyError"])) == (HUNG_LOOKUPS, 4)
    assert outcomes["found"] == ["healthy.example"]
    end_look_ups(resolver, zone)
    clock.now += REMEMBERED_SECONDS
    assert batch(resolver, zone, holes)["TimeoutError"] == holes


def test_a_name_that_is_found_again_is_no_suspect_any_more(resolver: Resolver, zone: Zone) -> None:
    batch(resolver, zone, ["hole.example"])
    end_look_ups(resolver, zone)
    assert resolver._names.found("hole.example") is False
    zone.names["hole.example"] = FOUND
    assert batch(resolver, zone, ["hole.example"]) == {"found": ["hole.example"]}
    assert resolver._names.found("hole.example") is True


def test_while_the_resolver_says_nothing_no_name_is_remembered_as_one_that_hangs(
    resolver: Resolver, zone: Zone
) -> None:
    zone.names[CONTROL_NAME] = None
    assert batch(resolver, zone, ["a.example"]) == {"ResolverDownError": ["a.example"]}
    assert resolver._names.found("a.example") is None
    assert batch(resolver, zone, ["a.example"]) == {"ResolverDownError": ["a.example"]}


def test_an_attempt_with_little_time_left_made_a_suspect_of_a_name_that_is_well(
    resolver: Resolver, zone: Zone
) -> None:
    current_call.set(Call(time.monotonic() + HANG_SECONDS / 2))
    with pytest.raises(TimeoutError):
        resolver.addresses("hole.example", 443)
    assert resolver._names.found("hole.example") is None
    assert not resolver._under_way["hole.example"].hung


def test_an_endpoint_whose_token_came_late_had_its_own_name_taken_for_our_resolvers_silence(
    resolver: Resolver, zone: Zone
) -> None:
    zone.names[CONTROL_NAME] = None  # there is no time to hear of it
    current_call.set(Call(time.monotonic() + HANG_SECONDS / 10))
    with pytest.raises(TimeoutError):
        resolver.addresses("hole.example", 443)
    assert resolver._control is None  # nor do others who wait for a name have it asked for again


def test_what_is_known_of_names_is_bounded(resolver: Resolver) -> None:
    for name in names("any", REMEMBERED_NAMES + 1):
        resolver._names.note(name, found=True)
    assert len(resolver._names._known) == REMEMBERED_NAMES
    assert resolver._names.found("any-000.example") is None


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts the descriptors of this process")
def test_who_waited_for_a_look_up_that_hangs_leaves_no_descriptor_open(resolver: Resolver, zone: Zone) -> None:
    batch(resolver, zone, ["other.example"])
    before = len(list(Path("/proc/self/fd").iterdir()))
    batch(resolver, zone, ["hole.example"] * 20)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_an_address_has_the_port_that_is_asked_for(resolver: Resolver, zone: Zone) -> None:
    zone.names["both.example"] = [*FOUND, (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2600::1", 0, 7, 8))]
    current_call.set(Call(time.monotonic() + 5))
    found = resolver.addresses("both.example", 8443)
    assert [address for *_, address in found] == [("93.184.216.34", 8443), ("2600::1", 8443, 7, 8)]


def test_families_take_turns(resolver: Resolver, zone: Zone) -> None:
    v6: list[Any] = [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", (f"2600::{n}", 0, 0, 0)) for n in range(3)]
    zone.names["both.example"] = [*v6, *FOUND]
    current_call.set(Call(time.monotonic() + 5))
    found = resolver.addresses("both.example", 443)
    assert [address[0] for *_, address in found] == ["2600::0", "93.184.216.34", "2600::1", "2600::2"]


def test_of_a_names_addresses_a_few_are_tried(resolver: Resolver, zone: Zone) -> None:
    zone.names["many.example"] = FOUND * MOST_ADDRESSES
    current_call.set(Call(time.monotonic() + 5))
    assert len(resolver.addresses("many.example", 443)) == MAX_ADDRESSES


def test_a_name_with_thousands_of_addresses_was_looked_up_for_each_attempt(
    resolver: Resolver, zone: Zone, clock: Clock
) -> None:
    zone.names["many.example"] = FOUND * 4000
    for _ in range(3):
        current_call.set(Call(time.monotonic() + 5))
        with pytest.raises(DnsError, match="has 4,000 addresses; at most 64 are possible"):
            resolver.addresses("many.example", 443)
    assert zone.asked == ["many.example"]
    zone.names["many.example"] = FOUND
    clock.now += CROWDED_SECONDS
    assert resolver.addresses("many.example", 443)


def end_look_ups(resolver: Resolver, zone: Zone) -> None:
    """Let the look-ups that hang end, and those that come hang again."""
    under_way = [look_up.future for look_up in resolver._under_way.values()]
    zone.over.set()
    wait(under_way)
    zone.over = threading.Event()
