"""Attempts side by side in one thread: each is a greenlet that gives way where its socket would block.

Threads would hand the interpreter to one another at every such place, which costs as much as half a request.
"""

import select
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Generic, TypeVar

from greenlet import getcurrent, greenlet

READ, WRITE = select.POLLIN, select.POLLOUT

T = TypeVar("T")


class Hub(Generic[T]):
    """Runs functions side by side, in the thread that calls `wait`."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._parked: dict[int, tuple[_Attempt, float]] = {}
        self._ended: list[T] = []

    def start(self, work: Callable[[], T]) -> None:
        """Run `work` until it would block for the first time."""

        def run() -> None:
            result = work()
            self._ended.append(result)  # not in one line: which list it is has to be looked up afterwards

        _Attempt(run, self).switch()

    def wait(self) -> list[T]:
        """What those returned that ended meanwhile; goes on with the others until one does."""
        while self._parked and not self._ended:
            self._turn()
        ended, self._ended = self._ended, []
        return ended

    def close(self) -> None:
        """End what has not ended, as when whoever waits is ended itself."""
        for attempt, _ in list(self._parked.values()):
            attempt.throw()

    def park(self, attempt: "_Attempt", descriptor: int, event: int, deadline: float) -> bool:
        """Give way; whether the descriptor became ready before the deadline."""
        self._parked[descriptor] = attempt, deadline
        try:
            self._poll.register(descriptor, event)
            return bool(attempt.parent.switch())
        finally:
            del self._parked[descriptor]
            with suppress(KeyError):  # it was never registered
                self._poll.unregister(descriptor)

    def _turn(self) -> None:
        left = min(deadline for _, deadline in self._parked.values()) - time.monotonic()
        for descriptor, ready in self._poll.poll(max(left, 0.0) * 1000):
            self._parked[descriptor][0].switch(ready)
        now = time.monotonic()
        for attempt in [attempt for attempt, deadline in self._parked.values() if deadline <= now]:
            attempt.switch(0)


class _Attempt(greenlet):  # type: ignore[misc,unused-ignore]
    def __init__(self, run: Callable[[], None], hub: Hub[Any]) -> None:
        super().__init__(run)
        self.hub = hub


def until(descriptor: int, event: int, seconds: float) -> None:
    """Return when the descriptor is ready. In a hub the other attempts go on meanwhile; elsewhere a thread waits.

    Raises:
        TimeoutError: it was not within that time.
    """
    here = getcurrent()
    if isinstance(here, _Attempt):
        ready = here.hub.park(here, descriptor, event, time.monotonic() + seconds)
    else:
        ready = _poll(descriptor, event, seconds)
    if not ready:
        raise TimeoutError("the deadline has passed")


def result(future: Future[T], seconds: float) -> T:
    """What a thread makes of the future, waited for in the same way."""
    ear, bell = socket.socketpair()
    with ear:
        # Only the future closes the bell, which may be after nobody listens any more.
        future.add_done_callback(lambda _: bell.close())
        until(ear.fileno(), READ, seconds)
    return future.result(0)


def _poll(descriptor: int, event: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, event)
    return bool(poll.poll(max(seconds, 0.0) * 1000))  # a negative timeout would be none
