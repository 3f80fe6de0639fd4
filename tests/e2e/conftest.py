"""What the end-to-end tests use beside the town."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.local.stack import Stack
from tests.support.tenant import DEADLINE_SECONDS, Town, eventually

__all__ = ["DEADLINE_SECONDS", "Town", "eventually", "kill_worker"]


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Callable[[str, object], None]:
    """Lets a test show a number at the end of the run, whatever it is."""
    return lambda name, value: request.node.user_properties.append((name, value))


def kill_worker(stack: Stack, function: str) -> int:
    """Kill a process that runs `function` for this stack, as a crash would; its pid."""
    # Stacks side by side give their functions the same names: the endpoint tells them apart.
    wanted = {f"AWS_LAMBDA_FUNCTION_NAME={stack.resource(function)}", f"AWS_ENDPOINT_URL={stack.endpoint}"}
    pid = eventually(lambda: next(iter(_processes(wanted)), None), f"{function} has a process")
    os.kill(pid, signal.SIGKILL)
    return int(pid)


def _processes(wanted: set[str]) -> list[int]:
    """The processes that have all of these variables."""
    variables = {p.parent.name: _read(p).decode(errors="replace") for p in _environments()}
    return [int(pid) for pid, text in variables.items() if wanted <= set(text.split("\0"))]


def _environments() -> Iterator[Path]:
    return Path("/proc").glob("[0-9]*/environ")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # another user's, or gone
        return b""
