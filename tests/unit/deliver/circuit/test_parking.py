"""How much of a switched-off app is parked, and what is logged beyond the limit."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellhop import app_lists, attempts, circuits, tables
from bellhop.circuits import Share
from bellhop.deliveries import Retry
from bellhop.registry import App
from deliver.circuit.parking import Parking
from deliver.dependencies import DeliverDependencies
from tests.support.endpoint import Endpoint, record, recorded, response, retries, run
from tests.support.fakes import Recorder, app, delivery, queue_message

SENT = Endpoint(response(200))


@pytest.fixture
def off(deps: DeliverDependencies, apps: dict[str, App]) -> DeliverDependencies:
    """With an app that is off, and room for three of its deliveries."""
    apps["pager"] = app(state="disabled", generation=2)
    return dataclasses.replace(deps, parking=Parking(3, deps.telemetry))


def batch(first: int, number: int) -> list[dict[str, Any]]:
    return [queue_message(delivery(delivery_id=f"msg_{n}"), f"m{n}") for n in range(first, first + number)]


def parked() -> list[str]:
    return [row.delivery_id for row in app_lists.replayable("pager", None, 100)]


def counted() -> tuple[int, int]:
    """How many are counted as parked, and in which generation."""
    row = circuits.share("pager", "acme")
    return int(row.parked or 0), int(row.parked_generation or 0)


def test_one_organisations_flood_filled_the_apps_parking_and_anothers_delivery_was_skipped(
    off: DeliverDependencies,
) -> None:
    run(off, SENT, *batch(0, 5))
    run(off, SENT, *batch(5, 1))
    run(off, SENT, queue_message(delivery(delivery_id="msg_other", organization_id="other")))
    assert "msg_other" in parked()
    assert "msg_5" not in parked()


def test_what_is_parked_is_counted_once_for_a_batch(
    off: DeliverDependencies, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[Any, ...]] = []

    def counted(*call: Any) -> int:
        calls.append(call)
        return 2

    monkeypatch.setattr(circuits, "count_parked", counted)
    assert run(off, SENT, *batch(0, 2)) == []
    assert calls == [("pager", "acme", 2, 2)]


def test_beyond_the_limit_a_first_attempt_is_skipped_with_a_warning_that_names_it(
    off: DeliverDependencies,
) -> None:
    run(off, SENT, *batch(0, 3))
    assert run(off, SENT, *batch(3, 1)) == []
    assert parked() == ["msg_0", "msg_1", "msg_2"]
    [said] = recorded(off).logged("delivery skipped: parking is full")
    assert (said["delivery_id"], said["app_id"], said["limit"]) == ("msg_3", "pager", 3)
    assert recorded(off).counts["ParkingFull"] == 1
    assert attempts.load("msg_3") is None


def test_a_retry_is_parked_also_beyond_the_limit(
    off: DeliverDependencies, deps: DeliverDependencies, apps: dict[str, App], queue: str
) -> None:
    apps["pager"] = app()
    run(deps, Endpoint(response(500)), queue_message(delivery(delivery_id="failed")))
    apps["pager"] = app(state="disabled", generation=2)
    run(off, SENT, *batch(0, 3))
    assert run(off, SENT, *retries(queue)) == []
    assert record("failed").state == "parked"


def test_the_next_time_the_app_is_off_there_is_room_again(off: DeliverDependencies, apps: dict[str, App]) -> None:
    run(off, SENT, *batch(0, 4))
    apps["pager"] = app(state="disabled", generation=4)
    run(off, SENT, *batch(4, 1))
    assert parked()[-1] == "msg_4"
    assert counted() == (1, 4)


def test_reaching_the_limit_is_logged_once_whichever_process_reaches_it(off: DeliverDependencies) -> None:
    other = dataclasses.replace(off, parking=Parking(3, off.telemetry))
    for deps, first in [(off, 0), (other, 2), (off, 4)]:
        run(deps, SENT, *batch(first, 2))
    [said] = recorded(off).logged("parking is full: the organisation's further deliveries to the app are skipped")
    assert said == {"app_id": "pager", "organization_id": "acme", "parked": 4}


def test_a_count_that_cannot_be_written_parks_all_the_same(
    off: DeliverDependencies, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: Any) -> int:
        raise ConnectionError("the table does not respond")

    monkeypatch.setattr(circuits, "count_parked", down)
    assert run(off, SENT, *batch(0, 5)) == []
    assert len(parked()) == 5
    assert recorded(off).logged(
        "parked deliveries not counted: they stay parked, so the limit may be exceeded"
    ) == [{"app_id": "pager", "organization_id": "acme", "number": 5}]


def test_a_message_that_comes_twice_is_parked_and_counted_once(off: DeliverDependencies) -> None:
    run(off, SENT, *batch(0, 1))
    again = queue_message(delivery(delivery_id="msg_0"), "m0", receive_count=2)
    run(off, SENT, again)
    assert counted() == (1, 2)


def test_a_replay_of_an_app_that_is_off_again_is_parked_again(off: DeliverDependencies) -> None:
    run(off, SENT, *batch(0, 1))
    run(off, SENT, queue_message(Retry("msg_0", "pager", 1, replay=True)))
    assert (record("msg_0").state, parked()) == ("parked", ["msg_0"])


# ---- The count


def test_concurrent_batches_count_every_one_and_see_totals_that_do_not_overlap(aws: None) -> None:
    with ThreadPoolExecutor(8) as pool:
        totals = list(pool.map(lambda n: circuits.count_parked("pager", "acme", 2, 5), range(20)))
    assert sorted(totals) == [5 * (n + 1) for n in range(20)]


def test_a_generation_that_is_over_neither_counts_nor_hurts_the_one_that_began(aws: None) -> None:
    circuits.count_parked("pager", "acme", 4, 7)
    assert circuits.count_parked("pager", "acme", 2, 5) == 5
    assert counted() == (7, 4)


def test_counting_leaves_the_rest_of_the_circuit_alone(aws: None) -> None:
    circuits.open_circuit("pager", 1, 10.0, 40.0)
    circuits.count_parked("pager", "acme", 2, 1)
    row = circuits.load("pager")
    assert (row.paused_since, row.next_trial_at, counted()) == (10.0, 40.0, (1, 2))


def test_a_generation_that_another_batch_begins_meanwhile_is_added_to(
    aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = tables.change

    def overtaken(row: Share, actions: list[Any], condition: Any) -> bool:
        found = real(row, actions, condition)
        monkeypatch.setattr(circuits, "change", real)
        circuits.count_parked("pager", "acme", 2, 3)
        return found

    monkeypatch.setattr(circuits, "change", overtaken)
    assert circuits.count_parked("pager", "acme", 2, 2) == 5


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30), st.integers(1, 200))
def test_reaching_the_limit_is_logged_exactly_once_however_the_batches_fall(sizes: list[int], limit: int) -> None:
    telemetry = Recorder()
    parking = Parking(limit, telemetry)
    total = 0
    for size in sizes:
        total += size
        parking._update(("pager", "acme", 1), size, total)
    said = telemetry.logged("parking is full: the organisation's further deliveries to the app are skipped")
    assert len(said) == (total >= limit)
    assert parking.full(app(), "acme") == (total >= limit)
