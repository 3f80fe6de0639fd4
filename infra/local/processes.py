"""Starting programs that end together with this process, and waiting for what they bring about."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

SUPERVISOR = Path(__file__).with_name("supervise.py")
EXIT_SECONDS = 15.0  # longer than the supervisor's own grace period
TAIL_CHARACTERS = 4_000

T = TypeVar("T")


class LocalError(Exception):
    """Something on this machine did not work. The message says what, and shows the end of its log."""


@contextmanager
def supervised(
    command: Sequence[str], env: Mapping[str, str], log: Path, cwd: Path | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a program for the length of the block. Afterwards the program and all that it started are gone."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-I", str(SUPERVISOR), *command],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(env),
            cwd=cwd,
            start_new_session=True,  # Ctrl-C reaches this process only, which then ends the program
        )
    try:
        yield process
    finally:
        if process.stdin:
            process.stdin.close()
        process.wait(EXIT_SECONDS)


def run(command: Sequence[str], env: Mapping[str, str], log: Path, cwd: Path | None = None) -> None:
    """Run a program to its end.

    Raises:
        LocalError: it failed.
    """
    with supervised(command, env, log, cwd) as process:
        code = process.wait()
    if code:
        raise LocalError(f"{Path(command[0]).name} {command[1]} ended with {code}:\n{tail(log)}")


def tail(log: Path) -> str:
    """The end of a log."""
    return log.read_text(errors="replace")[-TAIL_CHARACTERS:] if log.exists() else "(it wrote nothing)"


def wait_until(condition: Callable[[], T | None], seconds: float, what: str, every: float = 0.05) -> T:
    """Return the first true value of `condition`, which is called again and again for up to `seconds`.

    Raises:
        TimeoutError: there was none; the message is `what` and the last value.
    """
    end = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {seconds:g} s; last seen {value!r}")
        time.sleep(every)
    return value
