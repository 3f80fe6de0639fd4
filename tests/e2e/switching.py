"""Apps that are switched off in end-to-end tests: their endpoint, their mails, what health still has to do."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from bellhop import attempts
from bellhop.registry import App, AuditEntry, find
from health import messages
from health.messages import FollowUp, RecoveryCheck
from infra.local.receiver import Receiver, Reply
from infra.local.registering import Hook
from tests.e2e.conftest import Town, eventually

BELLHOP = Path(sys.executable).with_name("bellhop")


class Door:
    """An endpoint that can be broken and repaired."""

    def __init__(self) -> None:
        self.status = 410

    def __call__(self, _: int) -> Reply:
        return Reply(self.status)


def bellhop(*arguments: object) -> Any:
    command = [str(BELLHOP), *map(str, arguments), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=os.environ)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def state(hook: Hook) -> tuple[str, int]:
    app = find(App, hook.app_id, consistent=True)
    assert app
    return app.state, int(app.generation)


def finished(hook: Hook, action: str) -> AuditEntry | None:
    done = [e for e in AuditEntry.query(hook.app_id, consistent_read=True) if e.finished_at and e.action == action]
    return done[-1] if done else None


def switched_off(town: Town) -> tuple[Hook, Receiver, Door]:
    door = Door()
    hook, endpoint = town.app(door)
    town.publish(town.event("last"))
    eventually(lambda: finished(hook, "app.disabled"), "the app is switched off and its owners know")
    return hook, endpoint, door


def held(hook: Hook) -> list[str]:
    """The deliveries that are kept for the app, oldest first."""
    found: list[str] = []
    after = None
    while page := attempts.replayable(hook.app_id, after, 500):
        found += [record.delivery_id for record in page]
        after = page[-1].replayable_at
    return found


def about(town: Town, hook: Hook, words: str) -> Counter[str]:
    mails = [m for m in town.stack.mails() if hook.url in m["BodyText"] and words in m["Subject"]]
    return Counter(owner for mail in mails for owner in mail["To"])


def announce(town: Town, message: FollowUp | RecoveryCheck) -> None:
    url = town.stack.outputs["TransitionsQueueUrl"]
    town.stack.client("sqs").send_message(QueueUrl=url, MessageBody=messages.encode(message))


def waiting(town: Town) -> int:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    url = town.stack.outputs["TransitionsQueueUrl"]
    found = town.stack.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(number) for number in found.values())
