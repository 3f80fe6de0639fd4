"""The whole of a long response: kept beside the rows, for the newest attempt that has one."""

import zlib
from dataclasses import replace

import pytest

from bellhop import attempts, long_responses
from bellhop.attempts import RETRYING, Attempt, DeliveryRecord, NextState
from bellhop.long_responses import LongResponse
from tests.support.fakes import NOW, delivery

ID = delivery().delivery_id
SHORT = Attempt(1, NOW, 120, "request-1", "http_500", 500, "oops")
LONG = replace(SHORT, response="x" * 1024, long=LongResponse("x" * 5000, {"Server": "nginx"}))


def written(*made: Attempt) -> DeliveryRecord:
    first, *others = made
    assert attempts.open_record(delivery(), NextState(RETRYING, attempt=first), NOW)
    for number, attempt in enumerate(others, 2):
        record = attempts.claim(ID, number, "worker", NOW, 30)
        assert record
        named = replace(attempt, number=number, request_id=f"request-{number}")
        assert attempts.finish(record, NextState(RETRYING, attempt=named), NOW)
    found = attempts.load(ID)
    assert found
    return found


def shown(record: DeliveryRecord) -> list[tuple[int, bool]]:
    """Of each attempt, how long its response is and whether it was longer."""
    return [(len(row["response"]), bool(row.get("cut"))) for row in long_responses.rows(record)]


def test_a_short_response_is_written_as_before(aws: None) -> None:
    record = written(SHORT, SHORT)
    assert [record.long_response] == [None]
    assert [dict(row) for row in record.attempts] == long_responses.rows(record)
    assert all("cut" not in row for row in record.attempts)


def test_the_newest_long_response_is_whole_and_the_others_say_that_they_are_cut(aws: None) -> None:
    record = written(LONG, LONG, SHORT)
    assert shown(record) == [(1024, True), (5000, False), (4, False)]
    assert long_responses.rows(record)[1]["headers"] == {"Server": "nginx"}


def test_what_is_cut_even_so_says_so(aws: None) -> None:
    assert shown(written(replace(LONG, long=LongResponse("x" * 5000, cut=True)))) == [(5000, True)]


def test_a_delivery_that_begins_anew_keeps_its_long_response(aws: None) -> None:
    known = written(LONG)
    again = replace(LONG, request_id="request-9", long=LongResponse("y" * 3000))
    assert attempts.reopen(delivery(), known, NextState(RETRYING, attempt=again), NOW)
    found = attempts.load(ID)
    assert found
    assert shown(found) == [(1024, True), (3000, False)]


def test_a_delivery_that_began_anew_kept_a_long_response_beside_which_its_new_body_had_no_room(aws: None) -> None:
    known = written(LONG)
    assert attempts.reopen(delivery(), known, NextState(RETRYING), NOW)
    found = attempts.load(ID)
    assert found
    assert found.long_response is None


@pytest.mark.parametrize(
    "damaged", [b"", b"no zlib", zlib.compress(b"no JSON"), zlib.compress(b"[]"), zlib.compress(b"{}")]
)
def test_one_that_is_damaged_hides_no_attempt(aws: None, damaged: bytes) -> None:
    record = written(LONG)
    record.long_response = damaged
    assert shown(record) == [(1024, True)]
