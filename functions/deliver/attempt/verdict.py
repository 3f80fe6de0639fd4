"""What a response means for the delivery and for the app's health: one table."""

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from http import HTTPStatus

from deliver.http.response import INVALID_HEADER, INVALID_URL, TOKEN_ERROR, Response, SendFailure

MAX_RETRY_AFTER = 86_400.0  # seconds; no endpoint can delay a delivery for longer than a day at a time

_CONFIGURATION = {INVALID_HEADER, INVALID_URL}  # no endpoint was asked
_VALUES = 8  # of a header that are looked at: an endpoint may send very many
_BUSY = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}


class Verdict(StrEnum):
    """What becomes of the delivery."""

    DELIVERED = "delivered"
    RETRY = "retry"
    STOP = "stop"


class Counter(StrEnum):
    """Which of the app's outcome counters the attempt adds to."""

    SUCCESS = "success"
    ERROR = "error"
    TIMEOUT = "timeout"
    FATAL = "fatal"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Judgement:
    """`result` is the stable name in the log; `not_before` the wait that the endpoint asked for, in seconds.

    `well`: whether the endpoint is, and not only the webhook or the configuration at fault; None: nothing reached
    the endpoint.
    """

    verdict: Verdict
    counter: Counter
    result: str
    not_before: float = 0.0
    well: bool | None = True


def judge(outcome: Response | SendFailure, now: datetime) -> Judgement:
    """Judge the outcome of a POST."""
    if isinstance(outcome, SendFailure):
        if outcome.refused:
            return Judgement(Verdict.STOP, Counter.ERROR, outcome.kind, well=None)
        if outcome.kind in _CONFIGURATION:
            return Judgement(Verdict.RETRY, Counter.ERROR, outcome.kind, well=None)
        if outcome.kind == TOKEN_ERROR:  # of whatever kind: the endpoint itself kept nobody waiting
            return Judgement(Verdict.RETRY, Counter.ERROR, outcome.kind, well=False)
        return Judgement(Verdict.RETRY, Counter.TIMEOUT, outcome.kind, well=False)
    return _judge_response(outcome, now)


def _judge_response(response: Response, now: datetime) -> Judgement:
    # A header that is sent twice arrives as one, with commas.
    control = {value.lower() for value in _values(response.headers.get("webhook-delivery"))}
    result = f"http_{response.status}"
    if response.status == HTTPStatus.GONE:  # 410
        return Judgement(Verdict.STOP, Counter.FATAL, result)
    if "disable" in control:
        return Judgement(Verdict.STOP, Counter.FATAL, "disable_requested")
    if response.ok:
        return Judgement(Verdict.DELIVERED, Counter.SUCCESS, result)
    if "abort-message" in control:
        return Judgement(Verdict.STOP, Counter.ERROR, "abort_requested")
    wait = retry_after(response.headers.get("retry-after"), now) if response.status in _BUSY else 0.0
    busy = response.status == HTTPStatus.TOO_MANY_REQUESTS
    well = not busy and response.status < HTTPStatus.INTERNAL_SERVER_ERROR
    return Judgement(Verdict.RETRY, Counter.NONE if busy else Counter.ERROR, result, wait, well)


def retry_after(value: str | None, now: datetime) -> float:
    """Seconds that a Retry-After header asks for, within 0 and `MAX_RETRY_AFTER`; 0 where it makes no sense.

    Both forms of RFC 9110 section 10.2.3. Of values that were sent twice, the longest counts. They arrive with a
    comma between them, as does the day of the week with its date; a date means the same without it.
    """
    return min(max(_seconds(text, now) for text in _values(value)), MAX_RETRY_AFTER)


def _values(header: str | None) -> list[str]:
    return [value.strip() for value in (header or "").split(",", _VALUES)[:_VALUES]]


def _seconds(text: str, now: datetime) -> float:
    if text.isascii() and text.isdigit():
        return float(text[:10])
    try:
        moment = parsedate_to_datetime(text)
        wait = ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now).total_seconds()
    except (ValueError, TypeError, IndexError, OverflowError):  # no date, or one that is not within any calendar
        return 0.0
    return max(wait, 0.0)
