"""Runs a command that must not outlive the process that started it.

The parent process keeps the other end of this process's stdin. That end closes when the parent wants the command
to end, and also when the parent dies in any way. Then the command is ended, and after it everything that it left
behind in its process group.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading

GRACE_SECONDS = 0.5  # nothing that runs here has anything to save


def main(command: list[str]) -> int:
    """Run `command` and return its exit code."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0)
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    threading.Thread(target=_terminate_when_stdin_closes, args=(child,), daemon=True).start()
    code = child.wait()
    _kill_group(child)
    return code


def _terminate_when_stdin_closes(child: "subprocess.Popen[bytes]") -> None:
    # Unbuffered: if this thread held a buffered reader's lock, the interpreter would abort at its exit.
    while os.read(0, 1024):
        pass
    child.terminate()
    try:
        child.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        _kill_group(child)


def _kill_group(child: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
