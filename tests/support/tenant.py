"""The whole system for end-to-end and integration tests: deployed once, with short deadlines."""

import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from bellhop.queues import OutgoingMessage, Queue
from infra.local.build import ROOT
from infra.local.processes import wait_until
from infra.local.receiver import Behaviour, Receiver, receiver
from infra.local.registering import EVENTS, Hook, event, register, use_stack
from infra.local.stack import Stack, deployed_stack

DEADLINE_SECONDS = 1
PARAMETERS: dict[str, str | int] = {
    "DeliveryDeadlineSeconds": DEADLINE_SECONDS,
    "RetryDelaysSeconds": "1,2,3",
    # On AWS it is six times the timeouts. Here the batch of a killed worker has to come back soon. A little more
    # than the timeout keeps a slow machine's batch from coming back while it is still worked on; twice as much for
    # those whose webhooks would be sent twice.
    "NotifyTimeoutSeconds": 10,
    "NotifyVisibilitySeconds": 20,
    "DeliverTimeoutSeconds": 16,
    "DeliverVisibilitySeconds": 32,
    "HealthTimeoutSeconds": 15,
    "HealthVisibilitySeconds": 20,
}
LOG = ROOT / ".local" / "e2e.log"  # written when a test failed
WAIT_SECONDS = 60.0  # most waits end after a few seconds; a busy machine may need more
SECRET = "0123456789abcdef" * 4


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    with deployed_stack(PARAMETERS) as deployed:
        yield deployed
        if request.session.testsfailed:  # the functions' logs are in it
            shutil.copy(deployed.aws.log, LOG)


@dataclass
class Tenant:
    """An organisation that belongs to one test, with its apps and their endpoints."""

    stack: Stack
    exit_stack: ExitStack
    organization: str = field(default_factory=lambda: f"org-{uuid.uuid4().hex[:8]}")
    owners: Sequence[str] = ("ann@acme.example", "bob@acme.example")
    apps: int = 0

    def app(
        self, behaviour: Behaviour, projects: Sequence[str] | None = None, transform: str | None = None
    ) -> tuple[Hook, Receiver]:
        """Register an app with an endpoint of this behaviour."""
        endpoint = self.exit_stack.enter_context(receiver(behaviour, SECRET))
        self.apps += 1  # in the id, because one event's deliveries are enqueued in its order
        hook = Hook(f"app-{self.apps}-{uuid.uuid4().hex[:8]}", endpoint.url, SECRET, EVENTS, projects, transform)
        register(self.organization, self.owners, [hook])
        return hook, endpoint

    def publish(self, *events: dict[str, Any] | str) -> None:
        """Put events, or raw texts in their place, on the IssueEvents queue."""
        texts = [e if isinstance(e, str) else json.dumps(e) for e in events]
        messages = [OutgoingMessage(text, self.organization) for text in texts]
        queue = Queue(self.stack.client("sqs"), self.stack.outputs["IssueEventsQueueUrl"])
        assert not queue.send_all(messages, lambda _: None)

    def event(self, event_id: str, kind: str = "created", **fields: object) -> dict[str, Any]:
        """An event of this organisation."""
        return dict(event(self.organization, event_id, kind, **fields))


@pytest.fixture
def tenant(stack: Stack) -> Iterator[Tenant]:
    with tenant_of(stack) as made:  # for each test, because tests without the stack use other tables in between
        yield made


@contextmanager
def tenant_of(stack: Stack) -> Iterator[Tenant]:
    """A tenant of a stack, which this process uses for the length of the block."""
    before = dict(os.environ)
    use_stack(stack, os.environ)
    try:
        with ExitStack() as exit_stack:
            yield Tenant(stack, exit_stack)
    finally:
        os.environ.clear()
        os.environ.update(before)


def eventually(condition: Callable[[], Any], what: str, seconds: float = WAIT_SECONDS) -> Any:
    """Wait for the first true value of `condition` and return it."""
    return wait_until(condition, seconds, what)
