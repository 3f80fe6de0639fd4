"""Looks names up in threads, and tells a name that has no address from a resolver that does not respond.

A look-up that hangs holds its thread until the system gives up, which may be long after the attempt has ended. So
that no endpoint's name servers take the threads of the others, all who want a name share one look-up, and how many
there may be under way depends on what is known of the name:

    found before           up to LOOKUPS
    not asked for before   up to UNKNOWN_LOOKUPS: those that hang leave threads for names that were found
    hung the last time     up to HUNG_LOOKUPS of its kind

Who finds no thread is told so at once.
"""

import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import chain, zip_longest
from typing import Any, NoReturn

from cachetools import TTLCache

from deliver.http import hub
from deliver.http.faults import DnsError, OurFaultError
from deliver.http.sockets import current_call

# Threads, made when they are needed. Of names that nothing is known of, one batch has no more than 100: in a
# process where nothing hangs yet, each finds a thread, even if the others of its batch all hang.
LOOKUPS, UNKNOWN_LOOKUPS, HUNG_LOOKUPS = 160, 112, 16
# Who waited for less has not seen a look-up hang, as on a new connection at the end of a deadline.
HANG_SECONDS = 0.5
REMEMBERED_SECONDS = 60.0
REMEMBERED_NAMES = 4096

# Of one name: as many as are tried.
MAX_ADDRESSES = 8
# A name may have thousands, and its look-up takes the processor for long. It is not made again soon.
MOST_ADDRESSES = 64
CROWDED_SECONDS = 3600.0

# Looked up when another name's look-up fails or hangs in a way that may be the resolver's fault. Whatever definite
# comes back, even that there is no such name, shows that the resolver works. Nothing works without AWS's names.
CONTROL_NAME = "amazonaws.com"

_OURS = {socket.EAI_MEMORY, socket.EAI_SYSTEM}


class ResolversBusyError(OurFaultError):
    """Other names' look-ups hang, and this one never began."""


class ResolverDownError(OurFaultError):
    """The resolver does not respond, whatever it is asked."""


class _LookUp:
    """One look-up of a name. `hung`: it took longer than an attempt had time for, while the resolver worked."""

    def __init__(self, future: "Future[Any]", *, suspect: bool) -> None:
        self.future = future
        self.suspect = suspect
        self.hung = False


class _Names:
    """What is known of names: found or hung, and when. The last to be asked for are remembered, for a minute."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._known: dict[str, tuple[bool, float]] = {}  # the one that was noted longest ago comes first

    def note(self, host: str, *, found: bool) -> None:
        self._known.pop(host, None)
        self._known[host] = found, self._clock()
        if len(self._known) > REMEMBERED_NAMES:
            del self._known[next(iter(self._known))]

    def found(self, host: str) -> bool | None:
        """Whether the name was found; None when nothing is known. A name that was found stays so."""
        found, at = self._known.get(host, (None, 0.0))
        if found is False and not 0 <= self._clock() - at < REMEMBERED_SECONDS:
            return None
        return found


class Resolver:
    """Looks names up; each who wants one waits in the hub, for at most what the current call has left."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._names = _Names(clock)
        self._crowded: TTLCache[str, int] = TTLCache(REMEMBERED_NAMES, CROWDED_SECONDS, clock)
        self._threads = ThreadPoolExecutor(LOOKUPS, "resolve")
        self._control_thread = ThreadPoolExecutor(1, "resolve-control")  # which names that hang cannot take
        self._control: Future[Any] | None = None
        self._under_way: dict[str, _LookUp] = {}
        self._lock = threading.Lock()

    def addresses(self, host: str, port: int) -> list[Any]:
        """What getaddrinfo finds, for that port, in the order in which it is to be tried.

        Raises:
            DnsError: the name has no address, or more than MOST_ADDRESSES.
            OurFaultError: the resolver does not respond, or no thread was free.
            TimeoutError: the name's own look-up takes too long.
        """
        self._refuse_crowded(host)
        with self._lock:
            look_up = self._look_up(host)
        if look_up.hung:
            self._refuse(host)
        try:
            found = self._wait(host, look_up)
        except (socket.gaierror, UnicodeError) as error:
            self._raise_fault(host, error)
        if len(found) > MOST_ADDRESSES:
            self._crowded[host] = len(found)
        self._refuse_crowded(host)
        self._names.note(host, found=True)
        return [(*kind, (address[0], port, *address[2:])) for *kind, address in _to_try(found)]

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False)
        self._control_thread.shutdown(wait=False)

    def _look_up(self, host: str) -> _LookUp:
        """The one that is under way, or a new one."""
        self._under_way = {name: each for name, each in self._under_way.items() if not each.future.done()}
        if host in self._under_way:
            return self._under_way[host]
        found = self._names.found(host)
        if found is False:
            free = sum(each.suspect for each in self._under_way.values()) < HUNG_LOOKUPS
        else:
            free = len(self._under_way) < (LOOKUPS if found else UNKNOWN_LOOKUPS)
        if not free:
            raise ResolversBusyError(f"no resolver was free for {host}")
        future = self._threads.submit(socket.getaddrinfo, host, None, 0, socket.SOCK_STREAM)
        self._under_way[host] = look_up = _LookUp(future, suspect=found is False)
        return look_up

    def _wait(self, host: str, look_up: _LookUp) -> Any:
        call = current_call.get()
        seconds = call.remaining()
        if seconds < HANG_SECONDS:  # too short to tell whose look-ups hang; the endpoint may have used up the rest
            return hub.result(look_up.future, seconds)
        with suppress(TimeoutError):
            return hub.result(look_up.future, seconds / 2)
        self._ask_control()
        try:
            return hub.result(look_up.future, call.remaining())
        except TimeoutError:
            self._check_works(f"the resolver found nothing, neither {host} nor {CONTROL_NAME}")
            look_up.hung = True
            self._names.note(host, found=False)
            raise

    def _refuse(self, host: str) -> NoReturn:
        """End at once an attempt whose name hangs since an earlier one, unless it is the resolver that hangs."""
        with suppress(OSError):
            hub.result(self._ask_control(), current_call.get().remaining())
        self._check_works(f"the resolver found nothing, neither {host} nor {CONTROL_NAME}")
        raise TimeoutError(f"the look-up of {host} by an earlier attempt has not ended yet")

    def _refuse_crowded(self, host: str) -> None:
        number = self._crowded.get(host)
        if number:
            raise DnsError(f"{host} has {number:,} addresses; at most {MOST_ADDRESSES} are possible")

    def _raise_fault(self, host: str, error: Exception) -> NoReturn:
        number = error.errno if isinstance(error, socket.gaierror) else None
        if number in _OURS:
            raise OurFaultError(f"{host}: {error}") from error
        if number == socket.EAI_AGAIN:
            # Said of a name whose own name servers fail, and of every name while the resolver fails.
            with suppress(OSError):
                hub.result(self._ask_control(), current_call.get().remaining())
            self._check_works(f"{host}: {error}; nor does it find {CONTROL_NAME}")
        raise DnsError(str(error)) from error

    def _ask_control(self) -> "Future[Any]":
        """Look the control name up, or wait with others for the look-up that is on its way."""
        if self._control is None or self._control.done():
            self._control = self._control_thread.submit(socket.getaddrinfo, CONTROL_NAME, None)
        return self._control

    def _check_works(self, otherwise: str) -> None:
        """Raise ResolverDownError unless the control name's look-up said something definite."""
        if self._control is not None and self._control.done():
            error = self._control.exception()
            if error is None or (isinstance(error, socket.gaierror) and error.errno == socket.EAI_NONAME):
                return
        raise ResolverDownError(otherwise)


def _to_try(found: list[Any]) -> list[Any]:
    """The families in turn, beginning with the first one's (RFC 8305 section 4)."""
    first = [address for address in found if address[0] == found[0][0]]
    others = [address for address in found if address[0] != found[0][0]]
    return [address for address in chain.from_iterable(zip_longest(first, others)) if address][:MAX_ADDRESSES]
