"""Apps that end-to-end tests have switched off: their endpoint, their mails, what health still has to do."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bellhop import app_lists, attempts
from bellhop.deliveries import delivery_id
from bellhop.registry import App, AuditEntry, find
from bellhop.text import unlinked
from health import messages
from health.messages import OwnMessage
from infra.local.receiver import Receiver
from infra.local.registering import Hook
from infra.local.webhook_server import PlannedResponse
from tests.e2e.conftest import Tenant, eventually

BELLHOP = Path(sys.executable).with_name("bellhop")


class RepairableEndpoint:
    """An endpoint's behaviour: it responds with 410 until its `status` is changed."""

    def __init__(self) -> None:
        self.status = 410

    def __call__(self, _: int) -> PlannedResponse:
        return PlannedResponse(self.status)


def bellhop(*arguments: object) -> Any:
    """Run the operator's command and return its JSON output."""
    command = [str(BELLHOP), *map(str, arguments), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=os.environ)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


@contextmanager
def telling_status() -> Iterator[None]:
    """Have a wait in vain tell how the whole stack stands: its queues, dead letters and apps."""
    try:
        yield
    except TimeoutError as error:
        error.add_note(json.dumps(bellhop("status")))
        raise


def state(hook: Hook) -> tuple[str, int]:
    """The app's state and generation."""
    app = find(App, hook.app_id, consistent=True)
    assert app
    return app.state, int(app.generation)


def finished_entry(hook: Hook, action: str) -> AuditEntry | None:
    """The newest audit entry of this action whose follow-up is finished."""
    entries = [
        e for e in AuditEntry.query(hook.app_id, consistent_read=True) if e.finished_at and e.action == action
    ]
    return entries[-1] if entries else None


def disable_app(tenant: Tenant) -> tuple[Hook, Receiver, RepairableEndpoint]:
    """Register an app, and wait until its 410 has switched it off and its owners have been told."""
    behaviour = RepairableEndpoint()
    hook, endpoint = tenant.app(behaviour)
    tenant.publish(tenant.event("last"))
    eventually(lambda: finished_entry(hook, "app.disabled"), "the app is switched off and its owners know")
    return hook, endpoint, behaviour


def is_parking(tenant: Tenant, hook: Hook) -> bool:
    """Whether an event that is published now is parked: deliver may still have cached the app's old state."""
    event = f"early-{time.monotonic_ns()}"
    webhook = delivery_id(tenant.organization, event, f"installation-{hook.app_id}")
    tenant.publish(tenant.event(event))
    record = eventually(lambda: attempts.load(webhook), "it was parked, or attempted and stopped")
    return bool(record.state == attempts.PARKED)


def replayable_deliveries(hook: Hook) -> list[str]:
    """The ids of the app's replayable deliveries, oldest first."""
    found: list[str] = []
    after = None
    while page := app_lists.replayable(hook.app_id, after, 500):
        found += [record.delivery_id for record in page]
        after = app_lists.cursor(page[-1])
    return found


def mails_by_owner(tenant: Tenant, hook: Hook, subject: str) -> Counter[str]:
    """How many mails about the app, with `subject` in their subject, each owner got."""
    mails = [m for m in tenant.stack.mails() if unlinked(hook.url) in m["BodyText"] and subject in m["Subject"]]
    return Counter(owner for mail in mails for owner in mail["To"])


def send_to_health(tenant: Tenant, message: OwnMessage) -> None:
    url = tenant.stack.outputs["TransitionsQueueUrl"]
    tenant.stack.client("sqs").send_message(QueueUrl=url, MessageBody=messages.encode(message))


def unfinished_follow_ups(tenant: Tenant) -> int:
    """How many messages are on the Transitions queue or being worked on."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    url = tenant.stack.outputs["TransitionsQueueUrl"]
    found = tenant.stack.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(number) for number in found.values())
