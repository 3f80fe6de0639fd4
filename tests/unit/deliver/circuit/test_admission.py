"""Deliveries that may not go out now: the real batch, tables in memory, and a clock that is moved."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pynamodb.exceptions import UpdateError

from bellhop import circuits, deliveries
from bellhop.deliveries import Retry
from bellhop.registry import App
from deliver.circuit import rate
from deliver.circuit.window import FailureWindow
from deliver.dependencies import DeliverDependencies, RetryPolicy
from tests.support.endpoint import Clock, Endpoint, counters, record, recorded, response, retries, run
from tests.support.fakes import NOW, app, delivery, queue_message

T0 = NOW.timestamp()


@pytest.fixture
def deps(deps: DeliverDependencies) -> DeliverDependencies:
    return dataclasses.replace(deps, policy=RetryPolicy(delays=(5, 60, 300), lease=30))


def batch(number: int, name: str = "msg") -> list[dict[str, Any]]:
    return [queue_message(delivery(delivery_id=f"{name}_{n}"), f"{name}{n}") for n in range(number)]


def paused(deps: DeliverDependencies) -> None:
    run(deps, Endpoint(response(500)), *batch(10, "before"))
    assert circuits.load("pager").paused_since == T0


def test_ten_failures_in_five_minutes_pause_the_app_and_mail_nobody(deps: DeliverDependencies) -> None:
    paused(deps)
    assert recorded(deps).counts["PauseBegan"] == 1


def test_a_circuit_that_cannot_be_written_is_logged_and_not_taken_for_a_lost_count(
    deps: DeliverDependencies, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> bool:
        raise UpdateError("the table does not respond")

    monkeypatch.setattr(circuits, "open_circuit", broken)
    assert run(deps, Endpoint(response(500)), *batch(10)) == []
    assert counters()["error"] == 10
    [line] = recorded(deps).logged(
        "app not paused, its circuit cannot be written: its next failure will try again"
    )
    assert line["app_id"] == "pager"
    assert "OutcomesNotCounted" not in recorded(deps).counts


def test_while_paused_nothing_is_sent_and_no_budget_is_spent(deps: DeliverDependencies, queue: str) -> None:
    paused(deps)
    retries(queue)
    endpoint = Endpoint(response(200))
    assert run(deps, endpoint, *batch(5)) == []
    assert endpoint.posted == []
    assert (record("msg_0").state, record("msg_0").attempts_made) == ("retrying", 0)
    waiting = [deliveries.decode(message["body"]) for message in retries(queue)]
    assert waiting == [Retry(f"msg_{n}", "pager", 1, T0) for n in range(5)]


def test_a_deferred_retry_is_sent_again_without_touching_its_record(
    deps: DeliverDependencies, clock: Clock, queue: str
) -> None:
    paused(deps)
    before = record("before_0").serialize()
    message = next(r for r in retries(queue) if '"before_0"' in r["body"])
    clock.move(5)
    run(deps, Endpoint(response(200)), message)
    assert record("before_0").serialize() == before
    [again] = retries(queue)
    assert deliveries.decode(again["body"]) == Retry("before_0", "pager", 2, T0 + 5)


def test_one_trial_at_a_time_is_sent_when_it_is_due(deps: DeliverDependencies, clock: Clock, queue: str) -> None:
    paused(deps)
    clock.move(rate.TRIAL_SECONDS)
    endpoint = Endpoint(response(500))
    run(deps, endpoint, *batch(5))
    assert len(endpoint.posted) == 1
    run(deps, endpoint, *batch(5, "later"))
    assert len(endpoint.posted) == 1


def test_twenty_functions_at_once_make_one_trial(deps: DeliverDependencies, clock: Clock) -> None:
    paused(deps)
    clock.move(rate.TRIAL_SECONDS)
    circuits.load("pager")  # opens the connection before the threads share it
    with ThreadPoolExecutor(20) as pool:
        taken = list(pool.map(lambda n: circuits.claim_trial("pager", str(n), clock().timestamp(), 30), range(20)))
    assert sum(taken) == 1


def test_a_trial_that_fails_spends_no_budget_is_logged_and_counted(
    deps: DeliverDependencies, clock: Clock, queue: str
) -> None:
    paused(deps)
    retries(queue)
    clock.move(rate.TRIAL_SECONDS)
    errors = counters()["error"]
    run(deps, Endpoint(response(503)), *batch(1))
    assert (record("msg_0").state, record("msg_0").attempts_made) == ("retrying", 0)
    assert [entry["result"] for entry in record("msg_0").attempts] == ["http_503"]
    assert counters()["error"] == errors + 1
    [message] = retries(queue)
    assert deliveries.decode(message["body"]) == Retry("msg_0", "pager", 1, clock().timestamp())
    assert circuits.load("pager").next_trial_at == clock().timestamp() + rate.TRIAL_SECONDS


def test_a_trial_that_succeeds_ends_the_pause_with_a_slow_start(deps: DeliverDependencies, clock: Clock) -> None:
    paused(deps)
    clock.move(rate.TRIAL_SECONDS)
    endpoint = Endpoint(response(200))
    run(deps, endpoint, *batch(5))
    assert len(endpoint.posted) == 1
    row = circuits.load("pager")
    assert row.closed_at == clock().timestamp()
    assert circuits.paused_since(row, 1) is None
    clock.move(1)
    run(deps, endpoint, *batch(5, "slow"))
    assert len(endpoint.posted) == 2
    clock.move(60)
    run(deps, endpoint, *batch(5, "free"))
    assert len(endpoint.posted) == 7


def test_a_deferred_delivery_is_the_trial_also_in_a_process_that_knows_nothing_of_the_pause(
    deps: DeliverDependencies, clock: Clock, queue: str
) -> None:
    paused(deps)
    retries(queue)
    run(deps, Endpoint(response(200)), *batch(3))
    clock.move(rate.TRIAL_SECONDS)
    fresh = dataclasses.replace(deps, window=FailureWindow(lambda: clock().timestamp()))
    endpoint = Endpoint(response(200))
    run(fresh, endpoint, *retries(queue))
    assert len(endpoint.posted) == 1
    assert circuits.load("pager").closed_at == clock().timestamp()


def test_a_worker_that_died_in_its_trial_does_not_prolong_the_pause_for_ever(
    deps: DeliverDependencies, clock: Clock
) -> None:
    paused(deps)
    clock.move(rate.TRIAL_SECONDS)
    assert circuits.claim_trial("pager", "dead", clock().timestamp(), 30)
    clock.move(31)
    endpoint = Endpoint(response(200))
    run(deps, endpoint, *batch(1))
    assert len(endpoint.posted) == 1


def test_what_failed_before_the_pause_does_not_pause_again_after_it(
    deps: DeliverDependencies, clock: Clock
) -> None:
    paused(deps)
    clock.move(rate.TRIAL_SECONDS)
    run(deps, Endpoint(response(200)), *batch(1))
    clock.move(60)
    run(deps, Endpoint(response(500)), *batch(1, "one"))
    assert circuits.load("pager").paused_since is None


def test_a_delivery_is_deferred_no_longer_than_its_retries_would_have_taken(
    deps: DeliverDependencies, clock: Clock, queue: str
) -> None:
    paused(deps)
    retries(queue)
    run(deps, Endpoint(response(200)), *batch(1))
    rounds = 0
    while waiting := retries(queue):
        clock.move(rate.TRIAL_SECONDS)
        circuits.claim_trial("pager", f"other{rounds}", clock().timestamp(), 29)
        run(deps, Endpoint(response(500)), *waiting)
        rounds += 1
    assert record("msg_0").state == "exhausted"
    assert rounds * rate.TRIAL_SECONDS > deps.policy.span
    assert record("msg_0").delivery.body


def test_a_healthy_app_costs_no_read_of_its_circuit(
    deps: DeliverDependencies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(circuits, "load", lambda app_id: pytest.fail("read"))
    run(deps, Endpoint(response(200)), *batch(10))


def test_an_app_that_was_switched_off_and_on_again_is_not_paused_any_more(
    deps: DeliverDependencies, apps: dict[str, App]
) -> None:
    paused(deps)
    apps["pager"] = app(generation=3)
    endpoint = Endpoint(response(200))
    run(deps, endpoint, *batch(5))
    assert len(endpoint.posted) == 5


def test_a_delivery_of_a_switched_off_app_is_parked_and_not_deferred(
    deps: DeliverDependencies, apps: dict[str, App]
) -> None:
    paused(deps)
    apps["pager"] = app(state="disabled")
    run(deps, Endpoint(response(200)), *batch(1))
    assert record("msg_0").state == "parked"


def test_a_rate_limit_lets_a_seconds_worth_go_and_spreads_the_rest(
    deps: DeliverDependencies, apps: dict[str, App], clock: Clock, queue: str
) -> None:
    apps["pager"] = app(max_per_second=3)
    endpoint = Endpoint(response(200))
    run(deps, endpoint, *batch(10))
    assert len(endpoint.posted) == 3
    clock.move(1)
    run(deps, endpoint, *retries(queue))
    assert len(endpoint.posted) == 6


def test_a_circuit_that_cannot_be_read_brings_back_its_own_apps_messages_alone(
    deps: DeliverDependencies, apps: dict[str, App], monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(app_id: str) -> None:
        raise ConnectionError("the table does not respond")

    monkeypatch.setattr(circuits, "load", down)
    apps["pager"], apps["other"] = app(max_per_second=3), app("other")
    endpoint = Endpoint(response(200))
    good = queue_message(delivery(app_id="other", delivery_id="msg_x"), "good")
    assert run(deps, endpoint, *batch(2), good) == ["msg0", "msg1"]
    assert len(endpoint.posted) == 1
