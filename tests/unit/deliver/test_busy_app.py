"""A busy app's records are under further keys, and what becomes of its deliveries is as ever."""

import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from bellhop import app_lists, attempts
from bellhop.attempts import DELIVERED, EXHAUSTED, PARKED, RETRYING, Attempt, NextState
from bellhop.deliveries import Retry
from bellhop.index_keys import FREE_RECORDS, ORGANIZATION_RECORDS, KeyChoice
from bellhop.registry import App
from deliver.dependencies import DeliverDependencies, RetryPolicy
from tests.support.endpoint import Clock, Endpoint, record, response, run
from tests.support.fakes import NOW, app, delivery, queue_message

NAMES = [f"msg_{number}" for number in range(8)]
FAILED = Attempt(1, NOW, 5, "r", "http_500", 500)
REFUSED, ACCEPTED = Endpoint(response(400)), Endpoint(response(200))


@pytest.fixture
def deps(deps: DeliverDependencies, clock: Clock) -> DeliverDependencies:
    """One of so many processes that its share of the first key is one record, for as long as the test lasts."""
    choice = KeyChoice(1_000_000, lambda: clock().timestamp())
    return dataclasses.replace(deps, index_keys=choice, policy=RetryPolicy((60,), lease=30))


def first_attempts() -> list[dict[str, Any]]:
    return [queue_message(delivery(delivery_id=name), name) for name in NAMES]


def retries(number: int, *, replay: bool = False) -> list[dict[str, Any]]:
    return [queue_message(Retry(name, "pager", number, replay=replay), name) for name in NAMES]


def states() -> set[str]:
    return {record(name).state for name in NAMES}


def keys() -> list[str]:
    """The key of each record that is on the list of what can be replayed."""
    return [str(row.replayable_for) for row in app_lists.replayable("pager", None, 100)]


def logged() -> list[str]:
    return sorted(app_lists.newest("pager", NOW, NOW + timedelta(days=1), 100)[0])


def test_what_is_refused_is_retried_and_exhausted_and_its_log_is_whole(deps: DeliverDependencies) -> None:
    assert run(deps, REFUSED, *first_attempts()) == []
    assert (states(), logged()) == ({RETRYING}, NAMES)
    assert [record(name).created_at is None for name in NAMES] == [False] + [True] * 7
    assert run(deps, REFUSED, *retries(2)) == []
    assert (states(), logged()) == ({EXHAUSTED}, NAMES)
    assert (keys().count("pager"), len(keys())) == (1, 8)
    assert run(deps, ACCEPTED, *retries(3, replay=True)) == []
    assert (states(), logged(), keys()) == ({DELIVERED}, NAMES, [])


def test_what_is_parked_is_released_in_its_order(deps: DeliverDependencies, apps: dict[str, App]) -> None:
    apps["pager"] = app(state="disabled", generation=2)
    assert run(deps, ACCEPTED, *first_attempts()) == []
    assert (states(), logged()) == ({PARKED}, NAMES)
    assert [row.delivery_id for row in app_lists.replayable("pager", None, 100)] == NAMES
    assert (keys().count("pager"), len(keys())) == (1, 8)
    assert run(deps, ACCEPTED, *retries(1, replay=True)) == []  # still off: each is parked again
    assert (states(), len(keys()), set(keys()) & {"pager"}) == ({PARKED}, 8, set())
    apps["pager"] = app(generation=3)
    assert run(deps, ACCEPTED, *retries(1, replay=True)) == []
    assert (states(), keys()) == ({DELIVERED}, [])


def test_the_flood_of_one_organisation_filled_the_list_before_the_one_delivery_of_another(
    deps: DeliverDependencies, clock: Clock, apps: dict[str, App]
) -> None:
    deps = dataclasses.replace(deps, index_keys=KeyChoice(1, lambda: clock().timestamp()))
    apps["pager"] = app(state="disabled", generation=2, kind="published")
    for number in range(30):
        loud = [delivery(delivery_id=f"loud_{number}_{each}", organization_id="loud") for each in range(10)]
        run(deps, ACCEPTED, *(queue_message(each, each.delivery_id) for each in loud))
        clock.move(1)
    retry = Retry("retried", "pager", 2, organization_id="quiet")
    attempts.open_record(
        delivery(delivery_id="retried", organization_id="quiet"), NextState(RETRYING, attempt=FAILED), clock()
    )
    late = delivery(delivery_id="quiet", organization_id="quiet")
    assert run(deps, ACCEPTED, queue_message(retry, "r"), queue_message(late, "f")) == []
    listed = [row.delivery_id for row in app_lists.replayable("pager", None, 1000)]
    assert len(listed) == 302
    assert {"retried", "quiet"} <= set(listed[: ORGANIZATION_RECORDS + FREE_RECORDS + 2])
    assert listed[0] == "loud_0_0"


def test_an_internal_app_has_all_that_its_first_key_can_take_there(
    deps: DeliverDependencies, clock: Clock, apps: dict[str, App]
) -> None:
    deps = dataclasses.replace(deps, index_keys=KeyChoice(1, lambda: clock().timestamp()))
    apps["pager"] = app(state="disabled", generation=2)
    for number in range(2 * ORGANIZATION_RECORDS):
        run(deps, ACCEPTED, queue_message(delivery(delivery_id=f"msg_{number}"), "m"))
        clock.move(0.1)
    assert {str(row.replayable_for) for row in app_lists.replayable("pager", None, 1000)} == {"pager"}


def test_a_first_attempt_that_comes_twice_finds_the_record_under_whichever_key(deps: DeliverDependencies) -> None:
    assert run(deps, REFUSED, *first_attempts()) == []
    endpoint = Endpoint(response(200))
    again = [queue_message(delivery(delivery_id=name), name, receive_count=2) for name in NAMES]
    assert run(deps, endpoint, *again) == []
    assert (endpoint.posted, states(), logged()) == ([], {RETRYING}, NAMES)


def test_where_an_entry_cannot_be_written_the_message_comes_back(
    deps: DeliverDependencies, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError("the table does not respond")

    monkeypatch.setattr("bellhop.index_keys.enter", refuse)
    assert run(deps, REFUSED, *first_attempts()) == NAMES[1:]
    monkeypatch.undo()
    assert run(deps, REFUSED, *first_attempts()[1:]) == []
    assert logged() == NAMES
