"""What a person sends again: a delivered webhook, a dead letter, and what a replay has not sent yet."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bellhop import attempts, successes
from bellhop.attempts import DELIVERED, EXHAUSTED, PARKED, NextState
from bellhop.deliveries import Delivery, delivery_id, encode
from bellhop.large_bodies import LARGE_BYTES
from bellhop.registry import App
from infra.cli.commands import replay
from infra.cli.commands.replay import Progress
from infra.cli.resending import jobs
from infra.local.receiver import Receiver, ok
from infra.local.registering import Hook
from tests.e2e.conftest import Tenant, eventually
from tests.e2e.disabled_app import bellhop
from tests.support.tenant import WAIT_SECONDS
from tests.support.workers import kill_worker

pytestmark = pytest.mark.stack


def logged(hook: Hook, delivery: str) -> Delivery | None:
    """The delivery in the log of what succeeded at once."""
    now = datetime.now(UTC)
    for page in successes.pages(hook.app_id, now - timedelta(hours=1), now):
        for pack in successes.packs(page, hook.app_id, now - timedelta(hours=1), now + timedelta(minutes=1)):
            for row in pack.rows:
                if row["delivery_id"] == delivery:
                    return successes.find(hook.app_id, delivery, datetime.fromisoformat(row["at"]))
    return None


@pytest.mark.parametrize("noise", [0, 2 * LARGE_BYTES])
def test_a_webhook_that_was_delivered_is_resent_with_the_same_id_and_bytes_and_verifies(
    tenant: Tenant, noise: int
) -> None:
    hook, endpoint = tenant.app(ok)
    tenant.publish(tenant.event("once", data={"noise": random.Random(1).randbytes(noise).hex()}))
    expected = delivery_id(tenant.organization, "once", f"installation-{hook.app_id}")
    eventually(lambda: logged(hook, expected), "it is in the log")
    [resent] = bellhop("resend", expected, "--app", hook.app_id)["deliveries"]
    assert (resent["outcome_before"], resent["next_attempt"]) == ("delivered", 2)
    record = eventually(lambda: ended(expected), "its record says delivered")
    assert [(row["n"], row["resent"]) for row in record.attempts] == [(2, True)]
    assert (record.body is None) == (noise > 0)
    first = endpoint.received[0]
    assert {(each.webhook_id, each.body) for each in endpoint.received} == {(expected, first.body)}
    assert len(endpoint.received) >= 2
    assert all(each.verified for each in endpoint.received)
    assert bellhop("resend", "--app", hook.app_id, "--since", "1h", "--yes")["resent"] == 1
    eventually(lambda: len(attempts_of(expected)) == 2, "it is sent once more, as one of the app's deliveries")


def attempts_of(delivery: str) -> list[dict[str, Any]]:
    record = ended(delivery)
    return list(record.attempts) if record else []


def ended(delivery: str) -> attempts.DeliveryRecord | None:
    record = attempts.load(delivery)
    return record if record and record.state == DELIVERED else None


def a_delivery(tenant: Tenant, hook: Hook, name: str) -> Delivery:
    names = ("ev", "issue.created", hook.app_id, tenant.organization, f"installation-{hook.app_id}")
    return Delivery(name, *names, b"{}")


def test_a_dead_letter_is_listed_redriven_and_arrives(tenant: Tenant) -> None:
    hook, endpoint = tenant.app(ok)
    made = a_delivery(tenant, hook, "msg_dead")
    sqs, url = tenant.stack.client("sqs"), tenant.stack.resource("DeliveriesDeadLetters")
    message = sqs.send_message(QueueUrl=url, MessageBody=encode(made), MessageGroupId=hook.app_id)["MessageId"]
    listed = bellhop("dead-letters", "list", "--queue", "Deliveries")["dead_letters"]
    [found] = [each for each in listed if each["message_id"] == message]
    assert (found["kind"], found["names"]["app_id"], found["group"]) == ("first attempt", hook.app_id, hook.app_id)
    redriven = bellhop("dead-letters", "redrive", message)
    assert (redriven["redriven"]["Deliveries"], redriven["left"], redriven["not_found"]) == (1, [], [])
    eventually(lambda: "msg_dead" in endpoint.copies, "the webhook arrives")
    assert message not in str(bellhop("dead-letters", "list", "--queue", "Deliveries"))


def test_a_replay_that_is_stopped_sends_no_more_and_another_sends_the_rest_once(tenant: Tenant) -> None:
    hook, endpoint = tenant.app(ok)
    names = [f"msg_{hook.app_id}_{number:03}" for number in range(150)]
    for name in names:
        attempts.open_record(a_delivery(tenant, hook, name), NextState(PARKED), datetime.now(UTC))
    bellhop("replay", hook.app_id, "--rate", "20")
    eventually(lambda: progress(hook).began, "the replay has begun")
    bellhop("replay", hook.app_id, "--stop")
    eventually(lambda: progress(hook).ended, "the replay has ended")
    assert progress(hook).stopped
    bellhop("replay", hook.app_id, "--rate", "1000")
    eventually(lambda: len(endpoint.copies) == len(names), "all of them")
    eventually(lambda: all(map(ended, names)), "all of them are written")
    assert sent_twice(endpoint) == {}


def sent_twice(endpoint: Receiver) -> dict[str, list[str]]:
    """The results of those deliveries that arrived more often than they were attempted, or were made once more.

    On a busy machine an attempt may time out although its webhook arrived; then it is rightly made again.
    """
    results = {name: [row["result"] for row in attempts_of(name)] for name in endpoint.copies}
    return {
        name: of
        for name, of in results.items()
        if endpoint.copies[name] > len(of) or len([result for result in of if result != "timeout"]) != 1
    }


def progress(hook: Hook) -> Progress:
    """How far the app's replay is."""
    return replay.read_progress(App(hook.app_id), datetime.now(UTC))


def test_many_are_resent_without_the_command_until_that_is_stopped_and_then_gone_on_with(tenant: Tenant) -> None:
    hook, endpoint = tenant.app(ok)
    names = [f"msg_{hook.app_id}_{number:03}" for number in range(250)]
    for name in names:
        attempts.open_record(a_delivery(tenant, hook, name), NextState(EXHAUSTED), datetime.now(UTC))
    begun = bellhop("resend", "--app", hook.app_id, "--since", "1h", "--rate", "4", "--yes")
    assert begun["resent"] == len(names)
    job = begun["job_id"]
    eventually(lambda: job_progress(job).sent, "its first page is sent")
    assert job in str(bellhop("status")["resends"])
    bellhop("resend", "--stop", job)
    eventually(lambda: job_progress(job).ended, "it has ended")
    assert 0 < job_progress(job).waiting < len(names)
    bellhop("resend", "--go-on", job, "--rate", "1000")
    eventually(lambda: job_progress(job).is_done, "everything is sent")
    eventually(lambda: len(endpoint.copies) == len(names), "all of them arrive")
    eventually(lambda: all(map(ended, names)), "all of them are written")
    assert sent_twice(endpoint) == {}


def test_a_resend_goes_on_after_health_was_killed_and_each_arrives_once(tenant: Tenant) -> None:
    hook, endpoint = tenant.app(ok)
    names = [f"msg_{hook.app_id}_{number:03}" for number in range(150)]
    for name in names:
        attempts.open_record(a_delivery(tenant, hook, name), NextState(EXHAUSTED), datetime.now(UTC))
    job = bellhop("resend", "--app", hook.app_id, "--since", "1h", "--rate", "1000", "--yes")["job_id"]
    eventually(lambda: resent_at(names[0]), "health has begun the first page")
    kill_worker(tenant.stack, "HealthFunction")
    eventually(lambda: job_progress(job).is_done, "its message came back, and all is sent", 2 * WAIT_SECONDS)
    eventually(lambda: len(endpoint.copies) == len(names), "all of them arrive")
    eventually(lambda: all(map(ended, names)), "all of them are written")
    assert sent_twice(endpoint) == {}


def resent_at(delivery: str) -> float | None:
    record = attempts.load(delivery)
    return record.resent_at if record else None


def job_progress(job: str) -> jobs.Progress:
    """How far a resend is."""
    return jobs.progress(jobs.load(job), datetime.now(UTC))
