"""Attempts side by side in one thread: none waits for another, each ends at its own deadline."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import ContextVar

import pytest

from deliver.http import hub, sockets
from deliver.http.hub import READ, WRITE, Hub
from deliver.http.sockets import Call, Socket, current_call

Pair = tuple[socket.socket, socket.socket]
BRIEF, LONG = 0.05, 60.0  # seconds; the long one must never pass


@pytest.fixture
def pairs() -> Iterator[Callable[[], Pair]]:
    made: list[socket.socket] = []

    def pair() -> Pair:
        made.extend(socket.socketpair())
        return made[-2], made[-1]

    yield pair
    for end in made:
        end.close()


def everything(side: Hub[str]) -> list[str]:
    ended: list[str] = []
    while more := side.wait():
        ended += more
    return ended


def test_a_task_that_can_go_on_does_so_while_another_waits(pairs: Callable[[], Pair]) -> None:
    side: Hub[str] = Hub()
    (near, far), order = pairs(), list[str]()

    def listen() -> str:
        hub.until(near.fileno(), READ, LONG)
        order.append(near.recv(10).decode())
        return "listener"

    def speak() -> str:
        order.append("before")
        far.send(b"heard")
        return "speaker"

    side.start(listen)
    side.start(speak)
    assert everything(side) == ["speaker", "listener"]
    assert order == ["before", "heard"]


def test_each_ends_at_its_own_deadline_and_the_others_go_on(pairs: Callable[[], Pair]) -> None:
    side: Hub[str] = Hub()
    heard, far = pairs()

    def wait(name: str, end: socket.socket, seconds: float) -> Callable[[], str]:
        def work() -> str:
            try:
                hub.until(end.fileno(), READ, seconds)
            except TimeoutError:
                return name + " timed out"
            return name + " heard"

        return work

    side.start(wait("patient", heard, LONG))
    for n in range(20):
        side.start(wait(f"{n}", pairs()[0], BRIEF))
    first = side.wait()
    assert "patient heard" not in first
    far.send(b"!")
    assert sorted(first + everything(side)) == sorted([f"{n} timed out" for n in range(20)] + ["patient heard"])


def test_a_deadline_that_has_passed_before_ends_at_once(pairs: Callable[[], Pair]) -> None:
    with pytest.raises(TimeoutError):
        hub.until(pairs()[0].fileno(), READ, -1.0)


def test_what_fails_is_raised_where_it_was_started_or_waited_for(pairs: Callable[[], Pair]) -> None:
    side: Hub[str] = Hub()
    near, _ = pairs()

    def fail() -> str:
        hub.until(near.fileno(), WRITE, LONG)
        raise ValueError("later")

    side.start(fail)
    with pytest.raises(ValueError, match="later"):
        side.wait()
    assert side.wait() == []


def test_an_attempt_keeps_its_own_context_while_others_run(pairs: Callable[[], Pair]) -> None:
    side: Hub[str] = Hub()
    mine: ContextVar[str] = ContextVar("mine")

    def work(name: str) -> Callable[[], str]:
        near, _ = pairs()

        def run() -> str:
            mine.set(name)
            hub.until(near.fileno(), WRITE, LONG)
            return mine.get()

        return run

    for name in ("a", "b", "c"):
        side.start(work(name))
    assert sorted(everything(side)) == ["a", "b", "c"]


def test_a_threads_result_is_waited_for_while_others_go_on(pairs: Callable[[], Pair]) -> None:
    side: Hub[str] = Hub()
    near, far = pairs()
    looked_up = threading.Event()
    with ThreadPoolExecutor(1) as pool:

        def look_up() -> str:
            return hub.result(pool.submit(lambda: (looked_up.wait(LONG) and "address") or "late"), LONG)

        def other() -> str:
            hub.until(near.fileno(), READ, LONG)
            looked_up.set()
            return "other"

        side.start(look_up)
        side.start(other)
        far.send(b"!")
        assert everything(side) == ["other", "address"]


def test_others_go_on_while_one_pauses(pairs: Callable[[], Pair]) -> None:
    side: Hub[str] = Hub()
    near, far = pairs()

    def pauses() -> str:
        hub.pause(BRIEF)
        far.send(b"!")
        hub.pause(-1.0)
        return "paused"

    def other() -> str:
        hub.until(near.fileno(), READ, LONG)
        return "other"

    side.start(pauses)
    side.start(other)
    assert sorted(everything(side)) == ["other", "paused"]


def test_whoever_waits_may_look_after_something_else_meanwhile(pairs: Callable[[], Pair]) -> None:
    side: Hub[str] = Hub()
    near, far = pairs()

    def listen() -> str:
        hub.until(near.fileno(), READ, LONG)
        return near.recv(10).decode()

    side.start(listen)
    assert side.wait(BRIEF) == []
    assert side.idle >= BRIEF
    far.sendall(b"at last")
    assert side.wait(LONG) == ["at last"]
    assert side.wait() == []


def busy(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def test_what_one_function_calculates_delays_the_others_and_is_no_time_in_which_they_waited() -> None:
    side: Hub[tuple[str, float, float]] = Hub()

    def patient() -> tuple[str, float, float]:
        meter = hub.Meter()
        hub.pause(BRIEF)
        return "patient", *meter.read()

    def costly() -> tuple[str, float, float]:
        meter = hub.Meter()
        busy(2 * BRIEF)
        hub.pause(BRIEF)
        busy(BRIEF)
        return "costly", *meter.read()

    side.start(patient)
    side.start(costly)
    results: dict[str, tuple[float, float]] = {}
    while more := side.wait():
        results |= {name: (delayed, processor) for name, delayed, processor in more}
    assert results["patient"][0] >= 2 * BRIEF  # it went on when the other paused
    assert results["patient"][1] < BRIEF
    assert results["costly"][1] >= 3 * BRIEF


def test_functions_that_wait_delay_nobody(pairs: Callable[[], Pair]) -> None:
    side: Hub[float] = Hub()

    def listen() -> float:
        meter, began = hub.Meter(), time.monotonic()
        with suppress(TimeoutError):
            hub.until(pairs()[0].fileno(), READ, BRIEF)
        return time.monotonic() - began - meter.read()[0]

    side.start(listen)
    [waited] = side.wait()
    assert waited >= BRIEF / 2


def test_outside_a_hub_a_meter_shows_nothing() -> None:
    meter = hub.Meter()
    busy(BRIEF)
    assert meter.read() == (0.0, 0.0)


def test_outside_a_hub_a_thread_pauses() -> None:
    begun = time.monotonic()
    hub.pause(BRIEF)
    assert time.monotonic() - begun >= BRIEF / 2


def test_a_thread_that_takes_too_long_is_not_waited_for(pairs: Callable[[], Pair]) -> None:
    never: Future[str] = Future()
    with pytest.raises(TimeoutError):
        hub.result(never, BRIEF)
    never.set_result("late")  # the late result closes a socket that nobody reads


def test_outside_a_hub_a_thread_waits(pairs: Callable[[], Pair]) -> None:
    near, far = pairs()
    far.send(b"!")
    hub.until(near.fileno(), READ, LONG)
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        hub.until(pairs()[0].fileno(), READ, BRIEF)
    assert time.monotonic() - begun >= BRIEF / 2


def test_a_task_that_still_waits_when_its_hub_is_closed_ends_and_cleans_up(pairs: Callable[[], Pair]) -> None:
    side: Hub[str] = Hub()
    cleaned: list[str] = []

    def work() -> str:
        try:
            hub.until(pairs()[0].fileno(), READ, LONG)
        finally:
            cleaned.append("up")
        return "never"

    side.start(work)
    side.close()
    assert cleaned == ["up"]


def test_a_peer_whose_data_never_runs_dry_does_not_hold_up_the_others(pairs: Callable[[], Pair]) -> None:
    side: Hub[str] = Hub()
    near, far = pairs()
    far.sendall(b"x" * 1000)
    ready, speaks = pairs()
    speaks.send(b"!")

    def flooded() -> str:
        current_call.set(Call(time.monotonic() + LONG))
        with Socket(fileno=near.detach()) as flood:
            flood.settimeout(None)
            for _ in range(sockets.FREE_READS):
                flood.recv_into(bytearray(1))
        return "flooded"

    def other() -> str:
        hub.until(ready.fileno(), READ, LONG)
        return "other"

    side.start(flooded)
    side.start(other)
    assert everything(side) == ["other", "flooded"]
