"""A resend has deliver make one more attempt, once, whatever became of the delivery."""

from datetime import timedelta

import pytest

from bellhop import attempts, circuits, resends
from bellhop.attempts import DELIVERED, EXHAUSTED, PARKED, RETRYING, STOPPED, Attempt, DeliveryRecord, NextState
from bellhop.index_keys import Entry
from bellhop.registry import App
from deliver.dependencies import DeliverDependencies
from tests.support.endpoint import Clock, Endpoint, packed, record, response, retries, run
from tests.support.fakes import NOW, delivery, queue_message

ID = delivery().delivery_id


def record_as(state: str, number: int = 3) -> DeliveryRecord:
    failed = Attempt(number, NOW, 12, "request", "http_500", 500, "boom")
    assert attempts.open_record(delivery(), NextState(state, NOW.timestamp() + 60, failed), NOW)
    DeliveryRecord(ID).update(actions=[DeliveryRecord.attempts_made.set(number)])
    return record()


@pytest.mark.parametrize("state", [DELIVERED, EXHAUSTED, STOPPED, PARKED, RETRYING])
def test_whatever_became_of_a_delivery_it_is_sent_once_more_and_the_attempt_is_marked(
    deps: DeliverDependencies, state: str
) -> None:
    known = record_as(state)
    assert resends.make_due(known, NOW)
    assert attempts.replayable("pager", None, 10) == []  # a replay must not find it a second time
    endpoint = Endpoint(response(200))
    message = queue_message(resends.message(known, 3))
    for _ in range(2):
        assert run(deps, endpoint, message) == []
    assert [(headers["webhook-id"], body) for _, headers, body in endpoint.posted] == [(ID, delivery().body)]
    assert (record().state, record().attempts_made) == (DELIVERED, 4)
    assert [(row["n"], row.get("resent")) for row in record().attempts] == [(3, None), (4, True)]


def test_one_that_succeeded_at_once_gets_a_record_and_its_retries_have_an_authority(
    deps: DeliverDependencies, queue: str
) -> None:
    assert resends.open_delivered(delivery(), 1, NOW)
    message = queue_message(resends.message(delivery(), 1))
    assert run(deps, Endpoint(response(500)), message) == []
    assert (record().state, record().attempts_made) == (RETRYING, 2)
    endpoint = Endpoint(response(200))
    for retry in [*retries(queue), message]:
        run(deps, endpoint, retry)
    assert [body for _, _, body in endpoint.posted] == [delivery().body]
    assert [(row["n"], row["resent"]) for row in record().attempts] == [(2, True), (3, True)]
    assert packed() == []  # it is in its record


def test_a_second_copy_of_its_first_message_makes_no_other_chain(deps: DeliverDependencies, queue: str) -> None:
    assert resends.open_delivered(delivery(), 1, NOW)
    run(deps, Endpoint(response(200)), queue_message(resends.message(delivery(), 1)))
    endpoint = Endpoint(response(200))
    assert run(deps, endpoint, queue_message(delivery(), receive_count=2)) == []
    assert (endpoint.posted, retries(queue)) == ([], [])


def test_a_record_that_is_there_is_not_written_over(deps: DeliverDependencies) -> None:
    record_as(EXHAUSTED)
    assert not resends.open_delivered(delivery(), 1, NOW)
    assert record().state == EXHAUSTED


def test_a_record_that_has_expired_counts_as_none(deps: DeliverDependencies) -> None:
    known = record_as(EXHAUSTED)
    later = NOW + timedelta(days=31)
    assert not resends.make_due(known, later)
    assert resends.open_delivered(delivery(), 1, later)
    assert (record().attempts_made, record().attempts) == (1, [])


def test_what_is_being_attempted_or_changed_meanwhile_is_left(deps: DeliverDependencies, clock: Clock) -> None:
    known = record_as(PARKED)
    assert attempts.claim(ID, 4, "worker", NOW, 30, replay=True)
    assert not resends.make_due(known, NOW)
    attempts.finish(record(), NextState(DELIVERED), NOW)
    assert not resends.make_due(known, NOW)
    assert resends.make_due(record(), NOW)


def test_a_write_whose_response_was_lost_is_our_own(deps: DeliverDependencies) -> None:
    known = record_as(DELIVERED)
    assert resends.make_due(known, NOW)
    assert resends.make_due(known, NOW)  # the SDK repeats it
    assert not resends.make_due(known, NOW + timedelta(seconds=1))


def test_it_is_parked_during_a_pause_and_marked_when_it_is_released(
    deps: DeliverDependencies, clock: Clock
) -> None:
    assert resends.open_delivered(delivery(), 1, NOW)
    circuits.open_circuit("pager", 1, NOW.timestamp(), NOW.timestamp() + 30)
    clock.move(5)
    endpoint = Endpoint(response(200))
    assert run(deps, endpoint, queue_message(resends.message(delivery(), 1))) == []
    assert (endpoint.posted, record().state, record().attempts_made) == ([], PARKED, 1)
    assert [row.delivery_id for row in attempts.replayable("pager", None, 10)] == [ID]


def test_an_app_that_was_switched_off_meanwhile_gets_nothing(
    deps: DeliverDependencies, apps: dict[str, App]
) -> None:
    known = record_as(DELIVERED)
    assert resends.make_due(known, NOW)
    apps["pager"].state = "disabled"
    endpoint = Endpoint(response(200))
    assert run(deps, endpoint, queue_message(resends.message(known, 3))) == []
    assert (endpoint.posted, record().state) == ([], PARKED)


def test_an_event_that_is_published_again_is_no_resend(deps: DeliverDependencies) -> None:
    known = record_as(DELIVERED)
    resends.make_due(known, NOW)
    attempts.claim(ID, 4, "worker", NOW, 30)
    attempts.finish(record(), NextState(EXHAUSTED), NOW)
    later = NOW + timedelta(hours=1)
    assert attempts.reopen(delivery(), record(), NextState(RETRYING, later.timestamp()), later)
    assert record().resent_at is None


def test_an_old_delivery_that_is_resent_is_in_the_log_of_that_time_as_long_as_its_record(
    deps: DeliverDependencies,
) -> None:
    record_as(EXHAUSTED)
    later = NOW + timedelta(days=6)
    assert resends.make_due(record(), later)
    assert attempts.newest("pager", later - timedelta(hours=1), later + timedelta(hours=1), 9) == ([ID], True)
    assert attempts.newest("pager", NOW - timedelta(hours=1), later + timedelta(hours=1), 9) == ([ID], True)
    [entry] = [row for row in Entry.scan() if row.entry_id.startswith("entry#")]
    assert entry.expires_at == record().expires_at
