"""Starting programs that end with this process, and waiting for what they bring about."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

LEASH = Path(__file__).with_name("leash.py")
END_SECONDS = 15.0  # longer than the leash's own grace
TAIL = 4_000

T = TypeVar("T")


class LocalError(Exception):
    """Something on this machine did not work; the message says what and shows the end of its log."""


@contextmanager
def leashed(
    command: Sequence[str], env: Mapping[str, str], log: Path, cwd: Path | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a program for the length of the block; at its end the program and all it started are gone."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-I", str(LEASH), *command],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(env),
            cwd=cwd,
            start_new_session=True,  # the terminal's Ctrl-C is ours alone to act on
        )
    try:
        yield process
    finally:
        if process.stdin:
            process.stdin.close()
        process.wait(END_SECONDS)


def run(command: Sequence[str], env: Mapping[str, str], log: Path, cwd: Path | None = None) -> None:
    """Run a program to its end.

    Raises:
        LocalError: it failed.
    """
    with leashed(command, env, log, cwd) as process:
        code = process.wait()
    if code:
        raise LocalError(f"{Path(command[0]).name} {command[1]} ended with {code}:\n{tail(log)}")


def tail(log: Path) -> str:
    """The end of a log."""
    return log.read_text(errors="replace")[-TAIL:] if log.exists() else "(it wrote nothing)"


def until(condition: Callable[[], T | None], seconds: float, what: str, every: float = 0.05) -> T:
    """The first true value of `condition`.

    Raises:
        TimeoutError: there was none in `seconds`; the message is `what` and the last value.
    """
    end = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {seconds:g} s; last seen {value!r}")
        time.sleep(every)
    return value
