"""A resend has deliver make one more attempt, once, whatever became of the delivery."""

import random
from datetime import datetime, timedelta
from typing import Any

import pytest

from bellhop import app_lists, attempts, circuits, large_bodies, resends, tables
from bellhop.attempts import DELIVERED, EXHAUSTED, PARKED, RETRYING, STOPPED, Attempt, DeliveryRecord, NextState
from bellhop.deliveries import Retry
from bellhop.index_keys import Entry
from bellhop.large_bodies import LargeBody
from bellhop.registry import App, Installation
from bellhop.resends import BUSY, NOT_KEPT, OFF, RESENT, UNREGISTERED, Chosen, Hooks, Times
from deliver.dependencies import DeliverDependencies
from tests.support.endpoint import Clock, Endpoint, packed, record, response, retries, run
from tests.support.fakes import NOW, app, delivery, installation, queue_message

ID = delivery().delivery_id
LARGE = delivery(body=random.Random(1).randbytes(5000))
AT_ONCE = NOW - timedelta(hours=1)  # when it succeeded


def due_now(known: DeliveryRecord, now: datetime = NOW) -> bool:
    return resends.make_due(known, Times(now.timestamp(), now.timestamp()), now)


def opened(now: datetime = NOW) -> bool:
    return resends.open_delivered(delivery(), 1, AT_ONCE, now)


def opened_and_due() -> None:
    assert opened()
    assert due_now(record())


def retry(number: int) -> dict[str, Any]:
    return queue_message(Retry(ID, "pager", number, organization_id="acme"))


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
    assert due_now(known)
    assert app_lists.replayable("pager", None, 10) == []  # a replay must not find it a second time
    endpoint = Endpoint(response(200))
    message = retry(4)
    for _ in range(2):
        assert run(deps, endpoint, message) == []
    assert [(headers["webhook-id"], body) for _, headers, body in endpoint.posted] == [(ID, delivery().body)]
    assert (record().state, record().attempts_made) == (DELIVERED, 4)
    assert [(row["n"], row.get("resent")) for row in record().attempts] == [(3, None), (4, True)]


def test_one_that_succeeded_at_once_gets_a_record_and_its_retries_have_an_authority(
    deps: DeliverDependencies, queue: str
) -> None:
    opened_and_due()
    message = retry(2)
    assert run(deps, Endpoint(response(500)), message) == []
    assert (record().state, record().attempts_made) == (RETRYING, 2)
    endpoint = Endpoint(response(200))
    for each in [*retries(queue), message]:
        run(deps, endpoint, each)
    assert [body for _, _, body in endpoint.posted] == [delivery().body]
    assert [(row["n"], row["resent"]) for row in record().attempts] == [(2, True), (3, True)]
    assert packed() == []  # it is in its record


def test_a_second_copy_of_its_first_message_makes_no_other_chain(deps: DeliverDependencies, queue: str) -> None:
    opened_and_due()
    run(deps, Endpoint(response(200)), retry(2))
    endpoint = Endpoint(response(200))
    copy = delivery(enqueued_at=AT_ONCE.timestamp() - 1)
    assert run(deps, endpoint, queue_message(copy, receive_count=2)) == []
    assert (endpoint.posted, retries(queue)) == ([], [])


def test_a_record_that_is_there_is_not_written_over(deps: DeliverDependencies) -> None:
    record_as(EXHAUSTED)
    assert not opened()
    assert record().state == EXHAUSTED


def test_a_record_that_has_expired_counts_as_none(deps: DeliverDependencies) -> None:
    known = record_as(EXHAUSTED)
    later = NOW + timedelta(days=31)
    assert not due_now(known, later)
    assert opened(later)
    assert (record().attempts_made, record().attempts) == (1, [])


def test_what_is_being_attempted_or_changed_meanwhile_is_left(deps: DeliverDependencies, clock: Clock) -> None:
    known = record_as(PARKED)
    assert attempts.claim(ID, 4, "worker", NOW, 30, replay=True)
    assert not due_now(known)
    attempts.finish(record(), NextState(DELIVERED), NOW)
    assert not due_now(known)
    assert due_now(record())


def test_a_write_whose_response_was_lost_is_our_own(deps: DeliverDependencies) -> None:
    known = record_as(DELIVERED)
    assert due_now(known)
    assert due_now(known)  # the SDK repeats it
    assert not due_now(known, NOW + timedelta(seconds=1))


def test_it_is_parked_during_a_pause_and_marked_when_it_is_released(
    deps: DeliverDependencies, clock: Clock
) -> None:
    opened_and_due()
    circuits.open_circuit("pager", 1, NOW.timestamp(), NOW.timestamp() + 30)
    clock.move(5)
    endpoint = Endpoint(response(200))
    assert run(deps, endpoint, retry(2)) == []
    assert (endpoint.posted, record().state, record().attempts_made) == ([], PARKED, 1)
    assert [row.delivery_id for row in app_lists.replayable("pager", None, 10)] == [ID]


def test_an_app_that_was_switched_off_meanwhile_gets_nothing(
    deps: DeliverDependencies, apps: dict[str, App]
) -> None:
    known = record_as(DELIVERED)
    assert due_now(known)
    apps["pager"].state = "disabled"
    endpoint = Endpoint(response(200))
    assert run(deps, endpoint, retry(4)) == []
    assert (endpoint.posted, record().state) == ([], PARKED)


def test_an_event_that_is_published_again_is_no_resend(deps: DeliverDependencies) -> None:
    known = record_as(DELIVERED)
    due_now(known)
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
    assert due_now(record(), later)
    assert app_lists.newest("pager", later - timedelta(hours=1), later + timedelta(hours=1), 9) == ([ID], True)
    assert app_lists.newest("pager", NOW - timedelta(hours=1), later + timedelta(hours=1), 9) == ([ID], True)
    [entry] = [row for row in Entry.scan() if row.entry_id.startswith("entry#")]
    assert entry.expires_at == record().expires_at


# ---- Opened, which changes nothing


def test_what_is_opened_is_delivered_as_it_was_and_no_list_leads_to_it(deps: DeliverDependencies) -> None:
    assert opened()
    found = record()
    assert (found.state, found.attempts_made, found.created) == (DELIVERED, 1, AT_ONCE)
    assert large_bodies.load(found) == delivery(enqueued_at=0.0)
    assert not {"due_shard", "replayable_for", "resent_at", "created_at"} & found.attribute_values.keys()
    assert app_lists.newest("pager", AT_ONCE - timedelta(days=9), NOW + timedelta(days=9), 9) == ([], True)


def test_what_is_opened_with_a_large_body_is_sent_with_it(deps: DeliverDependencies) -> None:
    assert resends.open_delivered(LARGE, 1, AT_ONCE, NOW)
    assert record().body is None
    assert due_now(record())
    endpoint = Endpoint(response(200))
    assert run(deps, endpoint, retry(2)) == []
    assert [body for _, _, body in endpoint.posted] == [LARGE.body]


def test_an_event_that_waited_on_the_queue_to_be_published_again_was_taken_for_a_copy_of_what_was_opened(
    deps: DeliverDependencies,
) -> None:
    assert opened()
    again = delivery(enqueued_at=(AT_ONCE + timedelta(minutes=1)).timestamp())
    endpoint = Endpoint(response(200))
    assert run(deps, endpoint, queue_message(again, receive_count=2)) == []
    assert len(endpoint.posted) == 1


# ---- Whatever it was when it was chosen

CHOSEN = Chosen(ID, EXHAUSTED, 3)
ASKED = NOW.timestamp() - 3600


def resent(chosen: Chosen = CHOSEN, due: float = NOW.timestamp() + 7) -> resends.Result:
    return resends.resend(chosen, Times(ASKED, due), Hooks(), NOW)


@pytest.fixture
def registered(deps: DeliverDependencies) -> None:
    app().save()
    installation().save()


@pytest.mark.usefixtures("registered")
def test_it_is_due_when_it_is_its_turn_and_known_by_when_it_was_asked_for() -> None:
    record_as(EXHAUSTED)
    assert resent() == resends.Result(ID, RESENT, Retry(ID, "pager", 4, organization_id="acme"))
    assert (record().resent_at, record().next_attempt_at) == (ASKED, NOW.timestamp() + 7)


@pytest.mark.usefixtures("registered")
def test_the_second_time_its_retry_is_sent_again_until_it_was_attempted_and_nothing_else_changes() -> None:
    record_as(EXHAUSTED)
    first, before = resent(), record().attribute_values
    assert resent(due=NOW.timestamp() + 99) == first
    assert record().attribute_values == before
    claimed = attempts.claim(ID, 4, "worker", NOW, 30)
    assert claimed
    failed = Attempt(4, NOW, 12, "request-4", "http_500", 500)
    attempts.finish(claimed, NextState(EXHAUSTED, attempt=failed), NOW)
    assert resent() == resends.Result(ID, RESENT)
    assert record().state == EXHAUSTED


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("chosen", [Chosen(ID, PARKED, 3), Chosen(ID, EXHAUSTED, 2)])
def test_what_is_not_as_it_was_when_it_was_chosen_is_left(chosen: Chosen) -> None:
    record_as(EXHAUSTED)
    assert resent(chosen) == resends.Result(ID, BUSY)
    assert record().state == EXHAUSTED


@pytest.mark.usefixtures("registered")
def test_what_a_copy_of_the_message_resent_in_between_was_counted_as_left(monkeypatch: pytest.MonkeyPatch) -> None:
    known = record_as(EXHAUSTED)

    def slowly(*_: Any) -> None:
        assert resends.make_due(known, Times(ASKED, NOW.timestamp()), NOW)
        claimed = attempts.claim(ID, 4, "worker", NOW, 30)
        assert claimed
        attempts.finish(claimed, NextState(DELIVERED, attempt=Attempt(4, NOW, 1, "r", "http_200", 200)), NOW)

    monkeypatch.setattr(Hooks, "refusal", slowly)
    assert resent() == resends.Result(ID, RESENT)


@pytest.mark.usefixtures("registered")
def test_what_is_being_attempted_is_left() -> None:
    record_as(PARKED)
    assert attempts.claim(ID, 4, "worker", NOW, 30, replay=True)
    assert resent(Chosen(ID, PARKED, 3)) == resends.Result(ID, BUSY)


@pytest.mark.usefixtures("registered")
def test_a_large_body_is_kept_as_long_as_its_record_is_after_the_resend() -> None:
    assert attempts.open_record(LARGE, NextState(EXHAUSTED), NOW - timedelta(days=29))
    assert resent(Chosen(ID, EXHAUSTED, 0)).outcome == RESENT
    item = LargeBody.get(str(large_bodies.key(record())))
    assert record().expires_at == attempts.expiry(NOW)
    assert item.expires_at - record().expires_at == 86_400


@pytest.mark.usefixtures("registered")
def test_a_delivery_whose_large_body_is_gone_is_left_as_it_is() -> None:
    assert attempts.open_record(LARGE, NextState(EXHAUSTED), NOW)
    LargeBody.get(str(large_bodies.key(record()))).delete()
    assert resent(Chosen(ID, EXHAUSTED, 0)).outcome == NOT_KEPT
    assert record().state == EXHAUSTED
    assert "resent_at" not in record().attribute_values


@pytest.mark.usefixtures("registered")
def test_what_expired_or_was_never_kept_is_left() -> None:
    assert resent() == resends.Result(ID, NOT_KEPT)
    record_as(EXHAUSTED)
    record().update(actions=[DeliveryRecord.expires_at.set(int(NOW.timestamp()))])
    assert resent() == resends.Result(ID, NOT_KEPT)


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda: app(state="disabled").save(), OFF),
        (lambda: App("pager").delete(), UNREGISTERED),
        (lambda: Installation("acme", "in-pager").delete(), "missing_installation"),
        (lambda: installation(events=[]).save(), "event_not_in_hook"),
    ],
)
def test_what_nobody_wants_any_more_is_left_as_it_is(change: Any, reason: str) -> None:
    record_as(EXHAUSTED)
    change()
    assert resent() == resends.Result(ID, reason)
    assert record().state == EXHAUSTED
    assert record().resent_at is None


@pytest.mark.usefixtures("registered")
def test_no_body_is_read_to_resend_a_delivery(monkeypatch: pytest.MonkeyPatch) -> None:
    record_as(EXHAUSTED)
    returned, dispatch = list[str](), tables._Connection.dispatch

    def noting(self: Any, operation: str, request: dict[str, Any]) -> Any:
        response = dispatch(self, operation, request)
        returned.extend(response.get("Item", {}) | response.get("Attributes", {}))
        return response

    monkeypatch.setattr(tables._Connection, "dispatch", noting)
    assert resent().outcome == RESENT
    assert "state" in returned
    assert not {"body", "attempts"} & set(returned)
