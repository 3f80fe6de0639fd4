import json
from datetime import UTC, datetime, timedelta

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
from infra.console import again
from infra.console.again import Lane
from infra.console.errors import ConsoleError
from tests.support.fakes import app, delivery
from tests.unit.console.cli_runner import refused, succeed

ID = delivery().delivery_id
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ARN = "arn:aws:sqs:eu-west-1:123456789012:work"
ROLE = "arn:aws:iam::123456789012:role/remind"


@pytest.fixture
def lane(queue: str) -> Lane:
    app().save()
    return Lane(boto3.client("sqs"), queue, boto3.client("scheduler"), "default")


def record(state: str, number: int = 3, due: timedelta = timedelta(hours=5)) -> None:
    failed = Attempt(number, NOW, 12, "request", "http_500", 500, "boom")
    attempts.open_record(delivery(), NextState(state, (NOW + due).timestamp(), failed), NOW)
    DeliveryRecord(ID).update(actions=[DeliveryRecord.attempts_made.set(number)])


def now(lane: Lane, *, force: bool = False) -> again.Sent:
    return again.retry(ID, lane, NOW, force=force)


def sent(lane: Lane) -> list[Retry]:
    response = lane.sqs.receive_message(QueueUrl=lane.queue_url, MaxNumberOfMessages=10, AttributeNames=["All"])
    found = []
    for message in response.get("Messages", []):
        read = deliveries.decode(message["Body"])
        assert isinstance(read, Retry)
        assert message["Attributes"]["MessageGroupId"] == read.app_id
        found.append(read)
    return found


def schedules(lane: Lane) -> list[str]:
    return [schedule["Name"] for schedule in lane.scheduler.list_schedules(GroupName=lane.group)["Schedules"]]


def state() -> tuple[str, int, float]:
    found = DeliveryRecord.get(ID)
    return found.state, int(found.attempts_made), float(found.next_attempt_at)


def test_what_waits_is_due_now_and_its_schedule_is_gone(lane: Lane) -> None:
    record(RETRYING)
    reminders = RetryScheduler(
        Queue(lane.sqs, lane.queue_url),
        ARN,
        lambda: lane.scheduler,
        lane.group,
        ROLE,
        ARN,
        lambda: datetime.now(UTC),
    )
    reminders.send(Retry(ID, "pager", 4), 18_000)
    reminders.send(Retry("msg_other", "pager", 4), 18_000)
    assert len(schedules(lane)) == 2
    assert now(lane) == again.Sent(ID, "pager", 4, RETRYING)
    assert sent(lane) == [Retry(ID, "pager", 4)]
    assert schedules(lane) == ["msg_other-4"]
    assert state() == (RETRYING, 3, NOW.timestamp())


@pytest.mark.parametrize("ended", [EXHAUSTED, STOPPED, PARKED])
def test_what_has_ended_gets_one_attempt_more_when_its_app_is_on(lane: Lane, ended: str) -> None:
    record(ended, 11)
    assert now(lane).state == ended
    assert sent(lane) == [Retry(ID, "pager", 12)]
    assert state() == (RETRYING, 11, NOW.timestamp())
    assert attempts.replayable("pager", None, 10) == []  # a replay must not find it a second time


def test_deliver_makes_the_attempt_once_however_many_reminders_there_are(
    lane: Lane, deps: DeliverDependencies
) -> None:
    record(EXHAUSTED)
    now(lane)
    now(lane)
    first, second = sent(lane)
    job = chain.begin(first, 1, deps)
    assert job
    assert (job.number, job.delivery) == (4, delivery())
    chain.write(job, NextState(DELIVERED, attempt=Attempt(4, NOW, 3, "r", "http_200", 200)), deps)
    assert chain.begin(second, 1, deps) is None
    assert state()[:2] == (DELIVERED, 4)


def test_a_delivered_one_is_sent_again_only_by_force(lane: Lane) -> None:
    record(DELIVERED)
    with pytest.raises(ConsoleError, match=r"is delivered already: --force sends it once more"):
        now(lane)
    assert sent(lane) == []
    now(lane, force=True)
    assert sent(lane) == [Retry(ID, "pager", 4)]


@pytest.mark.parametrize("before", [PARKED, RETRYING, EXHAUSTED])
def test_nothing_is_sent_for_an_app_that_is_off(lane: Lane, before: str) -> None:
    record(before)
    App("pager").update(actions=[App.state.set(DISABLED)])
    with pytest.raises(ConsoleError, match=f"is {before}, and its app pager is switched off"):
        now(lane, force=True)
    App("pager").delete()
    with pytest.raises(ConsoleError, match="its app pager is not registered any more"):
        now(lane)
    assert sent(lane) == []
    assert state()[0] == before


def test_an_unknown_delivery_is_an_error_that_says_where_the_ids_are(lane: Lane) -> None:
    with pytest.raises(ConsoleError, match=r"no record of a delivery 'msg_0+': .* `bellhop log APP --failures`"):
        now(lane)


def test_what_ends_meanwhile_is_not_opened_again(lane: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
    record(RETRYING)
    stale = DeliveryRecord.get(ID)
    DeliveryRecord(ID).update(actions=[DeliveryRecord.state.set(DELIVERED), DeliveryRecord.attempts_made.set(4)])
    monkeypatch.setattr(attempts, "load", lambda _: stale)
    with pytest.raises(ConsoleError, match="was changed meanwhile"):
        now(lane)
    assert sent(lane) == []
    assert state()[0] == DELIVERED


def test_a_crash_before_the_message_is_sent_is_mended_by_doing_it_again(
    lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(EXHAUSTED)
    with monkeypatch.context() as patch:
        patch.setattr(lane.sqs, "send_message", lambda **_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            now(lane)
    now(lane)
    assert sent(lane) == [Retry(ID, "pager", 4)]


@pytest.mark.usefixtures("cloudformation")
def test_the_command_says_which_attempt_is_due_and_where_to_look(lane: Lane) -> None:
    record(STOPPED)
    shown = succeed("retry", ID)
    assert f"Attempt 4 of {ID} is due now; it was stopped." in shown
    assert "bellhop log pager" in shown
    assert json.loads(succeed("retry", ID, "--json")) == {
        "delivery_id": ID,
        "app_id": "pager",
        "attempt": 4,
        "state": "retrying",
    }
    assert "no record of a delivery 'msg_\\x1b'" in refused("retry", "msg_\x1b")


def test_a_ping_is_not_tried_again_as_if_it_were_a_delivery(lane: Lane) -> None:
    record(STOPPED)
    DeliveryRecord(ID).update(actions=[DeliveryRecord.event.set("ping.test")])
    with pytest.raises(ConsoleError, match="`bellhop ping pager` sends another"):
        now(lane)
    assert sent(lane) == []
