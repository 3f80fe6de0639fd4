import json
import os
import subprocess
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Callable

import pytest

from bellhop import circuits
from bellhop.attempts import DELIVERED, EXHAUSTED, PARKED, RETRYING, DeliveryRecord, load
from bellhop.deliveries import delivery_id
from bellhop.registry import DISABLED, App, AuditEntry, find
from infra.local.build import ROOT
from infra.local.receiver import Receiver, Reply, busy_once, failing_first, gone, hang, ok
from infra.local.registering import Hook
from tests.e2e.conftest import DEADLINE_SECONDS, Town, eventually, kill_worker

pytestmark = pytest.mark.stack

MANY = 10_000
STREAM, KILLS = 700, 2
DRAIN_SECONDS = 240.0


def webhook_id(town: Town, hook: Hook, event_id: str) -> str:
    return delivery_id(town.organization, event_id, f"installation-{hook.app_id}")


def record_of(town: Town, hook: Hook, event_id: str) -> DeliveryRecord | None:
    return load(webhook_id(town, hook, event_id))


def in_state(town: Town, hook: Hook, event_id: str, state: str) -> DeliveryRecord | None:
    record = record_of(town, hook, event_id)
    return record if record and record.state == state else None


def dead_letters(town: Town) -> list[str]:
    messages = town.stack.aws.look("sqs/messages")["messages"].values()
    queue = town.stack.resource("IssueEventsDeadLetters").rpartition("/")[2]
    queues = [item for regions in messages for region in regions.values() for item in region.items()]
    return [m["Body"] for url, waiting in queues if url.endswith(queue) for m in waiting]


def test_an_event_arrives_as_a_webhook_that_verifies_in_both_schemes(town: Town) -> None:
    _, endpoint = town.app(ok)
    kinds = ("created", "resolved", "assigned")
    town.publish(*(town.event(f"kind-{kind}", kind) for kind in kinds))
    eventually(lambda: len(endpoint.received) == len(kinds), "three webhooks")
    assert all(r.standard and r.classic for r in endpoint.received)
    assert {json.loads(r.body)["action"] for r in endpoint.received} == set(kinds)
    assert {r.headers["sentry-hook-resource"] for r in endpoint.received} == {"issue"}


def test_a_delivery_that_met_a_500_is_delivered_by_its_retry(town: Town) -> None:
    hook, endpoint = town.app(failing_first(1))
    town.publish(town.event("flaky"))
    record = eventually(lambda: in_state(town, hook, "flaky", DELIVERED), "the record says delivered")
    first, second = endpoint.received
    assert [entry["result"] for entry in record.attempts] == ["http_500", "http_200"]
    assert first.webhook_id == second.webhook_id
    assert first.body == second.body
    assert first.headers["request-id"] != second.headers["request-id"]


def test_a_delivery_that_fails_to_the_end_is_exhausted_and_kept(town: Town) -> None:
    hook, endpoint = town.app(failing_first(99))
    town.publish(town.event("hopeless"))
    record = eventually(lambda: in_state(town, hook, "hopeless", EXHAUSTED), "the record says exhausted")
    assert len(record.attempts) == len(endpoint.received) == 4  # one and three retries
    assert record.delivery.body == endpoint.received[0].body


def test_a_retry_further_away_than_a_queue_can_delay_is_scheduled_and_can_be_had_at_once(town: Town) -> None:
    hook, endpoint = town.app(busy_once(7200))
    town.publish(town.event("later"))
    eventually(lambda: in_state(town, hook, "later", RETRYING), "the record says retrying")
    eventually(lambda: schedules(town, hook, "later"), "a schedule")
    command = [sys.executable, "-m", "infra.cli.main", "retry", webhook_id(town, hook, "later")]
    subprocess.run(command, check=True, env=os.environ | town.stack.env, cwd=ROOT)
    eventually(lambda: in_state(town, hook, "later", DELIVERED), "the record says delivered")
    assert len(endpoint.received) == 2
    assert schedules(town, hook, "later") == []


def schedules(town: Town, hook: Hook, event_id: str) -> list[str]:
    group = town.stack.outputs["ScheduleGroup"]
    prefix = webhook_id(town, hook, event_id)
    found = town.stack.client("scheduler").list_schedules(GroupName=group, NamePrefix=prefix)
    return [schedule["Name"] for schedule in found["Schedules"]]


def test_an_endpoint_that_keeps_failing_is_paused_and_heals_itself(town: Town) -> None:
    broken = threading.Event()
    broken.set()
    hook, _ = town.app(lambda _: Reply(500 if broken.is_set() else 200))
    town.publish(*(town.event(f"fails-{n}") for n in range(12)))
    eventually(lambda: circuits.load(hook.app_id).paused_since, "the app is paused")
    broken.clear()
    circuits.Circuit(hook.app_id).update(
        actions=[circuits.Circuit.next_trial_at.set(0)]
    )  # the probe is due, half a minute early
    eventually(lambda: circuits.load(hook.app_id).closed_at, "a probe got through")
    names = [f"fails-{n}" for n in range(12)]
    eventually(lambda: any(in_state(town, hook, n, DELIVERED) for n in names), "the probe is delivered")


def test_a_malformed_event_is_dead_lettered_and_its_neighbours_arrive(town: Town) -> None:
    _, endpoint = town.app(ok)
    malformed = json.dumps(town.event("wrong") | {"project_id": 5})
    town.publish(town.event("left"), malformed, "no JSON at all", town.event("right"))
    eventually(lambda: len(endpoint.received) == 2, "both neighbours")
    eventually(lambda: {malformed, "no JSON at all"} <= set(dead_letters(town)), "both dead letters")


def test_an_installation_limited_to_another_project_gets_nothing(town: Town) -> None:
    _, limited = town.app(ok, projects=["backend"])
    _, neighbour = town.app(ok)
    town.publish(town.event("front", project_id="frontend"), town.event("none", project_id=None))
    town.publish(town.event("back", project_id="backend"))
    eventually(lambda: len(neighbour.received) == 3 and limited.received, "all that should come")
    assert [json.loads(r.body)["data"]["issue"]["id"] for r in limited.received] == ["4711"]


def test_an_endpoint_that_is_gone_is_switched_off_and_each_owner_gets_one_mail(town: Town) -> None:
    hook, endpoint = town.app(gone)
    town.publish(town.event("last"))
    entry = eventually(lambda: finished(hook), "the switching off is finished")
    app = find(App, hook.app_id, consistent=True)
    assert app is not None
    assert (app.state, app.generation) == (DISABLED, 2)
    assert (entry.action, entry.evidence["rule"]) == ("app.disabled", "fatal")
    parked = eventually(lambda: parked_of_another(town, hook), "a later event is parked")
    assert parked not in endpoint.copies
    about = [mail for mail in town.stack.mails() if hook.url in mail["BodyText"]]
    assert Counter(owner for mail in about for owner in mail["To"]) == dict.fromkeys(town.owners, 1)


def finished(hook: Hook) -> AuditEntry | None:
    entry = find(AuditEntry, hook.app_id, "00000001#disabled", consistent=True)
    return entry if entry and entry.finished_at else None


def parked_of_another(town: Town, hook: Hook) -> str | None:
    """Publish one more event: deliver learns of the switching off only when its cache has run out."""
    event = uuid.uuid4().hex
    town.publish(town.event(event))
    record = eventually(lambda: record_of(town, hook, event), "the later event has a record")
    return record.delivery_id if record.state == PARKED else None


def test_a_hanging_endpoint_does_not_hold_up_its_neighbours(town: Town) -> None:
    hanging_hook, hanging = town.app(hang)  # the first: its deliveries stand before its neighbour's
    hook, neighbour = town.app(ok)
    names = [f"hang-{n}" for n in range(10)]
    town.publish(*map(town.event, names))
    eventually(lambda: len(neighbour.copies) == len(hanging.copies) == len(names), "every first attempt")
    begun, came = firsts(hanging), firsts(neighbour)
    leads = [came[webhook_id(town, hook, n)] - begun[webhook_id(town, hanging_hook, n)] for n in names]
    # Those that wait for the hanging one come after its deadline: all, if one was posted after the other.
    # A few may stand in the queue's next batch.
    assert sum(lead < 0.9 * DEADLINE_SECONDS for lead in leads) >= len(names) / 2


def firsts(endpoint: Receiver) -> dict[str, float]:
    """When each webhook came first."""
    return {r.webhook_id: r.at for r in reversed(endpoint.received)}


def test_ten_thousand_events_all_arrive_once(town: Town) -> None:
    hook, endpoint = town.app(ok)
    town.publish(*(town.event(f"many-{n}") for n in range(MANY)))
    eventually(lambda: len(endpoint.copies) >= MANY, "ten thousand webhooks", DRAIN_SECONDS)
    assert set(endpoint.copies) == {webhook_id(town, hook, f"many-{n}") for n in range(MANY)}
    assert len(endpoint.received) == MANY
    assert all(r.verified for r in endpoint.received)


@pytest.mark.parametrize(
    ("function", "queue"), [("NotifyFunction", "IssueEvents"), ("DeliverFunction", "Deliveries")]
)
def test_killing_a_worker_in_the_middle_loses_nothing(
    town: Town, function: str, queue: str, note: Callable[[str, object], None]
) -> None:
    hook, endpoint = town.app(ok)
    for part in range(KILLS):
        town.publish(*(town.event(f"kill-{part}-{n}") for n in range(STREAM)))
        eventually(lambda: in_flight(town, queue), "a batch is being worked on", DRAIN_SECONDS)
        kill_worker(town.stack, function)
    expected = {webhook_id(town, hook, f"kill-{part}-{n}") for part in range(KILLS) for n in range(STREAM)}
    eventually(lambda: len(endpoint.copies) >= len(expected), "the whole stream", DRAIN_SECONDS)
    assert set(endpoint.copies) == expected
    note("duplicates", duplicates(endpoint))


def in_flight(town: Town, queue: str) -> int:
    """How many of a queue's messages a worker has."""
    response = town.stack.client("sqs").get_queue_attributes(
        QueueUrl=town.stack.resource(queue), AttributeNames=["ApproximateNumberOfMessagesNotVisible"]
    )
    return int(response["Attributes"]["ApproximateNumberOfMessagesNotVisible"])


def duplicates(endpoint: Receiver) -> int:
    return sum(endpoint.copies.values()) - len(endpoint.copies)
