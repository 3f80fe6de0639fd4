"""Why an app was switched off, and how close another is to that, in words."""

from typing import Any

import pytest

from health.mail.wording import counted, day, error, moment, reason, warning_text

THRESHOLDS = {"timeouts_per_day": 1000, "error_days": 7, "pause_hours": 72}
DAYS = [
    {"day": "2026-11-22", "success": 0, "error": 3, "timeout": 1204, "fatal": 0},
    {"day": "2026-11-23", "success": 0, "error": 3, "timeout": 1, "fatal": 0},
]


@pytest.mark.parametrize(
    ("evidence", "words"),
    [
        ({"rule": "fatal", "last_failure": {"error": "http_410"}}, "responded with 410 Gone"),
        ({"rule": "fatal", "last_failure": {"error": "disable_requested"}}, "webhook-delivery: disable"),
        ({"rule": "fatal", "last_failure": {"error": "timeout"}}, "gone for good (410), or asked"),
        ({"rule": "timeouts"}, "1,204 requests got no response in time on Sun 22 Nov (UTC)"),
        ({"rule": "timeouts", "thresholds": THRESHOLDS}, "1,000 in one day is the limit"),
        ({"rule": "timeouts", "days": []}, "too many requests got no response in time"),
        ({"rule": "errors"}, "each of the last 2 days requests ended in errors and not one was delivered"),
        ({"rule": "errors", "thresholds": THRESHOLDS}, "each of the last 7 days"),
        ({"rule": "pause"}, "were paused for days"),
        ({"rule": "pause", "thresholds": THRESHOLDS}, "were paused for 72 hours"),
        ({"rule": "operator"}, "a person switched the app off"),
        ({"rule": "to come"}, "too many requests to its endpoint failed"),
    ],
)
def test_each_rule_has_its_reason(evidence: dict[str, Any], words: str) -> None:
    assert words in reason({"days": DAYS} | evidence)


@pytest.mark.parametrize(
    ("rule", "reached", "limit", "words"),
    [
        (
            "timeouts",
            900,
            1000,
            (
                "900 of 1,000 timeouts today",
                "On Mon 23 Nov (UTC) 900 requests got no response in time so far.",
                "At 1,000 timeouts in one UTC day the app is switched off.",
            ),
        ),
        (
            "errors",
            1,
            7,
            (
                "1 of 7 days with errors only",
                "For 1 day in a row (UTC) requests ended in errors and not one was delivered.",
                "After 7 days like that in a row the app is switched off.",
            ),
        ),
        (
            "pause",
            36,
            72,
            (
                "paused for 36 of 72 hours",
                "Its deliveries have been paused for 36 hours, and no trial delivery succeeded.",
                "After 72 hours the app is switched off.",
            ),
        ),
    ],
)
def test_a_warning_says_how_close_the_limit_is(
    rule: str, reached: int, limit: int, words: tuple[str, ...]
) -> None:
    warning = warning_text({"rule": rule, "days": DAYS, "warning": {"reached": reached, "limit": limit}})
    assert warning is not None
    assert (warning.reached, warning.happened, warning.limit) == words
    assert warning.percent == 100 * reached // limit


def test_an_app_beyond_its_limit_shows_a_hundred_percent() -> None:
    warning = warning_text({"rule": "errors", "warning": {"reached": 8, "limit": 7}})
    assert warning is not None
    assert warning.percent == 100


@pytest.mark.parametrize(
    "evidence", [{}, {"rule": "errors"}, {"rule": "fatal", "warning": {"reached": 1, "limit": 1}}]
)
def test_evidence_that_does_not_say_how_close_makes_no_numbers_up(evidence: dict[str, Any]) -> None:
    assert warning_text(evidence) is None


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("http_404", "http_404 (Not Found)"),
        ("http_799", "http_799"),
        ("tls_error", "tls_error (no secure connection)"),
        ("new\nerror", "new error"),
    ],
)
def test_an_error_keeps_its_name_and_gets_a_meaning(code: str, shown: str) -> None:
    assert error(code) == shown


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("2026-11-23T12:00:00+00:00", "Mon 23 Nov 2026, 12:00 UTC"),
        ("2026-11-23T00:30:00+02:00", "Sun 22 Nov 2026, 22:30 UTC"),
        ("2026-11-23T12:00:00", "Mon 23 Nov 2026, 12:00 UTC"),
        ("some\ntime", "some time"),
    ],
)
def test_moments_are_in_utc(written: str, shown: str) -> None:
    assert moment(written) == shown


def test_a_day_that_is_none_is_shown_as_it_is() -> None:
    assert day("2026-11-23") == "Mon 23 Nov"
    assert day("some\nday") == "some day"


def test_one_is_not_many() -> None:
    assert [counted(n, "day") for n in (0, 1, 2000)] == ["0 days", "1 day", "2,000 days"]
