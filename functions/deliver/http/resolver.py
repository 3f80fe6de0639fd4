"""Looks names up in threads, and tells a name that has no address from a resolver that does not respond."""

import socket
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, NoReturn

from deliver.http import hub
from deliver.http.faults import DnsError, OurFaultError
from deliver.http.sockets import current_call

RESOLVERS = 32  # threads, made when they are needed: a look-up that hangs holds one until the system gives up

# Looked up when another name's look-up fails or hangs in a way that may be the resolver's fault. Whatever definite
# comes back, even that there is no such name, shows that the resolver works. Nothing works without AWS's names.
CONTROL_NAME = "amazonaws.com"

_OURS = {socket.EAI_MEMORY, socket.EAI_SYSTEM}


class ResolversBusyError(OurFaultError):
    """Other names' look-ups hang, and this one never began."""


class ResolverDownError(OurFaultError):
    """The resolver does not respond, whatever it is asked."""


class Resolver:
    """Looks names up; each waits in the hub, for at most what the current call has left."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(RESOLVERS, "resolve")
        self._control_thread = ThreadPoolExecutor(1, "resolve-control")  # which names that hang cannot take
        self._control: Future[Any] | None = None

    def addresses(self, host: str, port: int) -> list[Any]:
        """What getaddrinfo finds.

        Raises:
            DnsError: the name has no address.
            OurFaultError: the resolver does not respond, or no thread was free.
            TimeoutError: the name's own look-up took too long.
        """
        call = current_call.get()
        lookup = self._threads.submit(socket.getaddrinfo, host, port, 0, socket.SOCK_STREAM)
        try:
            with suppress(TimeoutError):
                return hub.result(lookup, call.remaining() / 2)
            self._ask_control()
            return hub.result(lookup, call.remaining())
        except TimeoutError:
            if lookup.cancel():
                raise ResolversBusyError(f"no resolver was free for {host}") from None
            if not self._works():
                raise ResolverDownError(f"the resolver found nothing, neither {host} nor {CONTROL_NAME}") from None
            raise
        except (socket.gaierror, UnicodeError) as error:
            self._raise_fault(host, error)

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False)
        self._control_thread.shutdown(wait=False)

    def _raise_fault(self, host: str, error: Exception) -> NoReturn:
        number = error.errno if isinstance(error, socket.gaierror) else None
        if number in _OURS:
            raise OurFaultError(f"{host}: {error}") from error
        if number == socket.EAI_AGAIN:
            # Said of a name whose own name servers fail, and of every name while the resolver fails.
            with suppress(OSError):
                hub.result(self._ask_control(), current_call.get().remaining())
            if not self._works():
                raise ResolverDownError(f"{host}: {error}; nor does it find {CONTROL_NAME}") from error
        raise DnsError(str(error)) from error

    def _ask_control(self) -> "Future[Any]":
        """Look the control name up, or wait with others for the look-up that is on its way."""
        if self._control is None or self._control.done():
            self._control = self._control_thread.submit(socket.getaddrinfo, CONTROL_NAME, None)
        return self._control

    def _works(self) -> bool:
        if self._control is None or not self._control.done():
            return False
        error = self._control.exception()
        return error is None or (isinstance(error, socket.gaierror) and error.errno == socket.EAI_NONAME)
