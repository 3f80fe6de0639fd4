"""The whole system for end-to-end and integration tests, deployed once, with short deadlines."""

import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from bellhop.queues import OutgoingMessage, Queue
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
        messages = [OutgoingMessage(text, self.organization) for text in texts]
        queue = Queue(self.stack.client("sqs"), self.stack.outputs["IssueEventsQueueUrl"])
        assert not queue.send_all(messages, lambda _: None)

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


def eventually(condition: Callable[[], Any], what: str, seconds: float = WAIT_SECONDS) -> Any:
    """The first true value of `condition`, which must come."""
    return until(condition, seconds, what)
