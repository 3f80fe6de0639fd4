"""What a response means for the delivery and for the app's health: one table."""

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from http import HTTPStatus

from deliver.http.response import Response, SendFailure

MAX_RETRY_AFTER = 86_400.0  # seconds; no endpoint can delay a delivery for longer than a day at a time

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
    """`result` is the stable name in the log; `not_before` the wait that the endpoint asked for, in seconds."""

    verdict: Verdict
    counter: Counter
    result: str
    not_before: float = 0.0


def judge(outcome: Response | SendFailure, now: datetime) -> Judgement:
    """Judge the outcome of a POST."""
    if isinstance(outcome, SendFailure):
        if outcome.refused:
            return Judgement(Verdict.STOP, Counter.ERROR, outcome.kind)
        return Judgement(Verdict.RETRY, Counter.TIMEOUT, outcome.kind)
    return _judge_response(outcome, now)


def _judge_response(response: Response, now: datetime) -> Judgement:
    control = response.headers.get("webhook-delivery", "").strip().lower()
    result = f"http_{response.status}"
    if response.status == HTTPStatus.GONE:
        return Judgement(Verdict.STOP, Counter.FATAL, result)
    if control == "disable":
        return Judgement(Verdict.STOP, Counter.FATAL, "disable_requested")
    if response.ok:
        return Judgement(Verdict.DELIVERED, Counter.SUCCESS, result)
    if control == "abort-message":
        return Judgement(Verdict.STOP, Counter.ERROR, "abort_requested")
    wait = retry_after(response.headers.get("retry-after"), now) if response.status in _BUSY else 0.0
    counter = Counter.NONE if response.status == HTTPStatus.TOO_MANY_REQUESTS else Counter.ERROR
    return Judgement(Verdict.RETRY, counter, result, wait)


def retry_after(value: str | None, now: datetime) -> float:
    """Seconds that a Retry-After header asks for, within 0 and `MAX_RETRY_AFTER`; 0 where it makes no sense.

    Both forms of RFC 9110 section 10.2.3.
    """
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:10]), MAX_RETRY_AFTER)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max((moment - now).total_seconds(), 0.0), MAX_RETRY_AFTER)
