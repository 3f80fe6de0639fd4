"""Switching an app off, warning its owners, and enabling it again, on the deployed template with its roles."""

import json
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from bellhop import outcomes
from bellhop.outcomes import Failure, OutcomeDelta
from bellhop.registry import DISABLED, ENABLED, App
from health.messages import FollowUp, RecoveryCheck
from infra.local.registering import Hook
from tests.e2e.conftest import Tenant, eventually
from tests.e2e.disabled_app import (
    BELLHOP,
    RepairableEndpoint,
    bellhop,
    disable_app,
    finished_entry,
    is_parking,
    mails_by_owner,
    replayable_deliveries,
    send_to_health,
    state,
    telling_status,
    unfinished_follow_ups,
)

pytestmark = pytest.mark.stack

OFF_EVENTS = 300
PAGE = 100  # deliveries that are sent within the same seconds
DRAIN_SECONDS = 240.0


def test_events_sent_while_an_app_is_off_arrive_after_enable_oldest_first_each_once(
    tenant: Tenant, note: Callable[[str, object], None]
) -> None:
    hook, endpoint, behaviour = disable_app(tenant)
    before = len(endpoint.received)
    eventually(lambda: is_parking(tenant, hook), "deliver knows that the app is off")
    tenant.publish(*(tenant.event(f"parked-{n}") for n in range(OFF_EVENTS)))
    with telling_status():
        eventually(lambda: len(replayable_deliveries(hook)) >= OFF_EVENTS, "everything is parked", DRAIN_SECONDS)
    order = replayable_deliveries(hook)
    attempted = len(endpoint.received) - before
    behaviour.status = 200
    bellhop("enable", hook.app_id, "--rate", PAGE)
    assert state(hook) == (ENABLED, 3)
    with telling_status():
        eventually(lambda: set(order) <= set(endpoint.copies), "all of them arrive", DRAIN_SECONDS)
    arrived = [r.webhook_id for r in endpoint.received[before + attempted :] if r.webhook_id in set(order)]
    assert Counter(arrived) == dict.fromkeys(order, 1)
    displaced = [abs(arrived.index(webhook) - n) for n, webhook in enumerate(order)]
    note("places by which a delivery arrived out of order, at most", max(displaced))
    # Two workers take a batch each, and a queue keeps the order only roughly. What reached a process that took the
    # app for off was parked again, and the next pass sends it.
    assert sum(places >= 3 * PAGE for places in displaced) <= PAGE
    eventually(lambda: not replayable_deliveries(hook), "nothing is replayable any more")
    assert mails_by_owner(tenant, hook, "Action required") == dict.fromkeys(tenant.owners, 1)


def test_owners_are_warned_once_before_their_app_is_switched_off(tenant: Tenant) -> None:
    hook, _ = tenant.app(RepairableEndpoint())
    count_outcomes(tenant, hook, timeout=500)
    entry = eventually(lambda: finished_entry(hook, "app.warned"), "the warning is sent")
    count_outcomes(tenant, hook, timeout=1)
    count_outcomes(tenant, hook, timeout=499)
    eventually(lambda: finished_entry(hook, "app.disabled"), "the thousandth timeout switches off")
    assert entry.evidence["warning"] == {"level": 1, "reached": 500, "limit": 1000}
    assert mails_by_owner(tenant, hook, "failing") == dict.fromkeys(tenant.owners, 1)
    assert mails_by_owner(tenant, hook, "Action required") == dict.fromkeys(tenant.owners, 1)


def count_outcomes(tenant: Tenant, hook: Hook, **counts: int) -> None:
    """Count outcomes as deliver does."""
    now = datetime.now(UTC)
    failure = Failure(now.isoformat(), "msg_1", "ev1", "issue.created", "timeout", hook.url)
    delta = OutcomeDelta(hook.app_id, tenant.organization, 1, now.date(), **counts, last_failure=failure)
    outcomes.add(delta, lambda _: None)


def test_a_follow_up_that_comes_ten_times_mails_each_owner_once(tenant: Tenant) -> None:
    hook, _, _ = disable_app(tenant)
    for _ in range(10):
        send_to_health(tenant, FollowUp(hook.app_id, "00000001#disabled"))
    eventually(lambda: unfinished_follow_ups(tenant) == 0, "all of them are handled")
    assert mails_by_owner(tenant, hook, "Action required") == dict.fromkeys(tenant.owners, 1)


def test_a_recovery_check_that_succeeds_enables_the_app_and_its_owners_are_told(tenant: Tenant) -> None:
    hook, endpoint, behaviour = disable_app(tenant)
    App(hook.app_id).update(actions=[App.auto_enable.set(True)])
    behaviour.status = 200
    now = time.time()
    send_to_health(tenant, RecoveryCheck(hook.app_id, 2, since=now, due=now))
    eventually(lambda: finished_entry(hook, "app.enabled"), "the app is on again")
    assert state(hook) == (ENABLED, 3)
    assert json.loads(endpoint.received[-1].body)["action"] == "test"
    assert mails_by_owner(tenant, hook, "is on again") == dict.fromkeys(tenant.owners, 1)


def test_enable_refuses_while_the_endpoint_is_still_broken(tenant: Tenant) -> None:
    hook, _, _ = disable_app(tenant)
    command = [str(BELLHOP), "enable", hook.app_id]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "410" in done.stdout + done.stderr
    assert state(hook) == (DISABLED, 2)


def test_a_switching_off_is_published_on_the_event_bus(tenant: Tenant) -> None:
    with bus_listener(tenant) as received_events:
        hook, _, _ = disable_app(tenant)
        [detail] = eventually(lambda: [d for d in received_events() if d["app_id"] == hook.app_id], "the event")
    assert (detail["id"], detail["rule"]) == (f"{hook.app_id}#00000001#disabled", "fatal")


@contextmanager
def bus_listener(tenant: Tenant) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """Subscribe a queue to the bus; the function that is returned gives the details of all events so far."""
    name = f"listener-{tenant.organization}"
    sqs, events = tenant.stack.client("sqs"), tenant.stack.client("events")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    pattern = {"source": ["bellhop"], "detail-type": ["bellhop.app.disabled"]}
    events.put_rule(Name=name, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}])
    details: list[dict[str, Any]] = []

    def received_events() -> list[dict[str, Any]]:
        found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        details.extend(json.loads(m["Body"])["detail"] for m in found)
        return details

    yield received_events
    events.remove_targets(Rule=name, Ids=["queue"])
    events.delete_rule(Name=name)
    sqs.delete_queue(QueueUrl=url)
