"""Our deliver handler in a network that the bench makes: it has names of its own, and outages.

`NAME-bench.example`, a site of its own, is on loopback. The look-up of `NAME.black-hole.example` hangs, as that of
a name whose name servers do not respond.
"""

import errno
import os
import resource
import socket
import time
from pathlib import Path
from typing import Any

from deliver.http.resolver import CONTROL_NAME
from deliver.http.sockets import Socket
from tests.bench import ours
from tests.bench.measured import Measured

HANG_SECONDS = 30.0
KNOWN, HANGING = "-bench.example", ".black-hole.example"


class Deliverer(Measured):
    """The handler, and what the bench asks of its process."""

    def pid(self) -> int:
        """The process."""
        return os.getpid()

    def descriptors(self) -> int:
        """How many it has open."""
        return len([*Path("/proc/self/fd").iterdir()])


def make(authorities: str, outage: str, descriptors: int | None = None, pause: bool = True) -> Deliverer:
    """Build the handler. While the file `outage` is there, nothing gets out."""
    if descriptors:
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
    _replace_network(Path(outage))
    return Deliverer(ours.make(authorities, pause).handler)


def _replace_network(outage: Path) -> None:
    look_up, connect = socket.getaddrinfo, Socket.begin_connect

    def found(host: Any, *arguments: Any, **options: Any) -> Any:
        name = str(host)
        if name.endswith(HANGING):
            time.sleep(HANG_SECONDS)
            raise socket.gaierror(socket.EAI_AGAIN, "the name's servers do not respond")
        if not name.endswith(KNOWN) and name != CONTROL_NAME:
            return look_up(host, *arguments, **options)
        if outage.exists():
            raise socket.gaierror(socket.EAI_AGAIN, "the resolver does not respond")
        return look_up("127.0.0.1", *arguments, **options)

    def connected(self: Socket, address: Any) -> bool:
        if outage.exists():
            raise OSError(errno.ENETUNREACH, "there is no route")
        return connect(self, address)

    socket.getaddrinfo = found
    Socket.begin_connect = connected  # type: ignore[method-assign]
