"""Runs a command that must not outlive whoever started it.

The starter holds the other end of this process's stdin. When that closes, on purpose or because the starter
died in whatever way, the command is ended, and after it everything it left behind in its process group.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading

GRACE_SECONDS = 5.0


def main(command: list[str]) -> int:
    """Run `command`; its exit code."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0)
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    threading.Thread(target=_end_with_stdin, args=(child,), daemon=True).start()
    code = child.wait()
    _kill_group(child)
    return code


def _end_with_stdin(child: "subprocess.Popen[bytes]") -> None:
    # Unbuffered: a reader's lock held at the interpreter's end would abort it.
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
