"""A replay's message takes what is replayable, once; then an ordinary chain goes on."""

import dataclasses

import pytest

from bellhop import app_lists, attempts, circuits, deliveries
from bellhop.attempts import (
    DELIVERED,
    EXHAUSTED,
    PARKED,
    REPLAYABLE,
    RETRYING,
    STOPPED,
    Attempt,
    DeliveryRecord,
    NextState,
)
from bellhop.deliveries import Retry
from bellhop.registry import App
from deliver.dependencies import DeliverDependencies, RetryPolicy
from tests.support.endpoint import (
    TIMEOUT,
    Apps,
    Clock,
    Endpoint,
    FakeBus,
    counters,
    packed,
    record,
    recorded,
    response,
    retries,
    run,
)
from tests.support.fakes import NOW, app, delivery, queue_message

ID = delivery().delivery_id
T0 = NOW.timestamp()


@pytest.fixture
def deps(deps: DeliverDependencies) -> DeliverDependencies:
    return dataclasses.replace(deps, policy=RetryPolicy((5, 60), lease=30))


def record_as(state: str = PARKED, attempt: int = 0) -> None:
    """A delivery in that state after so many attempts."""
    assert attempts.open_record(delivery(), NextState(state, NOW.timestamp()), NOW)
    DeliveryRecord(ID).update(actions=[DeliveryRecord.attempts_made.set(attempt)])


def replay(attempt: int = 1, receive_count: int = 1) -> dict[str, object]:
    return queue_message(Retry(ID, "pager", attempt, replay=True), "replay", receive_count)


def listed() -> list[str]:
    return [row.delivery_id for row in app_lists.replayable("pager", None, 10)]


@pytest.mark.parametrize(("state", "attempt"), [(PARKED, 0), (PARKED, 2), (EXHAUSTED, 3)])
def test_what_is_replayable_is_delivered(deps: DeliverDependencies, state: str, attempt: int) -> None:
    record_as(state, attempt)
    endpoint = Endpoint(response(200))
    assert run(deps, endpoint, replay(attempt + 1)) == []
    assert [body for _, _, body in endpoint.posted] == [delivery().body]
    assert (record().state, record().attempts_made, listed()) == (DELIVERED, attempt + 1, [])
    assert counters()["success"] == 1


def test_what_is_in_its_record_is_not_logged_a_second_time_among_the_successes(deps: DeliverDependencies) -> None:
    record_as(PARKED)
    run(deps, Endpoint(response(200)), replay())
    assert [entry["result"] for entry in record().attempts] == ["http_200"]
    assert packed() == []
    assert recorded(deps).counts["DeliverySucceeded"] == 1


def test_a_failure_within_the_schedule_goes_on_as_an_ordinary_chain(deps: DeliverDependencies, queue: str) -> None:
    record_as(PARKED)
    run(deps, Endpoint(response(500)), replay())
    assert (record().state, record().attempts_made) == (RETRYING, 1)
    [message] = retries(queue)
    assert deliveries.decode(message["body"]) == Retry(ID, "pager", 2, organization_id="acme")


def test_what_was_exhausted_and_fails_again_is_replayable_and_announced_again(
    deps: DeliverDependencies, bus: FakeBus, queue: str
) -> None:
    record_as(EXHAUSTED, 3)
    run(deps, Endpoint(TIMEOUT), replay(4))
    assert (record().state, record().attempts_made, listed()) == (EXHAUSTED, 4, [ID])
    assert retries(queue) == []
    assert [event_id for _, event_id, _ in bus.events] == [f"{ID}-4"]


@pytest.mark.parametrize("status", [200, 500, 410])
def test_however_often_a_replay_message_comes_one_attempt_is_made(deps: DeliverDependencies, status: int) -> None:
    record_as(PARKED)
    endpoint = Endpoint(response(status))
    for _ in range(4):
        assert run(deps, endpoint, replay()) == []
    assert len(endpoint.posted) == 1
    assert len(record().attempts) == 1


@pytest.mark.parametrize(
    ("state", "attempt"), [(DELIVERED, 1), (STOPPED, 1), (RETRYING, 2), (PARKED, 2), (EXHAUSTED, 3)]
)
def test_a_record_that_is_not_replayable_at_that_attempt_any_more_is_left_alone(
    deps: DeliverDependencies, state: str, attempt: int
) -> None:
    record_as(state, attempt)
    before = record().serialize()
    endpoint = Endpoint(response(200))
    assert run(deps, endpoint, replay(1)) == []
    assert endpoint.posted == []
    assert record().serialize() == before
    assert recorded(deps).logged("duplicate message dropped: its record is ahead")


def test_a_record_that_is_gone_is_nothing_to_replay(deps: DeliverDependencies) -> None:
    endpoint = Endpoint(response(200))
    assert run(deps, endpoint, replay()) == []
    assert (endpoint.posted, attempts.load(ID)) == ([], None)
    assert recorded(deps).logged("retry dropped: its record has expired")


@pytest.mark.parametrize("state", REPLAYABLE)
def test_what_had_expired_stayed_listed_and_slowed_every_replay(
    deps: DeliverDependencies, clock: Clock, state: str
) -> None:
    record_as(state)
    clock.move(attempts.KEPT.total_seconds())
    endpoint = Endpoint(response(200))
    assert run(deps, endpoint, replay()) == []
    assert (endpoint.posted, record().state, listed()) == ([], state, [])
    assert recorded(deps).logged("retry dropped: its record has expired") == [{"delivery_id": ID}]


@pytest.mark.parametrize("state", REPLAYABLE)
def test_an_ordinary_retry_does_not_take_what_is_replayable(deps: DeliverDependencies, state: str) -> None:
    record_as(state)
    endpoint = Endpoint(response(200))
    run(deps, endpoint, queue_message(Retry(ID, "pager", 1)))
    assert endpoint.posted == []


def test_a_worker_that_died_with_the_claim_leaves_the_message_that_goes_on(
    deps: DeliverDependencies, clock: Clock
) -> None:
    record_as(PARKED)
    attempts.claim(ID, 1, "dead", NOW, 30, replay=True)
    endpoint = Endpoint(response(200))
    assert run(deps, endpoint, replay(receive_count=2)) == []
    assert (endpoint.posted, len(recorded(deps).logged("retry sent again: another worker makes its attempt"))) == (
        [],
        1,
    )
    clock.move(31)
    assert run(deps, endpoint, replay()) == []
    assert record().state == DELIVERED


@pytest.mark.parametrize(("state", "attempt"), [(PARKED, 0), (EXHAUSTED, 3)])
def test_an_app_that_is_off_again_has_it_parked_again_and_replayable(
    deps: DeliverDependencies, apps: dict[str, App], state: str, attempt: int
) -> None:
    record_as(state, attempt)
    apps["pager"] = app(state="disabled", generation=4)
    endpoint = Endpoint(response(200))
    assert run(deps, endpoint, replay(attempt + 1)) == []
    assert (record().state, record().attempts_made, listed()) == (PARKED, attempt, [ID])
    assert record().lease is None
    apps["pager"] = app(generation=5)
    run(deps, endpoint, replay(attempt + 1))
    assert record().state == DELIVERED


def test_without_time_left_the_message_comes_back_and_delivers(deps: DeliverDependencies) -> None:
    record_as(EXHAUSTED, 3)
    endpoint = Endpoint(response(200))
    assert run(deps, endpoint, replay(4), time_left=False) == ["replay"]
    assert run(deps, endpoint, replay(4)) == []
    assert (len(endpoint.posted), record().state) == (1, DELIVERED)


# ---- Pause and rate limit


def test_what_is_exhausted_and_replayed_into_a_pause_is_parked(
    deps: DeliverDependencies, queue: str, clock: Clock
) -> None:
    record_as(EXHAUSTED, 3)
    circuits.open_circuit("pager", 1, T0, T0 + 30)
    clock.move(5)
    assert run(deps, Endpoint(response(200)), replay(4)) == []
    assert retries(queue) == []
    assert (record().state, record().attempts_made, listed()) == (PARKED, 3, [ID])
    assert app_lists.listed_since(record()) == clock().isoformat(timespec="milliseconds")


@pytest.mark.parametrize("deferrals", [None, 2])
def test_what_a_release_sent_into_the_next_pause_was_written_again_and_lost_its_place(
    deps: DeliverDependencies, clock: Clock, dynamodb_calls: list[str], deferrals: int | None
) -> None:
    record_as(PARKED)
    if deferrals:  # by a slow start
        DeliveryRecord(ID).update(actions=[DeliveryRecord.deferrals.set(deferrals)])
    place = record().replayable_at
    circuits.note_replay("pager", T0 + 9, T0, 1, 10.0)
    circuits.open_circuit("pager", 1, T0 + 1, T0 + 30)
    clock.move(5)
    dynamodb_calls.clear()
    message = Retry(ID, "pager", 1, replay=True, deferral=deferrals or 0)
    assert run(deps, Endpoint(response(200)), queue_message(message)) == []
    assert dynamodb_calls.count("UpdateItem") == (1 if deferrals else 0)
    assert (record().state, record().replayable_at) == (PARKED, place)
    assert record().deferrals is None
    assert recorded(deps).counts["DeliveryParked"] == 1


def test_what_a_release_sent_to_a_process_that_knew_an_older_pause_keeps_no_place_that_its_passes_left(
    deps: DeliverDependencies, clock: Clock
) -> None:
    # The app was paused, switched off and on; the process knows it as it was, and the release goes on.
    record_as(PARKED)
    circuits.open_circuit("pager", 1, T0, T0 + 30)
    circuits.note_replay("pager", T0 + 900, T0 + 3, 1, 10.0)
    clock.move(5)
    assert run(deps, Endpoint(response(200)), replay()) == []
    assert app_lists.listed_since(record()) == clock().isoformat(timespec="milliseconds")


def test_what_is_being_attempted_is_not_taken_for_parked(deps: DeliverDependencies, clock: Clock) -> None:
    record_as(PARKED)
    circuits.open_circuit("pager", 1, T0, T0 + 30)
    attempts.claim(ID, 1, "other", NOW, 30, replay=True)
    clock.move(5)
    assert run(deps, Endpoint(response(200)), replay()) == []
    assert recorded(deps).counts["DuplicateDropped"] == 1


def test_replays_beyond_the_apps_rate_are_deferred_and_all_arrive(
    deps: DeliverDependencies, apps: dict[str, App], clock: Clock, queue: str
) -> None:
    apps["pager"] = app(max_per_second=2)
    waiting = []
    for number in range(6):
        name = f"msg_{number}"
        assert attempts.open_record(delivery(delivery_id=name), NextState(PARKED), NOW)
        waiting.append(queue_message(Retry(name, "pager", 1, replay=True), name))
    endpoint = Endpoint(response(200))
    sent = []
    while waiting:
        run(deps, endpoint, *waiting)
        sent.append(len(endpoint.posted))
        waiting = retries(queue)
        clock.move(1)
    assert sent == [2, 6]  # the queue here delays nothing
    assert listed() == []


# ---- The event that a delivery is exhausted


def exhaust(deps: DeliverDependencies, queue: str) -> dict[str, object]:
    """Fail until the last attempt is due; its retry message."""
    run(deps, Endpoint(response(500)), queue_message(delivery()))
    run(deps, Endpoint(response(500)), *retries(queue))
    [last] = retries(queue)
    return last


def test_an_exhausted_delivery_is_announced_with_its_names_and_how_it_ended(
    deps: DeliverDependencies, queue: str, bus: FakeBus
) -> None:
    last = exhaust(deps, queue)
    assert bus.events == []
    assert run(deps, Endpoint(TIMEOUT), last) == []
    [(kind, event_id, detail)] = bus.events
    assert (kind, event_id) == ("bellhop.delivery.exhausted", f"{ID}-3")
    assert detail == {
        "app_id": "pager",
        "organization_id": "acme",
        "event_id": "ev1",
        "event": "issue.created",
        "delivery_id": ID,
        "attempts": 3,
        "last_result": "timeout",
    }


def test_a_bus_that_is_down_brings_the_message_back_to_announce_and_not_to_attempt(
    deps: DeliverDependencies, queue: str, bus: FakeBus
) -> None:
    last = exhaust(deps, queue)
    endpoint = Endpoint(response(500))
    bus.down = True
    for _ in range(2):
        assert run(deps, endpoint, last) == [last["messageId"]]
    bus.down = False
    assert run(deps, endpoint, last) == []
    assert len(endpoint.posted) == 1
    assert [event_id for _, event_id, _ in bus.events] == [f"{ID}-3"]
    assert (record().state, counters()["error"]) == (EXHAUSTED, 3)


def test_a_delivery_whose_place_is_too_far_away_is_announced_also_when_the_bus_was_down(
    deps: DeliverDependencies, apps: dict[str, App], bus: FakeBus
) -> None:
    attempts.open_record(delivery(), NextState(RETRYING, attempt=Attempt(1, NOW, 5, "r", "http_500", 500)), NOW)
    apps["pager"] = app(max_per_second=0.001)
    circuits.advance(circuits.share("pager", "acme"), None, T0 + 5000)
    waited = queue_message(Retry(ID, "pager", 2, organization_id="acme"), "waited")
    bus.down = True
    assert run(deps, Endpoint(response(200)), waited) == ["waited"]
    bus.down = False
    assert run(deps, Endpoint(response(200)), waited) == []
    [(_, event_id, detail)] = bus.events
    assert (event_id, detail["last_result"], record().state) == (f"{ID}-1", "http_500", EXHAUSTED)


def test_neither_a_delivery_nor_a_stop_is_announced(deps: DeliverDependencies, queue: str, bus: FakeBus) -> None:
    last = exhaust(deps, queue)
    run(deps, Endpoint(response(410)), last)
    run(deps, Endpoint(response(200)), queue_message(delivery(delivery_id="msg_well")))
    assert bus.events == []


@pytest.mark.parametrize("state", [PARKED, RETRYING])
def test_what_waits_for_an_app_that_was_deleted_ends_with_a_log_line(
    deps: DeliverDependencies, state: str
) -> None:
    record_as(state)
    endpoint, deps = Endpoint(response(200)), dataclasses.replace(deps, registry=Apps({}))
    assert run(deps, endpoint, replay()) == []
    assert (endpoint.posted, record().state, listed()) == ([], STOPPED, [])
    assert recorded(deps).logged("delivery skipped: its app is not registered any more")
    assert recorded(deps).counts["Skipped_missing_app"] == 1
