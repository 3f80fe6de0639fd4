import json
import os
import subprocess
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from bellhop import circuits, large_bodies
from bellhop.attempts import DELIVERED, EXHAUSTED, PARKED, RETRYING, DeliveryRecord, load
from bellhop.deliveries import delivery_id
from bellhop.registry import DISABLED, App, AuditEntry, find
from bellhop.text import unlinked
from infra.local.build import ROOT
from infra.local.receiver import Receiver, busy_once, failing_first, gone, hang, ok
from infra.local.registering import Hook
from infra.local.webhook_server import PlannedResponse
from tests.e2e.conftest import DEADLINE_SECONDS, Tenant, eventually, kill_worker

pytestmark = pytest.mark.stack

MANY = 2_000
STREAM, KILLS = 500, 2
DRAIN_SECONDS = 240.0


def webhook_id(tenant: Tenant, hook: Hook, event_id: str) -> str:
    return delivery_id(tenant.organization, event_id, f"installation-{hook.app_id}")


def record_of(tenant: Tenant, hook: Hook, event_id: str) -> DeliveryRecord | None:
    return load(webhook_id(tenant, hook, event_id))


def in_state(tenant: Tenant, hook: Hook, event_id: str, state: str) -> DeliveryRecord | None:
    record = record_of(tenant, hook, event_id)
    return record if record and record.state == state else None


def dead_lettered_events(tenant: Tenant) -> list[str]:
    messages = tenant.stack.aws.inspect("sqs/messages")["messages"].values()
    queue = tenant.stack.resource("IssueEventsDeadLetters").rpartition("/")[2]
    queues = [item for regions in messages for region in regions.values() for item in region.items()]
    return [m["Body"] for url, found in queues if url.endswith(queue) for m in found]


def test_an_event_arrives_as_a_webhook_that_verifies_in_both_schemes(tenant: Tenant) -> None:
    _, endpoint = tenant.app(ok)
    _, room = tenant.app(ok, transform="{text: join(': ', [action, data.issue.title])}")
    kinds = ("created", "resolved", "assigned")
    tenant.publish(*(tenant.event(f"kind-{kind}", kind) for kind in kinds))
    eventually(lambda: len(endpoint.received) == len(kinds), "three webhooks")
    assert all(r.standard and r.classic for r in endpoint.received)
    assert {json.loads(r.body)["action"] for r in endpoint.received} == set(kinds)
    assert {r.headers["sentry-hook-resource"] for r in endpoint.received} == {"issue"}
    eventually(lambda: len(room.received) == len(kinds), "three webhooks of the chat room")
    assert all(r.standard and r.classic for r in room.received)
    title = tenant.event("x")["issue"]["title"]
    assert {r.body for r in room.received} == {f'{{"text":"{kind}: {title}"}}'.encode() for kind in kinds}


def test_a_delivery_that_met_a_500_is_delivered_by_its_retry(tenant: Tenant) -> None:
    hook, endpoint = tenant.app(failing_first(1))
    tenant.publish(tenant.event("flaky"))
    record = eventually(lambda: in_state(tenant, hook, "flaky", DELIVERED), "the record says delivered")
    first, second = endpoint.received
    assert [entry["result"] for entry in record.attempts] == ["http_500", "http_200"]
    assert first.webhook_id == second.webhook_id
    assert first.body == second.body
    assert first.headers["request-id"] != second.headers["request-id"]


def test_a_delivery_whose_retries_all_fail_is_exhausted_and_its_body_stays(tenant: Tenant) -> None:
    hook, endpoint = tenant.app(failing_first(99))
    tenant.publish(tenant.event("hopeless"))
    record = eventually(lambda: in_state(tenant, hook, "hopeless", EXHAUSTED), "the record says exhausted")
    assert len(record.attempts) == len(endpoint.received) == 4  # the first attempt and three retries
    assert large_bodies.load(record).body == endpoint.received[0].body


def test_a_retry_later_than_a_queue_can_delay_is_scheduled_and_can_be_sent_at_once(tenant: Tenant) -> None:
    hook, endpoint = tenant.app(busy_once(7200))
    tenant.publish(tenant.event("later"))
    eventually(lambda: in_state(tenant, hook, "later", RETRYING), "the record says retrying")
    eventually(lambda: schedules(tenant, hook, "later"), "a schedule")
    command = [sys.executable, "-m", "infra.cli.main", "resend", webhook_id(tenant, hook, "later")]
    subprocess.run(command, check=True, env=os.environ | tenant.stack.env, cwd=ROOT)
    eventually(lambda: in_state(tenant, hook, "later", DELIVERED), "the record says delivered")
    assert len(endpoint.received) == 2


def schedules(tenant: Tenant, hook: Hook, event_id: str) -> list[str]:
    group = tenant.stack.outputs["ScheduleGroup"]
    prefix = webhook_id(tenant, hook, event_id)
    found = tenant.stack.client("scheduler").list_schedules(GroupName=group, NamePrefix=prefix)
    return [schedule["Name"] for schedule in found["Schedules"]]


def test_an_app_whose_endpoint_keeps_failing_is_paused_and_the_pause_ends_by_itself(tenant: Tenant) -> None:
    broken = threading.Event()
    broken.set()
    hook, _ = tenant.app(lambda _: PlannedResponse(500 if broken.is_set() else 200))
    tenant.publish(*(tenant.event(f"fails-{n}") for n in range(12)))
    eventually(lambda: circuits.load(hook.app_id).paused_since, "the app is paused")
    broken.clear()
    due_now = circuits.Circuit.next_trial_at.set(0)  # it would be due half a minute later
    circuits.Circuit(hook.app_id).update(actions=[due_now])
    eventually(lambda: circuits.load(hook.app_id).closed_at, "the trial succeeds")
    names = [f"fails-{n}" for n in range(12)]
    eventually(lambda: any(in_state(tenant, hook, n, DELIVERED) for n in names), "the trial is delivered")


def test_a_malformed_event_is_dead_lettered_and_its_neighbours_arrive(tenant: Tenant) -> None:
    _, endpoint = tenant.app(ok)
    malformed = json.dumps(tenant.event("wrong") | {"project_id": 5})
    tenant.publish(tenant.event("left"), malformed, "no JSON at all", tenant.event("right"))
    eventually(lambda: len(endpoint.received) == 2, "both neighbours")
    eventually(lambda: {malformed, "no JSON at all"} <= set(dead_lettered_events(tenant)), "both dead-lettered")


def test_an_installation_limited_to_another_project_gets_nothing(tenant: Tenant) -> None:
    _, limited = tenant.app(ok, projects=["backend"])
    _, neighbour = tenant.app(ok)
    tenant.publish(tenant.event("front", project_id="frontend"), tenant.event("none", project_id=None))
    tenant.publish(tenant.event("back", project_id="backend"))
    eventually(lambda: len(neighbour.received) == 3 and limited.received, "all that should arrive")
    assert [json.loads(r.body)["data"]["issue"]["id"] for r in limited.received] == ["4711"]


def test_an_app_whose_endpoint_is_gone_is_switched_off_and_each_owner_gets_one_mail(tenant: Tenant) -> None:
    hook, endpoint = tenant.app(gone)
    tenant.publish(tenant.event("last"))
    entry = eventually(lambda: finished_disabling(hook), "the switching off is finished")
    app = find(App, hook.app_id, consistent=True)
    assert app is not None
    assert (app.state, app.generation) == (DISABLED, 2)
    assert (entry.action, entry.evidence["rule"]) == ("app.disabled", "fatal")
    parked = eventually(lambda: parked_later_event(tenant, hook), "a later event is parked")
    assert parked not in endpoint.copies
    mails = [mail for mail in tenant.stack.mails() if unlinked(hook.url) in mail["BodyText"]]
    assert Counter(owner for mail in mails for owner in mail["To"]) == dict.fromkeys(tenant.owners, 1)


def finished_disabling(hook: Hook) -> AuditEntry | None:
    entry = find(AuditEntry, hook.app_id, "00000001#disabled", consistent=True)
    return entry if entry and entry.finished_at else None


def parked_later_event(tenant: Tenant, hook: Hook) -> str | None:
    """Publish one more event and return its delivery if deliver parks it.

    It does so only once its cached state of the app has expired.
    """
    event = uuid.uuid4().hex
    tenant.publish(tenant.event(event))
    record = eventually(lambda: record_of(tenant, hook, event), "the later event has a record")
    return record.delivery_id if record.state == PARKED else None


def test_a_hanging_endpoint_does_not_hold_up_its_neighbours(tenant: Tenant) -> None:
    hanging_hook, hanging = tenant.app(hang)  # registered first: its deliveries come before its neighbour's
    hook, neighbour = tenant.app(ok)
    names = [f"hang-{n}" for n in range(10)]
    tenant.publish(*map(tenant.event, names))
    eventually(lambda: len(neighbour.copies) == len(names) and hanging.copies, "every webhook of the neighbour")
    at_hanging, at_neighbour = first_arrivals(hanging), first_arrivals(neighbour)
    # After three attempts that hang, the app is paused, so the others may never be made.
    tried = [name for name in names if webhook_id(tenant, hanging_hook, name) in at_hanging]
    delays = [
        at_neighbour[webhook_id(tenant, hook, n)] - at_hanging[webhook_id(tenant, hanging_hook, n)] for n in tried
    ]
    # A delivery that waited for the hanging endpoint would arrive after its deadline. If attempts were made one
    # after the other, all would. A few may be in the queue's next batch.
    assert sum(delay < 0.9 * DEADLINE_SECONDS for delay in delays) >= len(tried) / 2


def first_arrivals(endpoint: Receiver) -> dict[str, float]:
    """When each webhook arrived first, by its id."""
    return {r.webhook_id: r.at for r in reversed(endpoint.received)}


def test_two_thousand_events_all_arrive_once(tenant: Tenant) -> None:
    hook, endpoint = tenant.app(ok)
    tenant.publish(*(tenant.event(f"many-{n}") for n in range(MANY)))
    eventually(lambda: len(endpoint.copies) >= MANY, "two thousand webhooks", DRAIN_SECONDS)
    assert set(endpoint.copies) == {webhook_id(tenant, hook, f"many-{n}") for n in range(MANY)}
    # Under the short deadline here, a machine that halts for a second makes an attempt fail whose webhook arrived.
    assert all(has_timed_out(name) for name, copies in endpoint.copies.items() if copies > 1)
    assert all(r.verified for r in endpoint.received)


def has_timed_out(name: str) -> bool:
    record = load(name)
    return bool(record and any(attempt["result"] == "timeout" for attempt in record.attempts))


@pytest.mark.parametrize(
    ("function", "queue"), [("NotifyFunction", "IssueEvents"), ("DeliverFunction", "Deliveries")]
)
def test_killing_a_worker_in_the_middle_loses_nothing(
    tenant: Tenant, function: str, queue: str, note: Callable[[str, object], None]
) -> None:
    hook, endpoint = tenant.app(ok)
    for part in range(KILLS):
        kill_while_publishing([tenant.event(f"kill-{part}-{n}") for n in range(STREAM)], tenant, function, queue)
    expected = {webhook_id(tenant, hook, f"kill-{part}-{n}") for part in range(KILLS) for n in range(STREAM)}
    eventually(lambda: len(endpoint.copies) >= len(expected), "the whole stream", DRAIN_SECONDS)
    assert set(endpoint.copies) == expected
    note("duplicates", duplicates(endpoint))


def kill_while_publishing(events: list[dict[str, Any]], tenant: Tenant, function: str, queue: str) -> None:
    """Publish in batches, and kill the function's workers as soon as they are seen to work on one."""
    killed = False
    for first in range(0, len(events), 10):
        tenant.publish(*events[first : first + 10])
        if not killed and in_flight(tenant, queue):
            kill_worker(tenant.stack, function)
            killed = True
    assert killed, f"no batch of {queue} was seen in work"


def in_flight(tenant: Tenant, queue: str) -> int:
    """How many of a queue's messages workers are handling."""
    response = tenant.stack.client("sqs").get_queue_attributes(
        QueueUrl=tenant.stack.resource(queue), AttributeNames=["ApproximateNumberOfMessagesNotVisible"]
    )
    return int(response["Attributes"]["ApproximateNumberOfMessagesNotVisible"])


def duplicates(endpoint: Receiver) -> int:
    return sum(endpoint.copies.values()) - len(endpoint.copies)
