import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from bellhop.deliveries import Retry, Trial, decode
from bellhop.queues import MAX_DELAY, Queue
from deliver.attempt.retry_scheduler import RetryScheduler, schedule_name
from tests.support.endpoint import retries
from tests.support.fakes import NOW, delivery

RETRY = Retry(delivery().delivery_id, "pager", 7)


class Scheduler:
    """Remembers schedules; refuses a name it has."""

    def __init__(self) -> None:
        self.made: dict[str, dict[str, Any]] = {}

    def create_schedule(self, **schedule: Any) -> None:
        if schedule["Name"] in self.made:
            raise ClientError({"Error": {"Code": "ConflictException"}}, "CreateSchedule")
        self.made[schedule["Name"]] = schedule


@pytest.fixture
def scheduler() -> Scheduler:
    return Scheduler()


@pytest.fixture
def retries_at(queue: str, scheduler: Scheduler) -> RetryScheduler:
    return RetryScheduler(
        Queue(boto3.client("sqs"), queue),
        "arn:queue",
        lambda: scheduler,  # type: ignore[arg-type,return-value]
        "group",
        "arn:role",
        "arn:dead",
        lambda: NOW + timedelta(microseconds=1),
        lambda _: None,
    )


def test_up_to_fifteen_minutes_the_queue_delays(
    retries_at: RetryScheduler, queue: str, scheduler: Scheduler
) -> None:
    retries_at.send(RETRY, MAX_DELAY)
    [message] = retries(queue)
    assert decode(message["body"]) == RETRY
    assert scheduler.made == {}


def test_beyond_that_a_schedule_that_deletes_itself_sends_the_reference(
    retries_at: RetryScheduler, queue: str, scheduler: Scheduler
) -> None:
    retries_at.send(RETRY, 7200)
    [schedule] = scheduler.made.values()
    assert retries(queue) == []
    assert schedule["GroupName"] == "group"
    assert schedule["ActionAfterCompletion"] == "DELETE"
    assert schedule["FlexibleTimeWindow"] == {"Mode": "OFF"}
    assert decode(schedule["Target"]["Input"]) == RETRY
    assert schedule["Target"]["DeadLetterConfig"] == {"Arn": "arn:dead"}
    assert delivery().body.decode() not in json.dumps(schedule)


def test_a_schedules_time_is_rounded_up_to_the_minute(retries_at: RetryScheduler, scheduler: Scheduler) -> None:
    retries_at.send(RETRY, 7200)
    assert scheduler.made[schedule_name(RETRY)]["ScheduleExpression"] == "at(2026-11-23T14:01:00)"


def test_a_schedule_that_is_there_already_is_enough(retries_at: RetryScheduler, scheduler: Scheduler) -> None:
    retries_at.send(RETRY, 7200)
    retries_at.send(RETRY, 7200)
    assert len(scheduler.made) == 1


def test_another_refusal_of_the_scheduler_is_a_fault_of_ours(
    retries_at: RetryScheduler, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    def throttled(**_: Any) -> None:
        raise ClientError({"Error": {"Code": "ThrottlingException"}}, "CreateSchedule")

    monkeypatch.setattr(scheduler, "create_schedule", throttled)
    with pytest.raises(ClientError):
        retries_at.send(RETRY, 7200)


def test_names_fit_and_differ_by_attempt() -> None:
    names = {schedule_name(Retry(delivery().delivery_id, "pager", n)) for n in range(1, 12)}
    assert len(names) == 11
    assert max(map(len, names)) <= 64


def test_a_deferral_of_an_attempt_that_a_schedule_began_collided_with_that_schedule(
    retries_at: RetryScheduler, scheduler: Scheduler
) -> None:
    for deferral in range(3):
        retries_at.send(replace(RETRY, deferral=deferral), 7200)
    assert len(scheduler.made) == 3
    assert schedule_name(RETRY) == f"{RETRY.delivery_id}-7"


def test_a_trial_that_was_hours_away_came_back_every_quarter_of_an_hour(
    retries_at: RetryScheduler, queue: str, scheduler: Scheduler
) -> None:
    trial = Trial("a" * 64, 12, 345)
    for _ in range(2):  # a copy is scheduled under the same name, so it comes once
        retries_at.send_trial(trial, 7200)
    [schedule] = scheduler.made.values()
    assert (decode(schedule["Target"]["Input"]), retries(queue)) == (trial, [])
    assert len(schedule["Name"]) <= 64
