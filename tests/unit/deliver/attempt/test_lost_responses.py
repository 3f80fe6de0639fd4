"""A write to the log whose response was lost: the SDK repeats it, and finds its own."""

from dataclasses import replace
from typing import Any

import pytest
from botocore.client import BaseClient

from bellhop import attempts, circuits, deliveries
from bellhop.attempts import STOPPED, DeliveryRecord, NextState
from bellhop.deliveries import Retry
from bellhop.registry import App
from deliver.dependencies import DeliverDependencies, RetryPolicy
from tests.support.endpoint import Clock, Endpoint, FakeBus, counters, record, response, retries, run
from tests.support.fakes import NOW, app, delivery, queue_message

ID = delivery().delivery_id


@pytest.fixture
def queue(queue: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every write to the delivery log is made twice, and only the second one's response arrives."""
    call: Any = BaseClient._make_api_call  # type: ignore[attr-defined]

    def twice(client: Any, operation: str, arguments: dict[str, Any]) -> Any:
        if operation in {"PutItem", "UpdateItem"} and arguments["TableName"] == DeliveryRecord.Meta.table_name:
            call(client, operation, arguments)
        return call(client, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", twice)
    return queue


def test_an_end_that_was_written_by_a_clock_that_is_behind_was_taken_for_one_of_before_and_logged_twice(
    deps: DeliverDependencies, queue: str
) -> None:
    made = delivery(enqueued_at=NOW.timestamp() + 5)
    assert run(deps, Endpoint(response(410)), queue_message(made)) == []
    assert (record().state, len(record().attempts)) == ("stopped", 1)


def test_a_first_attempts_result_is_followed_by_its_retry(deps: DeliverDependencies, queue: str) -> None:
    assert run(deps, Endpoint(response(500)), queue_message(delivery())) == []
    assert (record().state, record().attempts_made, len(record().attempts)) == ("retrying", 1, 1)
    [message] = retries(queue)
    assert deliveries.decode(message["body"]) == Retry(ID, "pager", 2, organization_id="acme")
    assert counters()["error"] == 1


def test_a_retrys_claim_is_ours_and_its_result_is_followed_by_the_next_retry(
    deps: DeliverDependencies, queue: str
) -> None:
    endpoint = Endpoint(response(500))
    run(deps, endpoint, queue_message(delivery()))
    assert run(deps, endpoint, *retries(queue)) == []
    assert len(endpoint.posted) == 2
    assert (record().state, record().attempts_made, len(record().attempts)) == ("retrying", 2, 2)
    [message] = retries(queue)
    assert deliveries.decode(message["body"]) == Retry(ID, "pager", 3, organization_id="acme")


def test_the_last_retrys_end_is_announced(deps: DeliverDependencies, queue: str, bus: FakeBus) -> None:
    endpoint = Endpoint(response(500))
    run(deps, endpoint, queue_message(delivery()))
    for _ in deps.policy.delays:
        run(deps, endpoint, *retries(queue))
    assert (record().state, len(record().attempts)) == ("exhausted", 3)
    assert [event_id for _, event_id, _ in bus.events] == [f"{ID}-3"]


def test_a_delivery_of_a_switched_off_app_is_parked_and_never_counted_twice(
    deps: DeliverDependencies, apps: dict[str, App], queue: str
) -> None:
    apps["pager"] = app(state="disabled", generation=2)
    assert run(deps, Endpoint(response(200)), queue_message(delivery())) == []
    assert record().state == "parked"
    assert circuits.share("pager", "acme").parked is None


def test_a_delivery_that_began_anew_is_followed_by_its_retry(
    deps: DeliverDependencies, queue: str, clock: Clock
) -> None:
    attempts.open_record(delivery(), NextState(STOPPED), clock())
    clock.move(10)
    again = delivery(enqueued_at=clock().timestamp() - 1)
    assert run(deps, Endpoint(response(500)), queue_message(again)) == []
    assert (record().state, record().attempts_made) == ("retrying", 1)
    [message] = retries(queue)
    assert deliveries.decode(message["body"]) == Retry(ID, "pager", 2, organization_id="acme")


def test_a_delivery_that_is_deferred_anew_is_followed_by_its_retry(
    deps: DeliverDependencies, apps: dict[str, App], queue: str, clock: Clock
) -> None:
    apps["pager"] = app(max_per_second=1.0)
    attempts.open_record(delivery(), NextState(STOPPED), clock())
    clock.move(10)
    again = delivery(enqueued_at=clock().timestamp() - 1)
    first = delivery(delivery_id="msg_first", enqueued_at=clock().timestamp())
    deps = replace(deps, policy=RetryPolicy((60,), lease=30, fresh=190))
    assert run(deps, Endpoint(response(200)), queue_message(first), queue_message(again, "again")) == []
    assert (record().state, record().attempts_made) == ("retrying", 0)
    [message] = retries(queue)
    assert deliveries.decode(message["body"]) == Retry(ID, "pager", 1, reserved=True, organization_id="acme")
