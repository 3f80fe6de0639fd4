"""The whole system for the end-to-end tests, deployed once, with short deadlines."""

import json
import os
import shutil
import signal
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bellhop.queues import Outgoing, send_all
from infra.local.build import ROOT
from infra.local.processes import until
from infra.local.receiver import Behaviour, Receiver, receiver
from infra.local.registering import EVENTS, Hook, event, reach, register
from infra.local.stack import Stack, running

DEADLINE_SECONDS = 1
PARAMETERS: dict[str, str | int] = {
    "DeliveryDeadlineSeconds": DEADLINE_SECONDS,
    "RetryDelaysSeconds": "1,2,3",
    # Not six times the timeouts, as on AWS: a killed worker's batch is to come back soon. Twice is enough
    # for a batch of a slow machine not to come back by itself.
    "NotifyTimeoutSeconds": 10,
    "NotifyVisibilitySeconds": 20,
    "DeliverTimeoutSeconds": 10,
    "DeliverVisibilitySeconds": 20,
    "HealthTimeoutSeconds": 10,
    "HealthVisibilitySeconds": 20,
}
LOG = ROOT / ".local" / "e2e.log"  # of a run that failed
WAIT_SECONDS = 60.0  # for what takes a few seconds; the bound is for a machine with much else to do
SECRET = "0123456789abcdef" * 4


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    with running(PARAMETERS) as deployed:
        yield deployed
        if request.session.testsfailed:  # the functions' logs say why
            shutil.copy(deployed.aws.log, LOG)


@dataclass
class Town:
    """An organisation of its own for one test, with its apps' endpoints."""

    stack: Stack
    rooms: ExitStack
    organization: str = field(default_factory=lambda: f"org-{uuid.uuid4().hex[:8]}")
    owners: Sequence[str] = ("ann@acme.example", "bob@acme.example")
    apps: int = 0

    def app(self, behaviour: Behaviour, projects: Sequence[str] | None = None) -> tuple[Hook, Receiver]:
        """Register an app whose endpoint behaves so."""
        endpoint = self.rooms.enter_context(receiver(behaviour, SECRET))
        self.apps += 1  # in the id: deliveries of one event are enqueued in the order of their apps
        hook = Hook(f"app-{self.apps}-{uuid.uuid4().hex[:8]}", endpoint.url, SECRET, EVENTS, projects)
        register(self.organization, self.owners, [hook])
        return hook, endpoint

    def publish(self, *events: dict[str, Any] | str) -> None:
        """Put events, or texts that should be events, on the queue."""
        texts = [e if isinstance(e, str) else json.dumps(e) for e in events]
        messages = [Outgoing(text, self.organization) for text in texts]
        url = self.stack.outputs["IssueEventsQueueUrl"]
        assert not send_all(self.stack.client("sqs"), url, messages, lambda _: None)

    def event(self, event_id: str, kind: str = "created", **fields: object) -> dict[str, Any]:
        """An event of this organisation."""
        return dict(event(self.organization, event_id, kind, **fields))


@pytest.fixture
def town(stack: Stack) -> Iterator[Town]:
    before = dict(os.environ)
    reach(stack, os.environ)  # for each test: tests without the stack, in between, reach other tables
    with ExitStack() as rooms:
        yield Town(stack, rooms)
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Callable[[str, object], None]:
    """Lets a test show a number at the end of the run, whatever it is."""
    return lambda name, value: request.node.user_properties.append((name, value))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{report.nodeid}: {name} {value}")


def eventually(condition: Callable[[], Any], what: str, seconds: float = WAIT_SECONDS) -> Any:
    """The first true value of `condition`, which must come."""
    return until(condition, seconds, what)


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
