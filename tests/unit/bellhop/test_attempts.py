"""Delivery records: which are replayable, who may claim them, and when they expire."""

import random
import zlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bellhop import app_lists, attempts, large_bodies, long_responses
from bellhop.attempts import (
    DELIVERED,
    EXHAUSTED,
    MOST_ATTEMPTS,
    PARKED,
    REPLAYABLE,
    RETRYING,
    STOPPED,
    Attempt,
    DeliveryRecord,
    NextState,
)
from bellhop.deliveries import Retry
from bellhop.long_responses import ROOM_BYTES, LongResponse
from deliver.http.response import KEPT_BYTES
from tests.support.fakes import NOW, delivery

NOT_REPLAYABLE = (DELIVERED, RETRYING, STOPPED)
FAILED = Attempt(1, NOW, 5, "r", "http_500", 500)


def opened(number: int, state: str, at: float = 0.0, app_id: str = "pager") -> DeliveryRecord:
    made = delivery(delivery_id=f"msg_{number:03d}", app_id=app_id)
    found = attempts.open_record(made, NextState(state), NOW + timedelta(seconds=at))
    assert found
    return found


def listed(app_id: str = "pager") -> list[str]:
    return [row.delivery_id for row in app_lists.replayable(app_id, None, 100)]


def claimed(number: int, attempt: int = 1, *, replay: bool = False, lease: str = "w") -> DeliveryRecord | None:
    return attempts.claim(f"msg_{number:03d}", attempt, lease, NOW, 30, replay=replay)


def test_what_is_parked_is_listed_in_its_order_and_then_what_is_exhausted_in_its(aws: None) -> None:
    for number, at in [(1, 3.0), (2, 1.0), (3, 2.0)]:
        opened(number, PARKED, at)
        opened(number + 10, EXHAUSTED, at)
    opened(4, PARKED, app_id="other")
    assert listed() == ["msg_002", "msg_003", "msg_001", "msg_012", "msg_013", "msg_011"]
    parked = app_lists.replayable("pager", None, 2, exhausted=False)
    parked += app_lists.replayable("pager", app_lists.cursor(parked[-1]), 9, exhausted=False)
    assert [row.delivery_id for row in parked] == ["msg_002", "msg_003", "msg_001"]


def test_what_is_parked_until_its_retry_is_due_is_not_waiting_before(aws: None) -> None:
    opened(1, RETRYING)
    record = claimed(1)
    assert record
    attempts.finish(record, NextState(PARKED, NOW.timestamp() + 60, FAILED), NOW)
    opened(2, PARKED, 30)
    assert [row.delivery_id for row in app_lists.waiting("pager", NOW + timedelta(seconds=59), 9)] == ["msg_002"]
    assert len(app_lists.waiting("pager", NOW + timedelta(seconds=60), 9)) == 2


def test_what_is_parked_at_a_cursors_time_or_later_is_listed_after_it(aws: None) -> None:
    opened(1, PARKED, 1)
    opened(2, PARKED, 2)
    for seconds, names in [(1, ["msg_001", "msg_002"]), (2, ["msg_002"]), (3, [])]:
        cursor = app_lists.place_at(NOW + timedelta(seconds=seconds))
        rows = app_lists.replayable("pager", cursor, 9, exhausted=False)
        assert [row.delivery_id for row in rows] == names


def test_what_is_exhausted_where_it_is_parked_moves_once_it_is_announced(aws: None) -> None:
    opened(1, PARKED)
    [row] = app_lists.waiting("pager", NOW, 9)
    assert attempts.exhaust(row, NOW)
    [row] = app_lists.waiting("pager", NOW, 9)
    assert row.state == EXHAUSTED
    assert attempts.exhaust(row, NOW)
    assert attempts.list_exhausted(row, NOW)
    assert app_lists.waiting("pager", NOW, 9) == []
    assert listed() == ["msg_001"]
    assert not attempts.list_exhausted(row, NOW)


def test_what_is_being_attempted_is_neither_parked_nor_exhausted(aws: None) -> None:
    opened(1, PARKED)
    [row] = app_lists.waiting("pager", NOW, 9)
    assert claimed(1, replay=True)
    assert not attempts.park(Retry("msg_001", "pager", 1, replay=True), NOW)
    assert attempts.exhaust(row, NOW) is None


def test_a_worker_whose_lease_another_has_taken_over_writes_nothing_and_gives_nothing_back(aws: None) -> None:
    opened(1, RETRYING)
    late = attempts.claim("msg_001", 1, "late", NOW, 30)
    later = NOW + timedelta(seconds=31)
    taken = attempts.claim("msg_001", 1, "second", later, 30)
    assert late
    assert taken
    assert not attempts.finish(late, NextState(STOPPED), later)
    assert not attempts.give_back(late)
    found = attempts.load("msg_001")
    assert found
    assert (found.state, found.lease) == (RETRYING, "second")
    assert attempts.finish(taken, NextState(DELIVERED), later)


@pytest.mark.parametrize("state", NOT_REPLAYABLE)
def test_what_cannot_be_replayed_is_not_listed(aws: None, state: str) -> None:
    opened(1, state)
    assert listed() == []


def test_what_becomes_replayable_in_the_same_millisecond_is_all_listed(aws: None) -> None:
    for number in range(5):
        opened(number, PARKED)
    assert listed() == [f"msg_{n:03d}" for n in range(5)]


def test_a_row_of_the_list_tells_whose_it_is_its_state_and_its_attempt(aws: None) -> None:
    opened(1, EXHAUSTED, 2)
    [row] = app_lists.replayable("pager", None, 10)
    assert (row.app_id, row.delivery_id, row.state, row.attempts_made) == ("pager", "msg_001", EXHAUSTED, 0)
    assert row.replayable_at == "exhausted#2026-11-23T12:00:02.000+00:00#msg_001#acme"
    assert app_lists.listed_since(row) == "2026-11-23T12:00:02.000+00:00"


@pytest.mark.parametrize("size", [1, 3, 7, 8])
def test_pages_of_any_size_follow_one_another_without_a_gap(aws: None, size: int) -> None:
    names = [opened(number, PARKED, number // 3).delivery_id for number in range(7)]
    seen: list[str] = []
    after = None
    while page := app_lists.replayable("pager", after, size):
        assert len(page) <= size
        seen += [row.delivery_id for row in page]
        after = app_lists.cursor(page[-1])
    assert seen == names


@pytest.mark.parametrize("end", [*NOT_REPLAYABLE, *REPLAYABLE])
def test_an_end_lists_the_record_exactly_when_it_can_be_replayed(aws: None, end: str) -> None:
    opened(1, RETRYING)
    record = claimed(1)
    assert record
    assert attempts.finish(record, NextState(end, attempt=FAILED), NOW)
    assert listed() == (["msg_001"] if end in REPLAYABLE else [])


def test_a_claim_that_is_sent_again_because_its_response_was_lost_is_ours_and_nobody_elses(aws: None) -> None:
    opened(1, RETRYING)
    assert claimed(1, lease="ours")
    again = claimed(1, lease="ours")
    assert claimed(1, lease="theirs") is None
    assert again
    assert attempts.finish(again, NextState(RETRYING, attempt=FAILED), NOW)
    assert claimed(1, lease="ours") is None


def test_a_beginning_anew_that_is_sent_again_because_its_response_was_lost_logged_its_attempt_twice(
    aws: None,
) -> None:
    stopped = NextState(STOPPED, attempt=FAILED)
    known = attempts.open_record(delivery(), stopped, NOW)
    assert known
    later = NOW + timedelta(minutes=1)
    assert attempts.reopen(delivery(), known, stopped, later)
    assert attempts.reopen(delivery(), known, stopped, later) is None
    found = attempts.load(delivery().delivery_id)
    assert found
    assert len(found.attempts) == 2


def test_a_record_leaves_the_log_thirty_days_after_it_was_opened_whatever_happens_to_it(aws: None) -> None:
    opened(1, RETRYING)
    record = claimed(1)
    assert record
    attempts.finish(record, NextState(EXHAUSTED, attempt=FAILED), NOW + timedelta(days=3))
    found = attempts.load("msg_001")
    assert found
    assert datetime.fromtimestamp(int(found.expires_at), UTC) == NOW + timedelta(days=30)


@pytest.mark.parametrize("state", REPLAYABLE)
def test_a_replay_leases_what_is_replayable_and_leaves_it_listed(aws: None, state: str) -> None:
    opened(1, state)
    assert claimed(1) is None
    record = claimed(1, replay=True)
    assert record
    assert (record.state, listed()) == (state, ["msg_001"])
    assert attempts.finish(record, NextState(DELIVERED, attempt=FAILED), NOW)
    assert listed() == []


def test_a_replay_that_died_with_its_claim_can_be_claimed_again_after_its_lease(aws: None) -> None:
    opened(1, PARKED)
    assert claimed(1, replay=True, lease="dead")
    assert claimed(1, replay=True, lease="other") is None
    late = NOW + timedelta(seconds=31)
    assert attempts.claim("msg_001", 1, "other", late, 30, replay=True)


@pytest.mark.parametrize(("state", "attempt"), [(DELIVERED, 1), (STOPPED, 1), (PARKED, 2), (EXHAUSTED, 3)])
def test_a_replay_takes_neither_what_has_ended_nor_another_attempt(aws: None, state: str, attempt: int) -> None:
    opened(1, state)
    assert claimed(1, attempt, replay=True) is None


@pytest.fixture
def bodies_within(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every body stands in its record, as older versions wrote it."""
    monkeypatch.setattr(large_bodies, "LARGE_BYTES", 1_000_000)


def test_a_record_that_was_attempted_for_ever_fits_into_its_item_with_the_largest_body(
    aws: None, bodies_within: None, request: pytest.FixtureRequest
) -> None:
    if request.config.getoption("--tables") == "moto":
        pytest.skip("moto takes a binary value for a third larger than DynamoDB does")
    # Printable characters at random: of all texts, these compress the least.
    body = bytes(random.Random(1).choices(range(0x20, 0x7F), k=280 * 1024))
    text = "".join(map(chr, random.Random(2).choices(range(0x20, 0x7F), k=KEPT_BYTES)))
    row = Attempt(1, NOW, 10_000, "r" * 36, "http_500", 500, "\ufffd" * 1024, {"Server": "x" * 506})
    row = replace(row, long=LongResponse(text, cut=True))
    opening = NextState(RETRYING, attempt=row)
    assert attempts.open_record(delivery(delivery_id="msg_001", body=body), opening, NOW)
    for number in range(2, 3 * MOST_ATTEMPTS):
        record = claimed(1, number)
        assert record
        assert attempts.finish(record, NextState(RETRYING, attempt=replace(row, number=number)), NOW)
    known = attempts.load("msg_001")
    assert known
    assert [each["n"] for each in known.attempts] == [*range(2 * MOST_ATTEMPTS, 3 * MOST_ATTEMPTS)]
    assert known.long_response is None  # there is no room for it


def test_a_long_response_beside_the_largest_body_that_leaves_room_for_it_fits_into_the_item(
    aws: None, bodies_within: None, request: pytest.FixtureRequest
) -> None:
    if request.config.getoption("--tables") == "moto":
        pytest.skip("moto takes a binary value for a third larger than DynamoDB does")
    chosen = random.Random(1)
    text = "".join(map(chr, chosen.choices(range(0x20, 0x7F), k=KEPT_BYTES)))
    body = bytes(chosen.choices(range(0x20, 0x7F), k=271_000))
    assert ROOM_BYTES - 1000 < len(zlib.compress(body)) + len(zlib.compress(text.encode())) < ROOM_BYTES - 100
    row = Attempt(1, NOW, 10_000, "r" * 36, "http_500", 500, "\ufffd" * 1024, {"Server": "x" * 506})
    row = replace(row, long=LongResponse(text, cut=True))
    assert attempts.open_record(delivery(delivery_id="msg_001", body=body), NextState(RETRYING, attempt=row), NOW)
    for number in range(2, MOST_ATTEMPTS + 3):
        record = claimed(1, number)
        assert record
        assert attempts.finish(record, NextState(RETRYING, attempt=replace(row, number=number)), NOW)
    known = attempts.load("msg_001")
    assert known
    assert known.long_response
    assert long_responses.rows(known)[-1]["response"] == text
