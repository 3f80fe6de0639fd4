"""A roll-back over messages of a newer version loses nothing and dead-letters nothing, however long it lasts."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import pytest

from bellhop import attempts, deliveries, tables
from bellhop.attempts import RETRYING, DeliveryRecord, NextState
from bellhop.deliveries import Retry
from bellhop.newer import WAIT_SECONDS
from bellhop.queues import Queue
from bellhop.registry import App
from deliver.attempt.retry_scheduler import RetryScheduler
from deliver.batch import process
from deliver.dependencies import DeliverDependencies, Invocation
from health import app as health_app
from health import messages, recovery, transitions
from health.messages import RecoveryCheck
from notify import continuation, intake
from notify.intake import NotifyDependencies
from tests.support.endpoint import Apps, Clock, Endpoint, FakeBus, dependencies, record, response
from tests.support.fakes import (
    NOW,
    FakeRegistry,
    Recorder,
    app,
    delivery,
    installation,
    issue_event,
    organization,
)
from tests.support.health import health_dependencies
from tests.support.queue_service import QueueService

DAY = 86_400.0
ROLLED_BACK = DAY  # ten receives take half an hour


@dataclass
class Deliver:
    """deliver between its retry queue and one endpoint that responds with 200."""

    sqs: QueueService
    deps: DeliverDependencies
    endpoint: Endpoint

    def __call__(self, batch: list[dict[str, Any]]) -> list[str]:
        deps = replace(self.deps, transport=self.endpoint)
        return process(batch, deps, Invocation(lambda: 900_000))

    @property
    def posted(self) -> list[str]:
        return [headers["webhook-id"] for _, headers, _ in self.endpoint.posted]


@pytest.fixture
def sqs() -> QueueService:
    return QueueService()


@pytest.fixture
def deliver(aws: None, sqs: QueueService, clock: Clock, apps: dict[str, App], bus: FakeBus) -> Deliver:
    none = cast("Any", None)
    scheduler = RetryScheduler(sqs.queue, "arn", lambda: none, "g", "role", "dead", clock, lambda _: None)
    return Deliver(sqs, dependencies(Apps(apps), scheduler, bus, clock), Endpoint(response(200)))


def waits_for_days(sqs: QueueService, function: Callable[[list[dict[str, Any]]], list[str]]) -> None:
    """The older version runs for days; what is there is neither done nor dead."""
    before = [message.body for message in sqs.waiting]
    sqs.run(function, until=ROLLED_BACK)
    assert sorted(message.body for message in sqs.waiting) == sorted(before)
    assert sqs.dead == []


def test_first_attempts_of_a_newer_format_are_made_once_it_is_back(
    deliver: Deliver, sqs: QueueService, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [f"msg_{n}" for n in range(12)]
    monkeypatch.setattr(deliveries, "VERSION", 2)
    bodies = [deliveries.encode(delivery(delivery_id=each)) for each in ids]
    monkeypatch.setattr(deliveries, "VERSION", 1)
    for body in bodies:
        sqs.send_message(MessageBody=body, MessageGroupId="pager")
    waits_for_days(sqs, deliver)
    assert deliver.posted == []
    assert {message.group for message in sqs.waiting} == {"pager"}

    monkeypatch.setattr(deliveries, "VERSION", 2)
    sqs.run(deliver, until=ROLLED_BACK + DAY)
    assert (sorted(deliver.posted), sqs.waiting, sqs.dead) == (sorted(ids), [], [])


def test_messages_of_a_newer_kind_are_handled_once_it_is_back(
    deliver: Deliver, sqs: QueueService, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts.open_record(delivery(), NextState(RETRYING), NOW)
    body = json.loads(deliveries.encode(Retry(delivery().delivery_id, "pager", 1))) | {"kind": "from_tomorrow"}
    sqs.send_message(MessageBody=json.dumps(body))
    waits_for_days(sqs, deliver)

    monkeypatch.setitem(deliveries._REFERENCES, "from_tomorrow", Retry)
    sqs.run(deliver, until=ROLLED_BACK + DAY)
    assert (deliver.posted, sqs.waiting) == ([delivery().delivery_id], [])


@pytest.mark.parametrize("first", [True, False])
def test_what_is_to_be_done_with_a_record_in_a_newer_state_waits(
    deliver: Deliver, sqs: QueueService, *, first: bool
) -> None:
    attempts.open_record(delivery(), NextState(RETRYING), NOW)
    record().update(actions=[DeliveryRecord.state.set("from_tomorrow")])
    old = delivery(enqueued_at=NOW.timestamp() - DAY)
    sqs.send_message(MessageBody=deliveries.encode(old if first else Retry(old.delivery_id, "pager", 1)))
    waits_for_days(sqs, deliver)

    DeliveryRecord(old.delivery_id).update(actions=[DeliveryRecord.state.set(RETRYING)])
    sqs.run(deliver, until=ROLLED_BACK + DAY)
    assert (deliver.posted, sqs.waiting) == ([old.delivery_id], [])


@pytest.mark.parametrize("changes", [{"state": "disabled"}, {"max_per_second": 1}])
def test_it_waits_too_where_the_app_is_off_or_over_its_rate(
    deliver: Deliver, sqs: QueueService, apps: dict[str, App], changes: dict[str, Any]
) -> None:
    apps["pager"] = app(**changes)
    attempts.open_record(delivery(), NextState(RETRYING), NOW)
    record().update(actions=[DeliveryRecord.state.set("from_tomorrow")])
    for _ in range(3):
        sqs.send_message(
            MessageBody=deliveries.encode(Retry(delivery().delivery_id, "pager", 1, organization_id="acme"))
        )
    sqs.run(deliver, until=0.0)
    assert [message.due for message in sqs.waiting] == [WAIT_SECONDS] * 3


def test_continuations_of_a_newer_format_go_on_once_it_is_back(
    sqs: QueueService, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = FakeRegistry({"acme": organization()}, {"pager": app()}, [installation()])
    sent = QueueService()
    deps = NotifyDependencies(
        hooks, sent.queue, Queue(cast("Any", None), "dead"), sqs.queue, Recorder(), lambda _: None, NOW.timestamp
    )
    cursor = json.dumps({"v": 2, "after": "in-a"})
    attributes = {continuation.ATTRIBUTE: {"DataType": "String", "StringValue": cursor}}
    sqs.send_message(MessageBody=json.dumps(issue_event()), MessageGroupId="acme", MessageAttributes=attributes)

    def notify(batch: list[dict[str, Any]]) -> list[str]:
        return intake.process(batch, deps, lambda: 900.0)

    waits_for_days(sqs, notify)
    assert sent.waiting == []

    monkeypatch.setattr(continuation, "VERSION", 2)
    sqs.run(notify, until=ROLLED_BACK + DAY)
    assert ([message.group for message in sent.waiting], sqs.waiting, sqs.dead) == (["pager"], [], [])


@pytest.fixture
def health(sqs: QueueService, aws: None) -> Callable[[list[dict[str, Any]]], list[str]]:
    deps = health_dependencies(
        wait=lambda copies: sqs.queue.send_all(copies, lambda _: None), connection=tables.connect()
    )
    return lambda batch: health_app.from_queue(batch, deps)


def test_messages_of_a_newer_kind_on_transitions_are_handled_once_it_is_back(
    health: Callable[[list[dict[str, Any]]], list[str]], sqs: QueueService, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[str] = []
    monkeypatch.setattr(recovery, "step", lambda check, deps: ended.append(check.app_id))
    body = json.loads(messages.encode(RecoveryCheck("pager", 2, 0.0, 0.0))) | {"kind": "from_tomorrow"}
    sqs.send_message(MessageBody=json.dumps(body))
    waits_for_days(sqs, health)
    assert ended == []

    monkeypatch.setitem(messages._KINDS, "from_tomorrow", RecoveryCheck)
    sqs.run(health, until=ROLLED_BACK + DAY)
    assert (ended, sqs.waiting, sqs.dead) == (["pager"], [], [])


def test_the_follow_up_of_a_newer_transition_waits_without_keeping_the_entry_from_others(
    health: Callable[[list[dict[str, Any]]], list[str]], sqs: QueueService
) -> None:
    app().save()
    entry = transitions.registration(app(), "operator", NOW)
    entry.action, entry.finished_at = "app.from_tomorrow", None
    entry.save()
    sqs.send_message(MessageBody=messages.encode(messages.FollowUp("pager", entry.transition_id)))
    waits_for_days(sqs, health)
    entry.refresh()
    assert (entry.attribute_values.get("lease_until"), entry.attribute_values.get("done")) == (None, None)


def test_what_no_version_wrote_is_still_dead_lettered(deliver: Deliver, sqs: QueueService) -> None:
    sqs.send_message(MessageBody="no message of ours")
    sqs.run(deliver, until=ROLLED_BACK)
    assert (sqs.waiting, sqs.dead) == ([], ["no message of ours"])
