import fcntl
import os
import sys
from pathlib import Path

import pytest

from infra.local.processes import LocalError, run, supervised, wait_until

# Starts a grandchild that locks the file in argv[1] and would hold the lock for ever, then waits for ever itself.
LEAVES_A_GRANDCHILD = """
import subprocess, sys
lock = "import fcntl, signal, sys; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_EX); signal.pause()"
subprocess.Popen([sys.executable, "-c", lock, sys.argv[1]]).wait()
"""


def is_locked(path: Path) -> bool:
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def test_a_program_and_all_that_it_started_are_gone_after_the_block(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.touch()
    command = [sys.executable, "-c", LEAVES_A_GRANDCHILD, str(lock)]
    with supervised(command, os.environ, tmp_path / "log") as process:
        wait_until(lambda: is_locked(lock), 30, "the grandchild runs")
        assert process.poll() is None
    wait_until(lambda: not is_locked(lock), 30, "the grandchild is gone")
    assert process.poll() is not None


def test_a_program_that_fails_is_an_error_that_shows_the_end_of_its_log(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('no space left'); raise SystemExit(3)"]
    with pytest.raises(LocalError, match=r"ended with 3:\n.*no space left"):
        run(command, os.environ, tmp_path / "log")


def test_waiting_in_vain_names_what_was_waited_for_and_the_last_value() -> None:
    with pytest.raises(TimeoutError, match="the queue is empty: not within 0 s; last seen 0"):
        wait_until(lambda: 0, 0, "the queue is empty")
