"""What the end-to-end tests need beside the tenant."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.local.stack import Stack
from tests.support.tenant import DEADLINE_SECONDS, Tenant, eventually

__all__ = ["DEADLINE_SECONDS", "Tenant", "eventually", "kill_worker"]


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Callable[[str, object], None]:
    """Reports a measured value of a test at the end of the run."""
    return lambda name, value: request.node.user_properties.append((name, value))


def kill_worker(stack: Stack, function: str) -> int:
    """Kill a process that runs `function` for this stack, as a crash would. Return its pid."""
    # Stacks that run side by side use the same function names. The endpoint tells them apart.
    wanted = {f"AWS_LAMBDA_FUNCTION_NAME={stack.resource(function)}", f"AWS_ENDPOINT_URL={stack.endpoint}"}
    pid = eventually(lambda: next(iter(_processes(wanted)), None), f"{function} has a process")
    os.kill(pid, signal.SIGKILL)
    return int(pid)


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
