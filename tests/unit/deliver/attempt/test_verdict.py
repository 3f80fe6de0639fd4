"""What a response means, row by row."""

from datetime import timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellhop.outcomes import COUNTERS
from deliver.attempt.verdict import MAX_RETRY_AFTER, Counter, Judgement, judge, retry_after
from deliver.http.response import Response, SendFailure
from tests.support.fakes import NOW


def response(status: int, **headers: str) -> Response:
    return Response(status, {name.replace("_", "-"): value for name, value in headers.items()}, b"")


def refused(kind: str) -> SendFailure:
    return SendFailure(kind, "", refused=True)


@pytest.mark.parametrize(
    ("outcome", "verdict", "counter", "result"),
    [
        (response(200), "delivered", "success", "http_200"),
        (response(204), "delivered", "success", "http_204"),
        (response(299), "delivered", "success", "http_299"),
        (response(300), "retry", "error", "http_300"),
        (response(301), "retry", "error", "http_301"),
        (response(304), "retry", "error", "http_304"),
        (response(400), "retry", "error", "http_400"),
        (response(401), "retry", "error", "http_401"),
        (response(404), "retry", "error", "http_404"),
        (response(408), "retry", "error", "http_408"),
        (response(410), "stop", "fatal", "http_410"),
        (response(418), "retry", "error", "http_418"),
        (response(429), "retry", "none", "http_429"),
        (response(500), "retry", "error", "http_500"),
        (response(502), "retry", "error", "http_502"),
        (response(503), "retry", "error", "http_503"),
        (response(504), "retry", "error", "http_504"),
        (response(599), "retry", "error", "http_599"),
        (response(999), "retry", "error", "http_999"),
        (response(199), "retry", "error", "http_199"),
        (response(200, webhook_delivery="disable"), "stop", "fatal", "disable_requested"),
        (response(500, webhook_delivery=" Disable "), "stop", "fatal", "disable_requested"),
        (response(410, webhook_delivery="abort-message"), "stop", "fatal", "http_410"),
        (response(400, webhook_delivery="abort-message"), "stop", "error", "abort_requested"),
        (response(429, webhook_delivery="abort-message"), "stop", "error", "abort_requested"),
        (response(200, webhook_delivery="abort-message"), "delivered", "success", "http_200"),
        (response(500, webhook_delivery="nonsense"), "retry", "error", "http_500"),
        (SendFailure("timeout", ""), "retry", "timeout", "timeout"),
        (SendFailure("connection_error", ""), "retry", "timeout", "connection_error"),
        (SendFailure("dns_error", ""), "retry", "timeout", "dns_error"),
        (SendFailure("tls_error", ""), "retry", "timeout", "tls_error"),
        (SendFailure("invalid_response", ""), "retry", "timeout", "invalid_response"),
        (refused("address_not_allowed"), "stop", "error", "address_not_allowed"),
        (SendFailure("invalid_header", ""), "retry", "error", "invalid_header"),
        (SendFailure("invalid_url", ""), "retry", "error", "invalid_url"),
        (SendFailure("token_error", ""), "retry", "error", "token_error"),
        (refused("token_error"), "stop", "error", "token_error"),
    ],
)
def test_what_a_response_means(outcome: Response | SendFailure, verdict: str, counter: str, result: str) -> None:
    judgement = judge(outcome, NOW)
    assert (judgement.verdict, judgement.counter, judgement.result) == (verdict, counter, result)
    assert judgement.not_before == 0


@pytest.mark.parametrize("status", [429, 503])
def test_429_and_503_wait_as_long_as_they_ask(status: int) -> None:
    assert judge(response(status, retry_after="120"), NOW).not_before == 120


@pytest.mark.parametrize("status", [301, 404, 500])
def test_other_responses_do_not_decide_when_to_retry(status: int) -> None:
    assert judge(response(status, retry_after="120"), NOW).not_before == 0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, 0),
        ("", 0),
        ("0", 0),
        ("30", 30),
        (" 30 ", 30),
        ("-5", 0),
        ("1e9", 0),
        ("nan", 0),
        ("inf", 0),
        ("1.5", 0),
        ("99999999999999999999999", MAX_RETRY_AFTER),
        ("\u0663", 0),
        ("soon", 0),
        (format_datetime(NOW + timedelta(minutes=5), usegmt=True), 300),
        (format_datetime(NOW - timedelta(minutes=5), usegmt=True), 0),
        (format_datetime(NOW + timedelta(days=30), usegmt=True), MAX_RETRY_AFTER),
        ("Mon, 23 Nov 2026 12:01:00", 60),
        ("Mon, 99 Nov 2026 12:01:00 GMT", 0),
        ("Mon, 23 Nov 99999 12:01:00 GMT", 0),
    ],
)
def test_retry_after_in_both_forms_and_with_hostile_values(value: str | None, seconds: float) -> None:
    assert retry_after(value, NOW) == seconds


@given(st.text())
def test_retry_after_is_within_bounds_whatever_it_says(value: str) -> None:
    assert 0 <= retry_after(value, NOW) <= MAX_RETRY_AFTER


@given(st.integers(100, 599))
def test_every_status_has_a_verdict(status: int) -> None:
    assert isinstance(judge(response(status), NOW), Judgement)


def test_every_outcome_counter_can_be_what_a_response_adds_to() -> None:
    assert {counter.value for counter in Counter} == {*COUNTERS, "none"}


@pytest.mark.parametrize("control", ["disable, disable", "DISABLE,disable", "abort-message, disable"])
def test_a_control_header_that_is_sent_twice_is_obeyed(control: str) -> None:
    assert judge(response(500, webhook_delivery=control), NOW).result == "disable_requested"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120, 120", 120.0),
        ("5,60", 60.0),
        ("60, soon", 60.0),
        (",", 0.0),
        ("Mon, 23 Nov 2026 12:01:00 GMT, Mon, 23 Nov 2026 12:02:00 GMT", 120.0),
        ("30, Mon, 23 Nov 2026 12:01:00 GMT", 60.0),
        (",".join(["0"] * 8 + ["60"]), 0.0),  # the ninth is not looked at
    ],
)
def test_of_a_retry_after_that_is_sent_twice_the_longest_counts(value: str, seconds: float) -> None:
    assert retry_after(value, NOW) == seconds


@pytest.mark.parametrize("zone", ["+99999999999999999", "-99999999999999999", "+9999"])
def test_a_retry_after_beyond_every_calendar_never_raises(zone: str) -> None:
    judgement = judge(response(503, retry_after=f"26 Nov 2026 13:00:00 {zone}"), NOW)
    assert (judgement.verdict, judgement.counter) == ("retry", "error")


# What is almost a date: nonsense that gets past the first doors of the parser.
_DATE_PARTS = [
    "Mon",
    "26",
    "Nov",
    "2026",
    "13:00:00",
    "99999",
    "GMT",
    "+9999",
    "-0000",
    ":",
    ".",
    "-",
    "(",
    ")",
    "\0",
]
_DATES = st.lists(st.sampled_from(_DATE_PARTS) | st.text(max_size=3), max_size=9).map(" ".join)


@given(
    st.dictionaries(st.sampled_from(["retry-after", "webhook-delivery"]), st.text() | _DATES),
    st.sampled_from([429, 503]) | st.integers(100, 999),
)
def test_judging_a_response_never_raises(headers: dict[str, str], status: int) -> None:
    assert judge(Response(status, headers, b""), NOW).result


def test_a_header_of_the_app_that_cannot_be_sent_is_retried_and_counted_as_its_error() -> None:
    judgement = judge(SendFailure("invalid_header", "the header X has a line break"), NOW)
    assert (judgement.verdict, judgement.counter, judgement.result) == ("retry", "error", "invalid_header")


def test_of_a_control_header_with_very_many_values_only_a_few_are_read() -> None:
    def judged(values: int) -> str:
        control = {"webhook-delivery": "," * values + "disable"}
        return judge(Response(400, control, b""), NOW).result

    assert (judged(7), judged(120_000)) == ("disable_requested", "http_400")
