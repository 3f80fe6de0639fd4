"""The processes that run the functions of the embedded AWS, and killing one as a crash would."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

from infra.local.stack import Stack
from tests.support.tenant import eventually


def kill_worker(stack: Stack, function: str) -> int:
    """Kill a process that runs `function` for this stack, as a crash would. Return its pid."""
    pid = eventually(lambda: next(iter(worker_pids(stack, function)), None), f"{function} has a process")
    os.kill(pid, signal.SIGKILL)
    return int(pid)


def worker_pids(stack: Stack, function: str, endpoint: str | None = None) -> list[int]:
    """The processes that run `function`; `endpoint` is where they call AWS, if not at the stack itself."""
    # Stacks that run side by side use the same function names. The endpoint tells them apart.
    called = endpoint or stack.endpoint
    return _processes({f"AWS_LAMBDA_FUNCTION_NAME={stack.resource(function)}", f"AWS_ENDPOINT_URL={called}"})


def _processes(wanted: set[str]) -> list[int]:
    """The processes whose environments contain all of these variables."""
    variables = {p.parent.name: _read(p).decode(errors="replace") for p in _environments()}
    return [int(pid) for pid, text in variables.items() if wanted <= set(text.split("\0"))]


def _environments() -> Iterator[Path]:
    return Path("/proc").glob("[0-9]*/environ")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # the process is another user's, or it has ended
        return b""
