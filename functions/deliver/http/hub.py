"""Attempts side by side in one thread: each is a greenlet that gives way where its socket would block.

Threads would hand the interpreter to one another at every such place, which costs half as much CPU as a request.
But in one thread the work for one attempt delays all others. A Meter tells how much of an attempt's time that was.
"""

import math
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
        self._waiting: dict[int, tuple[_Task, float]] = {}
        self._finished: list[T] = []
        self.idle = 0.0  # seconds in which all functions waited

    def start(self, work: Callable[[], T]) -> None:
        """Run `work` until it would block for the first time."""

        def run() -> None:
            result = work()
            self._finished.append(result)  # two lines: wait() replaces the list while `work` runs

        _Task(run, self).resume()

    def wait(self, idle: float = math.inf) -> list[T]:
        """Run the functions until one or more finish; return their results.

        [] when none is left, or all of them have waited for `idle` seconds in sum since the first began.
        """
        while self._waiting and not self._finished and self.idle < idle:
            self._resume_ready(idle - self.idle)
        finished, self._finished = self._finished, []
        return finished

    def close(self) -> None:
        """End the functions that have not finished, as when the caller of `wait` fails."""
        for task, _ in list(self._waiting.values()):
            task.throw()

    def wait_for(self, task: "_Task", descriptor: int, event: int, deadline: float) -> bool:
        """Let the others run; whether the descriptor became ready before the deadline."""
        self._waiting[descriptor] = task, deadline
        try:
            self._poll.register(descriptor, event)
            return bool(task.parent.switch())
        finally:
            del self._waiting[descriptor]
            with suppress(KeyError):  # it was never registered
                self._poll.unregister(descriptor)

    def pause(self, task: "_Task", deadline: float) -> None:
        """Let the others run until the deadline."""
        key = -id(task)  # no descriptor
        self._waiting[key] = task, deadline
        try:
            task.parent.switch()
        finally:
            del self._waiting[key]

    def _resume_ready(self, most: float) -> None:
        began = time.monotonic()
        first = min(deadline for _, deadline in self._waiting.values())
        found = self._poll.poll(max(0.0, min(most, first - began)) * 1000)
        self.idle += time.monotonic() - began
        for descriptor, ready in found:
            self._waiting[descriptor][0].resume(ready)
        now = time.monotonic()
        for task in [task for task, deadline in self._waiting.values() if deadline <= now]:
            task.resume(0)


class _Task(greenlet):  # type: ignore[misc,unused-ignore]
    def __init__(self, run: Callable[[], None], hub: Hub[Any]) -> None:
        super().__init__(run)
        self.hub = hub
        self._processor, self._resumed = 0.0, 0.0

    @property
    def processor(self) -> float:
        """Seconds of CPU that it has taken; to be asked while it runs."""
        return self._processor + time.thread_time() - self._resumed

    def resume(self, *args: Any) -> None:
        """Run it until it would block again."""
        self._resumed = time.thread_time()
        self.switch(*args)
        self._processor += time.thread_time() - self._resumed


class Meter:
    """What one function in a hub takes, from the making of this on. Elsewhere it shows nothing."""

    def __init__(self) -> None:
        current = getcurrent()
        self._task = current if isinstance(current, _Task) else None
        self._before = self._read()

    def read(self) -> tuple[float, float]:
        """Seconds in which the thread was busy, with this function or the others; and its own, of CPU."""
        busy, processor = self._read()
        return busy - self._before[0], processor - self._before[1]

    def _read(self) -> tuple[float, float]:
        if self._task is None:
            return 0.0, 0.0
        return time.monotonic() - self._task.hub.idle, self._task.processor


def runs() -> bool:
    """Whether the current function is one of a hub's."""
    return isinstance(getcurrent(), _Task)


def until(descriptor: int, event: int, seconds: float) -> None:
    """Return when the descriptor is ready. In a hub the other attempts go on meanwhile; elsewhere a thread waits.

    Raises:
        TimeoutError: it was not ready within that time.
    """
    current = getcurrent()
    if isinstance(current, _Task):
        ready = current.hub.wait_for(current, descriptor, event, time.monotonic() + seconds)
    else:
        ready = _poll(descriptor, event, seconds)
    if not ready:
        raise TimeoutError("the deadline has passed")


def pause(seconds: float) -> None:
    """Return after that time. In a hub the other attempts go on meanwhile; elsewhere a thread waits."""
    current = getcurrent()
    if isinstance(current, _Task):
        current.hub.pause(current, time.monotonic() + seconds)
    else:
        time.sleep(seconds)


def is_ready(descriptor: int, event: int) -> bool:
    """Whether the descriptor is ready now."""
    return _poll(descriptor, event, 0.0)


def result(future: Future[T], seconds: float) -> T:
    """The result of a thread's future, which is waited for in the same way.

    Raises:
        TimeoutError: there was none within that time.
    """
    reader, writer = socket.socketpair()
    with reader, writer:
        # Closing the writer makes the reader ready. The future does so, or the end of the wait, whichever is
        # first: a look-up that hangs must not keep a descriptor for each who waited for it.
        future.add_done_callback(lambda _: writer.close())
        until(reader.fileno(), READ, seconds)
    return future.result(0)


def _poll(descriptor: int, event: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, event)
    return bool(poll.poll(max(seconds, 0.0) * 1000))  # poll takes a negative timeout for none
