"""Deliveries that may not go out now, through the real dispatch, tables in memory and a clock that is moved."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pynamodb.exceptions import UpdateError

from bellhop import circuits, deliveries
from bellhop.deliveries import Retry
from bellhop.registry import App
from deliver.batch import process
from deliver.circuit import rate
from deliver.circuit.window import FailureWindow
from deliver.dependencies import DeliverDependencies, RetryPolicy
from deliver.posting import Workers
from tests.support.endpoint import TIMEOUT, Clock, Endpoint, counters, record, response, retries, run
from tests.support.fakes import NOW, app, delivery, sqs_record

T0 = NOW.timestamp()


@pytest.fixture
def deps(deps: DeliverDependencies) -> DeliverDependencies:
    return dataclasses.replace(deps, policy=RetryPolicy(delays=(5, 60, 300), lease=30))


def batch(number: int, name: str = "msg") -> list[dict[str, Any]]:
    return [sqs_record(delivery(delivery_id=f"{name}_{n}"), f"{name}{n}") for n in range(number)]


def paused(deps: DeliverDependencies) -> None:
    run(deps, Endpoint(response(500)), *batch(10, "before"))
    assert circuits.load("pager").paused_since == T0


def test_ten_failures_in_five_minutes_pause_the_app_and_mail_nobody(deps: DeliverDependencies) -> None:
    paused(deps)
    assert deps.telemetry.counts["PauseBegan"] == 1  # type: ignore[attr-defined]


def test_a_gate_that_cannot_be_written_is_said_and_not_taken_for_a_lost_count(
    deps: DeliverDependencies, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> bool:
        raise UpdateError("the table does not respond")

    monkeypatch.setattr(circuits, "open_circuit", broken)
    assert run(deps, Endpoint(response(500)), *batch(10)) == []
    assert counters()["error"] == 10
    [line] = deps.telemetry.said("app not paused: the gate cannot be written")  # type: ignore[attr-defined]
    assert line["app_id"] == "pager"
    assert "OutcomesNotCounted" not in deps.telemetry.counts  # type: ignore[attr-defined]


def test_while_paused_nothing_is_sent_and_no_budget_is_spent(deps: DeliverDependencies, queue: str) -> None:
    paused(deps)
    retries(queue)
    endpoint = Endpoint(response(200))
    assert run(deps, endpoint, *batch(5)) == []
    assert endpoint.posted == []
    assert (record("msg_0").state, record("msg_0").attempts_made) == ("retrying", 0)
    waiting = [deliveries.decode(reminder["body"]) for reminder in retries(queue)]
    assert waiting == [Retry(f"msg_{n}", "pager", 1, T0) for n in range(5)]


def test_a_waiting_retry_goes_round_without_touching_its_record(
    deps: DeliverDependencies, clock: Clock, queue: str
) -> None:
    paused(deps)
    before = record("before_0").serialize()
    reminder = next(r for r in retries(queue) if '"before_0"' in r["body"])
    clock.move(5)
    run(deps, Endpoint(response(200)), reminder)
    assert record("before_0").serialize() == before
    [again] = retries(queue)
    assert deliveries.decode(again["body"]) == Retry("before_0", "pager", 2, T0 + 5)


def test_one_probe_at_a_time_is_sent_when_it_is_due(deps: DeliverDependencies, clock: Clock, queue: str) -> None:
    paused(deps)
    clock.move(rate.TRIAL_SECONDS)
    endpoint = Endpoint(response(500))
    run(deps, endpoint, *batch(5))
    assert len(endpoint.posted) == 1
    run(deps, endpoint, *batch(5, "later"))
    assert len(endpoint.posted) == 1


def test_twenty_functions_at_once_send_one_probe(deps: DeliverDependencies, clock: Clock) -> None:
    paused(deps)
    clock.move(rate.TRIAL_SECONDS)
    circuits.load("pager")  # opens the connection before the threads share it
    with ThreadPoolExecutor(20) as pool:
        taken = list(pool.map(lambda n: circuits.claim_trial("pager", str(n), clock().timestamp(), 30), range(20)))
    assert sum(taken) == 1


def test_a_probe_that_fails_spends_no_budget_is_logged_and_counted(
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
    [reminder] = retries(queue)
    assert deliveries.decode(reminder["body"]) == Retry("msg_0", "pager", 1, clock().timestamp())
    assert circuits.load("pager").next_trial_at == clock().timestamp() + rate.TRIAL_SECONDS


def test_a_probe_that_succeeds_ends_the_pause_with_a_slow_start(deps: DeliverDependencies, clock: Clock) -> None:
    paused(deps)
    clock.move(rate.TRIAL_SECONDS)
    endpoint = Endpoint(response(200))
    run(deps, endpoint, *batch(5))
    assert len(endpoint.posted) == 1
    row = circuits.load("pager")
    assert (row.paused_since, row.closed_at) == (None, clock().timestamp())
    clock.move(1)
    run(deps, endpoint, *batch(5, "slow"))
    assert len(endpoint.posted) == 2
    clock.move(60)
    run(deps, endpoint, *batch(5, "free"))
    assert len(endpoint.posted) == 7


def test_what_waited_probes_also_in_a_process_that_knows_nothing_of_the_pause(
    deps: DeliverDependencies, clock: Clock, queue: str
) -> None:
    paused(deps)
    retries(queue)
    run(deps, Endpoint(response(200)), *batch(3))
    clock.move(rate.TRIAL_SECONDS)
    fresh = dataclasses.replace(deps, watch=FailureWindow(lambda: clock().timestamp()))
    endpoint = Endpoint(response(200))
    run(fresh, endpoint, *retries(queue))
    assert len(endpoint.posted) == 1
    assert circuits.load("pager").closed_at == clock().timestamp()


def test_a_dead_prober_does_not_keep_the_pause_for_ever(deps: DeliverDependencies, clock: Clock) -> None:
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


def test_a_delivery_waits_no_longer_than_its_retries_would_have_taken(
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


def test_a_healthy_app_costs_no_look_at_its_gate(
    deps: DeliverDependencies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(circuits, "load", lambda app_id: pytest.fail("looked"))
    run(deps, Endpoint(response(200)), *batch(10))


def test_an_app_that_was_switched_off_and_on_again_is_not_paused_any_more(
    deps: DeliverDependencies, apps: dict[str, App]
) -> None:
    paused(deps)
    apps["pager"] = app(generation=3)
    endpoint = Endpoint(response(200))
    run(deps, endpoint, *batch(5))
    assert len(endpoint.posted) == 5


def test_a_switched_off_app_is_parked_and_not_made_to_wait(
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


def test_a_gate_that_does_not_answer_keeps_its_apps_messages_alone(
    deps: DeliverDependencies, apps: dict[str, App], monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(app_id: str) -> None:
        raise ConnectionError("the table does not respond")

    monkeypatch.setattr(circuits, "load", down)
    apps["pager"], apps["other"] = app(max_per_second=3), app("other")
    endpoint = Endpoint(response(200))
    good = sqs_record(delivery(app_id="other", delivery_id="msg_x"), "good")
    assert run(deps, endpoint, *batch(2), good) == ["msg0", "msg1"]
    assert len(endpoint.posted) == 1


# ---- A batch's slots


def hanging(url: str, *_: Any) -> Any:
    return TIMEOUT if "hanging" in url else response(200)


def mixed(deps: DeliverDependencies, apps: dict[str, App], hung: int, healthy: int) -> list[dict[str, Any]]:
    apps["pager"] = app(url="https://hanging.example/")
    apps["other"] = app("other")
    well = [delivery(delivery_id=f"well_{n}", app_id="other") for n in range(healthy)]
    return [*batch(hung), *(sqs_record(d, d.delivery_id) for d in well)]


def test_the_excess_of_a_hanging_endpoint_goes_to_the_retries_lane_with_its_budget_untouched(
    deps: DeliverDependencies, apps: dict[str, App], queue: str
) -> None:
    records = mixed(deps, apps, hung=9, healthy=3)
    posted: list[str] = []

    def post(url: str, headers: dict[str, str], body: bytes) -> Any:
        posted.append(url)
        return hanging(url)

    assert process(records, deps, Workers(4, post, lambda: True, lambda _: None)) == []
    assert posted.count("https://hanging.example/") < 9
    assert len(posted) - posted.count("https://hanging.example/") == 3
    untouched = [n for n in range(9) if record(f"msg_{n}").attempts_made == 0]
    assert len(untouched) == 9 - posted.count("https://hanging.example/")
    assert len(retries(queue)) == 9


def test_a_healthy_app_alone_uses_every_slot_and_defers_nothing(deps: DeliverDependencies, queue: str) -> None:
    endpoint = Endpoint(response(200))
    assert run(deps, endpoint, *batch(20)) == []
    assert len(endpoint.posted) == 20
    assert retries(queue) == []
