"""Switched off, warned about, and the way back: on the deployed template, with its roles."""

import json
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from bellhop import attempts, outcomes
from bellhop.deliveries import delivery_id
from bellhop.outcomes import Failure, OutcomeDelta
from bellhop.registry import DISABLED, ENABLED, App
from health.messages import FollowUp, RecoveryCheck
from infra.local.registering import Hook
from tests.e2e.conftest import Town, eventually
from tests.e2e.switching import (
    BELLHOP,
    Door,
    about,
    announce,
    bellhop,
    finished,
    held,
    state,
    switched_off,
    waiting,
)

pytestmark = pytest.mark.stack

OFF_EVENTS = 1000
PAGE = 100  # deliveries that are sent within the same seconds
DRAIN_SECONDS = 240.0


def test_a_thousand_events_sent_while_an_app_is_off_arrive_after_enable_oldest_first_each_once(
    town: Town, note: Callable[[str, object], None]
) -> None:
    hook, endpoint, door = switched_off(town)
    before = len(endpoint.received)
    eventually(lambda: parks(town, hook), "deliver knows that the app is off")
    town.publish(*(town.event(f"kept-{n}") for n in range(OFF_EVENTS)))
    eventually(lambda: len(held(hook)) >= OFF_EVENTS, "everything is kept", DRAIN_SECONDS)
    order = held(hook)
    tried = len(endpoint.received) - before
    door.status = 200
    bellhop("enable", hook.app_id, "--rate", PAGE)
    assert state(hook) == (ENABLED, 3)
    eventually(lambda: set(order) <= set(endpoint.copies), "all of them arrive", DRAIN_SECONDS)
    arrived = [r.webhook_id for r in endpoint.received[before + tried :] if r.webhook_id in set(order)]
    assert Counter(arrived) == dict.fromkeys(order, 1)
    displaced = max(abs(arrived.index(webhook) - n) for n, webhook in enumerate(order))
    note("a delivery arrived at most so many places from its own", displaced)
    assert displaced < 3 * PAGE  # two workers take batches at a time, and a queue keeps only about the order
    eventually(lambda: not held(hook), "nothing is kept any more")
    assert about(town, hook, "Action required") == dict.fromkeys(town.owners, 1)


def parks(town: Town, hook: Hook) -> bool:
    """Whether an event published now is parked: deliver learns of a switching off within its cache's lifetime."""
    event = f"early-{time.monotonic_ns()}"
    webhook = delivery_id(town.organization, event, f"installation-{hook.app_id}")
    town.publish(town.event(event))
    record = eventually(lambda: attempts.load(webhook), "it was parked, or tried and stopped")
    return bool(record.state == attempts.PARKED)


def test_owners_are_warned_once_before_their_app_is_switched_off(town: Town) -> None:
    hook, _ = town.app(Door())
    count(town, hook, timeout=500)
    entry = eventually(lambda: finished(hook, "app.warned"), "the warning is out")
    count(town, hook, timeout=1)
    count(town, hook, timeout=499)
    eventually(lambda: finished(hook, "app.disabled"), "the thousandth timeout switches off")
    assert entry.evidence["warning"] == {"level": 1, "reached": 500, "limit": 1000}
    assert about(town, hook, "failing") == dict.fromkeys(town.owners, 1)
    assert about(town, hook, "Action required") == dict.fromkeys(town.owners, 1)


def count(town: Town, hook: Hook, **counts: int) -> None:
    """Count outcomes as deliver does."""
    now = datetime.now(UTC)
    failure = Failure(now.isoformat(), "msg_1", "ev1", "issue.created", "timeout", hook.url)
    outcomes.add(
        OutcomeDelta(hook.app_id, town.organization, 1, now.date(), **counts, last_failure=failure), lambda _: None
    )


def test_a_follow_up_that_comes_ten_times_mails_each_owner_once(town: Town) -> None:
    hook, _, _ = switched_off(town)
    for _ in range(10):
        announce(town, FollowUp(hook.app_id, "00000001#disabled"))
    eventually(lambda: waiting(town) == 0, "all of them are worked off")
    assert about(town, hook, "Action required") == dict.fromkeys(town.owners, 1)


def test_a_recovery_check_that_succeeds_switches_the_app_on_and_its_owners_hear_of_it(town: Town) -> None:
    hook, endpoint, door = switched_off(town)
    App(hook.app_id).update(actions=[App.auto_enable.set(True)])
    door.status = 200
    now = time.time()
    announce(town, RecoveryCheck(hook.app_id, 2, since=now, due=now))
    eventually(lambda: finished(hook, "app.enabled"), "the app is on again")
    assert state(hook) == (ENABLED, 3)
    assert json.loads(endpoint.received[-1].body)["action"] == "test"
    assert about(town, hook, "is on again") == dict.fromkeys(town.owners, 1)


def test_enable_refuses_while_the_endpoint_is_still_broken(town: Town) -> None:
    hook, _, _ = switched_off(town)
    command = [str(BELLHOP), "enable", hook.app_id]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "410" in done.stdout + done.stderr
    assert state(hook) == (DISABLED, 2)


def test_whoever_automates_hears_of_a_switching_off_on_the_event_bus(town: Town) -> None:
    with listening(town) as heard:
        hook, _, _ = switched_off(town)
        [detail] = eventually(lambda: [d for d in heard() if d["app_id"] == hook.app_id], "the event")
    assert (detail["id"], detail["rule"]) == (f"{hook.app_id}#00000001#disabled", "fatal")


@contextmanager
def listening(town: Town) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """What arrives on the bus, while a queue listens."""
    sqs, events = town.stack.client("sqs"), town.stack.client("events")
    url = sqs.create_queue(QueueName=f"heard-{town.organization}")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    name = f"heard-{town.organization}"
    pattern = {"source": ["bellhop"], "detail-type": ["bellhop.app.disabled"]}
    events.put_rule(Name=name, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}])
    taken: list[dict[str, Any]] = []

    def heard() -> list[dict[str, Any]]:
        found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        taken.extend(json.loads(m["Body"])["detail"] for m in found)
        return taken

    yield heard
    events.remove_targets(Rule=name, Ids=["queue"])
    events.delete_rule(Name=name)
    sqs.delete_queue(QueueUrl=url)
