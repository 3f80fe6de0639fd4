"""The stack that `make run` keeps up, as the bellhop command finds it.

Its address and credentials stand in a file that the process of `make run` keeps locked while the stack is up. So
what a process that died has left there is never taken for a stack.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from pathlib import Path

FILE = Path(__file__).resolve().parents[2] / ".local" / "running.json"
LOCK_SECONDS = 1.0  # whoever only looks holds the lock for less

_USED = "BELLHOP_LOCAL"  # set in a process that uses the stack


class AlreadyRunningError(Exception):
    """Another process keeps a stack up in this directory."""


@contextmanager
def reserved() -> Iterator[None]:
    """Keep the file for this process for the length of the block; `announce` writes it.

    Raises:
        AlreadyRunningError: another process keeps it.
    """
    FILE.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _lock(descriptor)
        os.ftruncate(descriptor, 0)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def announce(env: Mapping[str, str]) -> None:
    """Write what a process needs to use the stack, into a file that is reserved."""
    FILE.write_text(json.dumps(dict(env)))


def find() -> dict[str, str] | None:
    """The environment variables that a process needs to use the stack, or None if none is up."""
    try:
        with FILE.open() as opened:
            if not _is_locked(opened.fileno()):
                return None
            text = opened.read()
    except FileNotFoundError:
        return None
    return dict(json.loads(text)) if text else None


def use(environ: MutableMapping[str, str], env: Mapping[str, str]) -> None:
    """Have this process use the stack that `find` found."""
    environ.update({**env, _USED: "yes"})


def is_used(environ: Mapping[str, str]) -> bool:
    """Whether this process uses it: if nobody listens at its address, it has ended."""
    return _USED in environ


def _lock(descriptor: int) -> None:
    end = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                raise AlreadyRunningError from None
            time.sleep(0.05)
        else:
            return


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False
