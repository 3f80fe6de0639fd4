"""Retry-After as endpoints write it: numbers and dates, right, wrong and several at once."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from deliver.attempt.verdict import MAX_RETRY_AFTER, Counter, Verdict, judge, retry_after
from tests.support.endpoint import response
from tests.support.fakes import NOW

ODD = st.sampled_from(["", "1.5", "1e9", "\u0663", "0x10", " 7 ", "+7", "9" * 400])
NUMBERS = st.integers(-5, 10**12).map(str) | ODD
DAYS = st.sampled_from(["Mon", "Montag", ""])
DATES = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC)).map(  # noqa: DTZ001
    lambda moment: moment.strftime("%d %b %Y %H:%M:%S GMT")
)
ZONES = st.sampled_from([" GMT", " +2400", " -9999", " +99999999999", " EST", ""])
WRITTEN = st.tuples(DAYS, st.sampled_from([", ", " ", ","]), DATES, ZONES).map("".join)
VALUES = st.lists(NUMBERS | DATES | WRITTEN | st.text(max_size=8), min_size=1, max_size=12).map(", ".join)


@given(value=VALUES)
def test_whatever_is_asked_for_is_within_a_day(value: str) -> None:
    assert 0.0 <= retry_after(value, NOW) <= MAX_RETRY_AFTER


@given(seconds=st.integers(0, 10**9))
def test_seconds_are_taken_as_they_are_up_to_a_day(seconds: int) -> None:
    assert retry_after(str(seconds), NOW) == min(seconds, MAX_RETRY_AFTER)


@given(value=VALUES, status=st.sampled_from([429, 503]))
def test_who_asks_for_time_gets_a_retry_and_only_a_503_is_an_error(value: str, status: int) -> None:
    judgement = judge(response(status, headers={"retry-after": value}), NOW)
    assert judgement.verdict is Verdict.RETRY
    assert judgement.counter is (Counter.NONE if status == 429 else Counter.ERROR)
