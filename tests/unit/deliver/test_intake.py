"""How long first attempts waited for us: measured where nothing but us makes them wait."""

import dataclasses
from typing import Any

import pytest

from bellhop import attempts
from bellhop.attempts import DeliveryRecord
from bellhop.aws import TRY_SECONDS
from deliver.batch import process
from deliver.dependencies import MARGIN_SECONDS, DeliverDependencies, Invocation
from tests.support.endpoint import Clock, Endpoint, recorded, response, retries, run
from tests.support.fakes import NOW, SLOW_LANE, delivery, queue_message


def first(**changes: Any) -> dict[str, Any]:
    return queue_message(delivery(**changes))


def test_a_first_attempt_is_measured_from_when_notify_enqueued_it(deps: DeliverDependencies, clock: Clock) -> None:
    clock.move(61.5)
    run(deps, Endpoint(response(200)), first(), queue_message(delivery(delivery_id="msg_2"), "m2"))
    assert recorded(deps).durations == {"DeliveryDelay": [61.5, 61.5]}


def test_a_clock_that_is_behind_notifys_measures_no_negative_delay(deps: DeliverDependencies) -> None:
    run(deps, Endpoint(response(200)), first(enqueued_at=NOW.timestamp() + 0.2))
    assert recorded(deps).durations == {"DeliveryDelay": [0.0]}


@pytest.mark.parametrize(
    "message",
    [
        first(enqueued_at=0.0),
        first(ping=True, event="ping.test"),
        queue_message(delivery(), arn=SLOW_LANE),
    ],
    ids=["one of unknown age", "a ping", "one in the slow lane"],
)
def test_what_waits_for_something_else_is_not_measured(message: dict[str, Any], deps: DeliverDependencies) -> None:
    endpoint = Endpoint(response(200))
    run(deps, endpoint, message)
    assert len(endpoint.posted) == 1
    assert recorded(deps).durations == {}


def test_a_retry_had_to_wait_and_is_not_measured(deps: DeliverDependencies, queue: str) -> None:
    run(deps, Endpoint(response(500)), first())
    recorded(deps).durations.clear()
    endpoint = Endpoint(response(200))
    run(deps, endpoint, *retries(queue))
    assert len(endpoint.posted) == 1
    assert recorded(deps).durations == {}


def test_one_attempt_that_took_long_to_begin_sent_most_of_its_batch_back(
    deps: DeliverDependencies, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    load, ends = attempts.load, clock.seconds() + 30

    def loading(delivery_id: str) -> DeliveryRecord | None:
        clock.move(0.5 if delivery_id == "msg_slow" else 0.0)
        return load(delivery_id)

    monkeypatch.setattr(attempts, "load", loading)
    slow = queue_message(delivery(delivery_id="msg_slow"), "slow", receive_count=2)  # so its record is looked for
    others = [queue_message(delivery(delivery_id=f"msg_{n}"), f"m{n}") for n in range(99)]
    endpoint = Endpoint(response(200))
    invocation = Invocation(lambda: round(1000 * (ends - clock.seconds())))
    assert process([slow, *others], dataclasses.replace(deps, transport=endpoint), invocation) == []
    assert len(endpoint.posted) == 100


def test_attempts_that_begin_with_no_call_hid_how_slow_the_tables_are(
    deps: DeliverDependencies, queue: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim, number, seconds = attempts.claim, 50, 0.2
    first = [queue_message(delivery(delivery_id=f"msg_again_{n}"), f"a{n}") for n in range(number)]
    run(deps, Endpoint(response(404)), *first)

    def claiming(*call: Any, **how: Any) -> DeliveryRecord | None:
        clock.move(seconds)
        return claim(*call, **how)

    monkeypatch.setattr(attempts, "claim", claiming)
    new = [queue_message(delivery(delivery_id=f"msg_{n}"), f"m{n}") for n in range(number)]
    mixed = [message for pair in zip(retries(queue), new, strict=True) for message in pair]
    ends, endpoint = clock.seconds() + 30, Endpoint(response(404))
    invocation = Invocation(lambda: round(1000 * (ends - clock.seconds())))
    assert process(mixed, dataclasses.replace(deps, transport=endpoint), invocation) != []
    left = ends - clock.seconds() - deps.deadline - (MARGIN_SECONDS - TRY_SECONDS)
    assert 0 < len(endpoint.posted) <= round(left / seconds, 3)
