import json
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest

from bellhop import attempts, deliveries
from bellhop.attempts import DELIVERED, EXHAUSTED, PARKED, RETRYING, STOPPED, Attempt, DeliveryRecord, NextState
from bellhop.deliveries import Retry
from bellhop.queues import Queue
from bellhop.registry import DISABLED, App
from deliver.attempt import chain
from deliver.attempt.retry_scheduler import RetryScheduler
from deliver.dependencies import DeliverDependencies
from infra.cli.commands import retry
from infra.cli.commands.retry import RequestedRetry, RetryQueue
from infra.cli.errors import CommandError
from tests.support.fakes import app, delivery
from tests.unit.cli.cli_runner import refused, succeed

ID = delivery().delivery_id
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ARN = "arn:aws:sqs:eu-west-1:123456789012:work"
ROLE = "arn:aws:iam::123456789012:role/retry"


@pytest.fixture
def retries(queue: str) -> RetryQueue:
    app().save()
    return RetryQueue(Queue(boto3.client("sqs"), queue), boto3.client("scheduler"), "default")


def record(state: str, number: int = 3, due: timedelta = timedelta(hours=5)) -> None:
    failed = Attempt(number, NOW, 12, "request", "http_500", 500, "boom")
    attempts.open_record(delivery(), NextState(state, (NOW + due).timestamp(), failed), NOW)
    DeliveryRecord(ID).update(actions=[DeliveryRecord.attempts_made.set(number)])


def retry_now(retries: RetryQueue, *, force: bool = False) -> RequestedRetry:
    return retry.retry_delivery(ID, retries, NOW, force=force)


def sent(retries: RetryQueue) -> list[Retry]:
    queue = retries.queue
    response = queue.sqs.receive_message(QueueUrl=queue.url, MaxNumberOfMessages=10, AttributeNames=["All"])
    found = []
    for message in response.get("Messages", []):
        read = deliveries.decode(message["Body"])
        assert isinstance(read, Retry)
        assert message["Attributes"]["MessageGroupId"] == read.app_id
        found.append(read)
    return found


def schedules(retries: RetryQueue) -> list[str]:
    found = retries.scheduler.list_schedules(GroupName=retries.group)
    return [schedule["Name"] for schedule in found["Schedules"]]


def state() -> tuple[str, int, float]:
    found = DeliveryRecord.get(ID)
    return found.state, int(found.attempts_made), float(found.next_attempt_at)


def test_what_waits_is_due_now_and_its_schedule_is_gone(retries: RetryQueue) -> None:
    record(RETRYING)
    scheduled = RetryScheduler(
        retries.queue,
        ARN,
        lambda: retries.scheduler,
        retries.group,
        ROLE,
        ARN,
        lambda: datetime.now(UTC),
    )
    scheduled.send(Retry(ID, "pager", 4), 18_000)
    scheduled.send(Retry("msg_other", "pager", 4), 18_000)
    assert len(schedules(retries)) == 2
    assert retry_now(retries) == RequestedRetry(ID, "pager", 4, RETRYING)
    assert sent(retries) == [Retry(ID, "pager", 4)]
    assert schedules(retries) == ["msg_other-4"]
    assert state() == (RETRYING, 3, NOW.timestamp())


@pytest.mark.parametrize("ended", [EXHAUSTED, STOPPED, PARKED])
def test_what_has_ended_gets_one_attempt_more_when_its_app_is_on(retries: RetryQueue, ended: str) -> None:
    record(ended, 11)
    assert retry_now(retries).state_before == ended
    assert sent(retries) == [Retry(ID, "pager", 12)]
    assert state() == (RETRYING, 11, NOW.timestamp())
    assert attempts.replayable("pager", None, 10) == []  # a replay must not find it a second time


def test_deliver_makes_the_attempt_once_however_many_retries_there_are(
    retries: RetryQueue, deps: DeliverDependencies
) -> None:
    record(EXHAUSTED)
    retry_now(retries)
    retry_now(retries)
    first, second = sent(retries)
    job = chain.begin(first, 1, deps)
    assert job
    assert (job.number, job.delivery) == (4, delivery(enqueued_at=0.0))
    chain.write(job, NextState(DELIVERED, attempt=Attempt(4, NOW, 3, "r", "http_200", 200)), deps)
    assert chain.begin(second, 1, deps) is None
    assert state()[:2] == (DELIVERED, 4)


def test_a_delivered_one_is_sent_again_only_by_force(retries: RetryQueue) -> None:
    record(DELIVERED)
    with pytest.raises(CommandError, match=r"is delivered already: --force sends it once more"):
        retry_now(retries)
    assert sent(retries) == []
    retry_now(retries, force=True)
    assert sent(retries) == [Retry(ID, "pager", 4)]


@pytest.mark.parametrize("before", [PARKED, RETRYING, EXHAUSTED])
def test_nothing_is_sent_for_an_app_that_is_off(retries: RetryQueue, before: str) -> None:
    record(before)
    App("pager").update(actions=[App.state.set(DISABLED)])
    with pytest.raises(CommandError, match=f"is {before}, and its app pager is switched off"):
        retry_now(retries, force=True)
    App("pager").delete()
    with pytest.raises(CommandError, match="its app pager is not registered any more"):
        retry_now(retries)
    assert sent(retries) == []
    assert state()[0] == before


def test_an_unknown_delivery_is_an_error_that_says_where_the_ids_are(retries: RetryQueue) -> None:
    with pytest.raises(CommandError, match=r"no record of a delivery 'msg_0+': .* `bellhop log APP --failures`"):
        retry_now(retries)


def test_what_ends_meanwhile_is_not_opened_again(retries: RetryQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    record(RETRYING)
    stale = DeliveryRecord.get(ID)
    DeliveryRecord(ID).update(actions=[DeliveryRecord.state.set(DELIVERED), DeliveryRecord.attempts_made.set(4)])
    monkeypatch.setattr(attempts, "load", lambda _: stale)
    with pytest.raises(CommandError, match="was changed meanwhile"):
        retry_now(retries)
    assert sent(retries) == []
    assert state()[0] == DELIVERED


def test_a_crash_before_the_message_is_sent_is_mended_by_doing_it_again(
    retries: RetryQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(EXHAUSTED)
    with monkeypatch.context() as patch:
        patch.setattr(retries.queue.sqs, "send_message", lambda **_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            retry_now(retries)
    retry_now(retries)
    assert sent(retries) == [Retry(ID, "pager", 4)]


@pytest.mark.usefixtures("cloudformation")
def test_the_command_says_which_attempt_is_due_and_where_to_look(retries: RetryQueue) -> None:
    record(STOPPED)
    shown = succeed("retry", ID)
    assert f"Attempt 4 of {ID} is due now; it was stopped." in shown
    assert "bellhop log pager" in shown
    assert json.loads(succeed("retry", ID, "--json")) == {
        "delivery_id": ID,
        "app_id": "pager",
        "next_attempt": 4,
        "state_before": "retrying",
    }
    assert "no record of a delivery 'msg_\\x1b'" in refused("retry", "msg_\x1b")


def test_a_ping_is_not_tried_again_as_if_it_were_a_delivery(retries: RetryQueue) -> None:
    record(STOPPED)
    DeliveryRecord(ID).update(actions=[DeliveryRecord.event.set("ping.test")])
    with pytest.raises(CommandError, match="`bellhop ping pager` sends another"):
        retry_now(retries)
    assert sent(retries) == []


def test_a_write_whose_response_was_lost_is_not_taken_for_somebody_elses(
    retries: RetryQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(EXHAUSTED)
    update = DeliveryRecord.update

    def twice(row: DeliveryRecord, **change: Any) -> Any:
        update(row, **change)  # the response is lost, and the SDK writes a second time
        return update(row, **change)

    monkeypatch.setattr(DeliveryRecord, "update", twice)
    assert retry_now(retries) == RequestedRetry(ID, "pager", 4, EXHAUSTED)
    assert sent(retries) == [Retry(ID, "pager", 4)]
