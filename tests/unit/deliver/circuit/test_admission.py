"""Deliveries that may not go out now: the real batch, tables in memory, and a clock that is moved."""

import dataclasses
from typing import Any

import pytest
from pynamodb.exceptions import GetError

from bellhop import app_lists, attempts, circuits, deliveries
from bellhop.deliveries import Retry
from bellhop.registry import App
from deliver.dependencies import DeliverDependencies, RetryPolicy
from tests.support.endpoint import (
    Clock,
    Endpoint,
    FakeBus,
    Scheduled,
    record,
    recorded,
    response,
    retries,
    run,
)
from tests.support.fakes import NOW, app, delivery, queue_message

T0 = NOW.timestamp()


@pytest.fixture
def deps(deps: DeliverDependencies) -> DeliverDependencies:
    return dataclasses.replace(deps, policy=RetryPolicy(delays=(5, 60, 300), lease=30, fresh=190))


def batch(number: int, name: str = "msg", organization_id: str = "acme") -> list[dict[str, Any]]:
    made = [
        delivery(delivery_id=f"{name}_{n}", organization_id=organization_id, enqueued_at=T0) for n in range(number)
    ]
    return [queue_message(each, f"{name}{n}") for n, each in enumerate(made)]


def test_a_healthy_app_costs_one_read_of_its_circuit_a_minute(
    deps: DeliverDependencies, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[dict[str, Any]] = []
    real = circuits.load

    def load(app_id: str, **how: Any) -> circuits.Circuit:
        reads.append(how)
        return real(app_id, **how)

    monkeypatch.setattr(circuits, "load", load)
    for _ in range(3):
        run(deps, Endpoint(response(200)), *batch(10))
        clock.move(25)
    run(deps, Endpoint(response(200)), *batch(10))
    assert reads == [{"consistent": False}] * 2


def test_an_app_that_was_switched_off_and_on_again_is_not_paused_any_more(
    deps: DeliverDependencies, apps: dict[str, App]
) -> None:
    circuits.open_circuit("pager", 1, T0, T0 + 30)
    apps["pager"] = app(generation=3)
    endpoint = Endpoint(response(200))
    run(deps, endpoint, *batch(5))
    assert len(endpoint.posted) == 5


def test_what_is_known_of_a_circuit_holds_while_the_table_does_not_respond(
    deps: DeliverDependencies, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(app_id: str, **_: Any) -> None:
        raise GetError("the table does not respond")

    endpoint = Endpoint(response(200))
    run(deps, endpoint, *batch(1))
    monkeypatch.setattr(circuits, "load", down)
    clock.move(61)
    assert run(deps, endpoint, *batch(2, "later")) == []
    assert len(endpoint.posted) == 3
    [line] = recorded(deps).logged("circuit not read: the app's deliveries go on by what was known of it before")
    assert line == {"app_id": "pager"}


def test_a_circuit_that_cannot_be_read_brings_back_its_own_apps_messages_alone(
    deps: DeliverDependencies, apps: dict[str, App], monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: Any) -> None:
        raise ConnectionError("the table does not respond")

    monkeypatch.setattr(circuits, "share", down)
    apps["pager"], apps["other"] = app(max_per_second=3), app("other")
    endpoint = Endpoint(response(200))
    good = queue_message(delivery(app_id="other", delivery_id="msg_x"), "good")
    assert run(deps, endpoint, *batch(2), good) == ["msg0", "msg1"]
    assert len(endpoint.posted) == 1


def test_circuits_that_did_not_respond_brought_back_what_is_over_a_rate_until_it_was_a_dead_letter(
    deps: DeliverDependencies, apps: dict[str, App], monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: Any) -> None:
        raise GetError("the table does not respond")

    monkeypatch.setattr(circuits, "share", down)
    apps["pager"], scheduled = app(max_per_second=3), Scheduled()
    deps = dataclasses.replace(deps, scheduler=scheduled, uniform=lambda low, high: low)
    assert run(deps, Endpoint(response(200)), *batch(2)) == []
    assert scheduled.sent == [(Retry(f"msg_{n}", "pager", 1, organization_id="acme"), 60) for n in range(2)]
    assert [record(f"msg_{n}").attempts_made for n in range(2)] == [0, 0]


def test_circuits_that_did_not_respond_exhausted_what_has_few_retries(
    deps: DeliverDependencies, apps: dict[str, App], bus: FakeBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: Any) -> None:
        raise GetError("the table does not respond")

    monkeypatch.setattr(circuits, "share", down)
    apps["pager"], scheduled = app(max_per_second=3), Scheduled()
    few = RetryPolicy(delays=(1, 2), lease=30, fresh=190)
    deps = dataclasses.replace(deps, scheduler=scheduled, policy=few, uniform=lambda low, high: low)
    assert run(deps, Endpoint(response(200)), *batch(2)) == []
    assert ([wait for _, wait in scheduled.sent], bus.events) == ([60, 60], [])


# ---- The rate limit


def test_a_delivery_over_its_apps_rate_comes_back_once_at_its_place(
    deps: DeliverDependencies, apps: dict[str, App], clock: Clock
) -> None:
    apps["pager"] = app(max_per_second=3)
    scheduled = Scheduled()
    deps = dataclasses.replace(deps, scheduler=scheduled)
    endpoint = Endpoint(response(200))
    run(deps, endpoint, *batch(10))
    assert len(endpoint.posted) == 3
    assert [wait for _, wait in scheduled.sent] == [1, 1, 1, 2, 2, 2, 3]
    assert all(retry.reserved and retry.organization_id == "acme" for retry, _ in scheduled.sent)
    first, scheduled.sent = scheduled.sent, []
    clock.move(1)
    # However full the app is when they come, they have their place: nothing goes round.
    run(deps, endpoint, *(queue_message(retry, str(n)) for n, (retry, _) in enumerate(first)))
    assert (len(endpoint.posted), scheduled.sent) == (10, [])


def test_one_organisations_flood_took_the_whole_rate_of_an_app_from_another(
    deps: DeliverDependencies, apps: dict[str, App]
) -> None:
    apps["pager"] = app(max_per_second=3)
    endpoint = Endpoint(response(200))
    run(deps, endpoint, *batch(40, "flood"))
    assert len(endpoint.posted) == 3
    run(deps, endpoint, *batch(3, "quiet", "other"))
    assert len(endpoint.posted) == 6


def test_a_place_that_is_further_away_than_its_retries_take_ends_the_delivery_as_exhausted(
    deps: DeliverDependencies, apps: dict[str, App], bus: FakeBus
) -> None:
    apps["pager"] = app(max_per_second=0.01)
    run(deps, Endpoint(response(200)), *batch(6))
    states = [attempts.load(f"msg_{n}") for n in range(1, 6)]
    assert [row and row.state for row in states] == ["retrying"] * 3 + ["exhausted"] * 2
    assert [event_id for _, event_id, _ in bus.events] == ["msg_4-0", "msg_5-0"]
    assert [row.delivery_id for row in app_lists.replayable("pager", None, 9)] == ["msg_4", "msg_5"]


def test_places_that_others_take_meanwhile_are_asked_for_again_and_then_a_little_later(
    deps: DeliverDependencies, apps: dict[str, App], queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    apps["pager"] = app(max_per_second=3)
    monkeypatch.setattr(circuits, "advance", lambda *_: False)
    circuits.count_parked("pager", "acme", 1, 1)  # a row that can be read again
    endpoint = Endpoint(response(200))
    assert run(deps, endpoint, *batch(2)) == []
    assert endpoint.posted == []
    waiting = [deliveries.decode(message["body"]) for message in retries(queue)]
    assert [isinstance(retry, Retry) and retry.reserved for retry in waiting] == [False, False]
    assert record("msg_0").state == "retrying"


# ---- Copies of what is deferred: one of them goes on


@pytest.fixture
def crowded(
    deps: DeliverDependencies, apps: dict[str, App], monkeypatch: pytest.MonkeyPatch
) -> DeliverDependencies:
    """Other workers are always faster, so nothing finds its place."""
    apps["pager"] = app(max_per_second=3)
    monkeypatch.setattr(circuits, "advance", lambda *_: False)
    circuits.count_parked("pager", "acme", 1, 1)
    return dataclasses.replace(deps, scheduler=Scheduled(), uniform=lambda low, high: low)


@pytest.fixture
def retry(crowded: DeliverDependencies) -> Retry:
    """A delivery was deferred once."""
    run(crowded, Endpoint(response(200)), *batch(1))
    [deferred] = sent(crowded)
    return deferred


def sent(deps: DeliverDependencies) -> list[Retry]:
    """What was deferred since this was asked last."""
    assert isinstance(deps.scheduler, Scheduled)
    found, deps.scheduler.sent = [retry for retry, _ in deps.scheduler.sent], []
    return found


def test_copies_of_a_deferred_delivery_multiplied_from_round_to_round(
    crowded: DeliverDependencies, retry: Retry, clock: Clock
) -> None:
    for number in range(5):
        assert retry.deferral == number
        for copy in range(3):
            clock.move(0.5)
            assert run(crowded, Endpoint(response(200)), queue_message(retry, f"copy{copy}")) == []
        [retry] = sent(crowded)
    assert recorded(crowded).counts["DuplicateDropped"] == 10
    assert (record("msg_0").deferrals, record("msg_0").next_attempt_at) == (5, clock().timestamp())


def test_a_worker_that_died_before_it_sent_what_it_deferred_has_it_sent_by_its_message(
    crowded: DeliverDependencies, retry: Retry, clock: Clock
) -> None:
    assert attempts.defer(retry, T0 + 60, clock())
    assert run(crowded, Endpoint(response(200)), queue_message(retry, receive_count=2)) == []
    assert sent(crowded) == [dataclasses.replace(retry, deferral=1)]


def test_a_redriven_copy_of_what_was_deferred_long_ago_and_is_overdue_is_deferred_anew(
    crowded: DeliverDependencies, retry: Retry, clock: Clock
) -> None:
    assert attempts.defer(retry, T0 + 60, clock())
    assert run(crowded, Endpoint(response(200)), queue_message(retry)) == []
    assert sent(crowded) == []
    clock.move(60 + crowded.policy.lease + 1)
    assert run(crowded, Endpoint(response(200)), queue_message(retry)) == []
    assert sent(crowded) == [dataclasses.replace(retry, deferral=1)]


def test_a_deferral_whose_response_was_lost_is_followed_by_its_retry(
    crowded: DeliverDependencies, retry: Retry, monkeypatch: pytest.MonkeyPatch
) -> None:
    defer = attempts.defer
    monkeypatch.setattr(attempts, "defer", lambda *call: defer(*call) and defer(*call))
    assert run(crowded, Endpoint(response(200)), queue_message(retry)) == []
    assert sent(crowded) == [dataclasses.replace(retry, deferral=1)]


def test_a_deferred_copy_comes_back_while_another_worker_makes_the_attempt(
    crowded: DeliverDependencies, retry: Retry, clock: Clock
) -> None:
    assert attempts.claim("msg_0", 1, "other", clock(), 30)
    assert run(crowded, Endpoint(response(200)), queue_message(retry, "copy", 2)) == []
    assert sent(crowded) == [retry]
    clock.move(31)
    assert run(crowded, Endpoint(response(200)), queue_message(retry, "copy", 2)) == []
    assert sent(crowded) == [dataclasses.replace(retry, deferral=1)]


def test_a_retry_after_a_deferred_attempt_counts_its_deferrals_from_nothing(
    crowded: DeliverDependencies, retry: Retry
) -> None:
    for _ in range(3):
        run(crowded, Endpoint(response(500)), queue_message(retry))
        [retry] = sent(crowded)
    run(crowded, Endpoint(response(500)), queue_message(dataclasses.replace(retry, reserved=True)))
    assert sent(crowded) == [Retry("msg_0", "pager", 2, organization_id="acme")]
    assert record("msg_0").deferrals is None
