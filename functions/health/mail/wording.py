"""The sentences of the mails, from an audit entry's evidence. Old entries lack newer facts."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from http import HTTPStatus
from typing import Any

from bellhop.text import one_line
from health.transitions import BY_PERSON

Evidence = Mapping[str, Any]

_ERRORS = {
    "timeout": "no complete response in time",
    "dns_error": "the endpoint's name could not be resolved",
    "tls_error": "no secure connection",
    "connection_error": "the connection failed or broke off",
    "invalid_header": "one of the app's own headers cannot be sent",
    "invalid_url": "the app's URL cannot be posted to",
    "token_error": "the token endpoint gave no access token",
    "invalid_response": "the response was not valid HTTP",
    "address_not_allowed": "the endpoint's address is not allowed",
    "disable_requested": "the endpoint asked to be switched off",
    "abort_requested": "the endpoint asked to drop this delivery",
}


@dataclass(frozen=True, slots=True)
class WarningText:
    """How close a failing app is to being switched off."""

    reached: str  # goes at the end of the subject
    happened: str
    limit: str  # what will happen, and at which number
    percent: int  # of the way to the limit


def counted(number: int, noun: str) -> str:
    """ "1 day", "1,000 days"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def day(value: object, form: str = "%a %d %b") -> str:
    """An ISO date, such as "Mon 23 Nov"."""
    with suppress(ValueError):
        return date.fromisoformat(str(value)[:10]).strftime(form)
    return one_line(value, 20)


def moment(value: object) -> str:
    """An ISO date and time, such as "Mon 23 Nov 2026, 12:00 UTC"."""
    with suppress(ValueError):
        read = datetime.fromisoformat(str(value))
        return (
            (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC).strftime("%a %d %b %Y, %H:%M UTC")
        )
    return one_line(value, 40)


def error(code: object) -> str:
    """An error's name, as it stands in the log, and its meaning."""
    name = one_line(code, 40)
    return f"{name} ({meaning})" if (meaning := _ERRORS.get(name) or _phrase(name)) else name


def reason(evidence: Evidence) -> str:
    """Why an app was switched off; continues a sentence after "because"."""
    rules = {"fatal": _fatal, "timeouts": _timeouts, "errors": _errors, "pause": _pause}
    rule = evidence.get("rule")
    if rule == BY_PERSON:
        return "a person switched the app off"
    return rules[rule](evidence) if rule in rules else "too many requests to its endpoint failed"


def warning_text(evidence: Evidence) -> WarningText | None:
    """How close the app is to being switched off; None if the entry does not say."""
    warning = evidence.get("warning") or {}
    reached, limit = int(warning.get("reached", 0)), int(warning.get("limit", 0))
    wordings = {"timeouts": _warn_timeouts, "errors": _warn_errors, "pause": _warn_pause}
    wording = wordings.get(str(evidence.get("rule")))
    if not wording or not limit:
        return None
    return WarningText(*wording(reached, limit, evidence), min(100, 100 * reached // limit))


def _phrase(name: str) -> str:
    with suppress(ValueError):
        return HTTPStatus(int(name.removeprefix("http_"))).phrase
    return ""


def _fatal(evidence: Evidence) -> str:
    last = (evidence.get("last_failure") or {}).get("error")
    if last == "http_410":
        return "its endpoint responded with 410 Gone, which means that it is gone for good"
    if last == "disable_requested":
        return "its endpoint asked to be switched off, with the response header webhook-delivery: disable"
    return "its endpoint responded that it is gone for good (410), or asked to be switched off"


def _timeouts(evidence: Evidence) -> str:
    number, on = max(((int(d.get("timeout", 0)), d["day"]) for d in _days(evidence)), default=(0, ""))
    if not number:
        return "too many requests got no response in time"
    limit = _threshold(evidence, "timeouts_per_day")
    allowed = f"; {limit:,} in one day is the limit" if limit else ""
    return f"{counted(number, 'request')} got no response in time on {day(on)} (UTC){allowed}"


def _errors(evidence: Evidence) -> str:
    failing = sum(bool(d.get("error")) and not d.get("success") for d in _days(evidence))
    number = _threshold(evidence, "error_days") or failing
    return f"on each of the last {counted(number, 'day')} requests ended in errors and not one was delivered"


def _pause(evidence: Evidence) -> str:
    hours = _threshold(evidence, "pause_hours")
    duration = counted(hours, "hour") if hours else "days"
    return f"its deliveries were paused for {duration} because so many failed, and no trial delivery succeeded"


def _days(evidence: Evidence) -> list[dict[str, Any]]:
    return evidence.get("days") or []


def _threshold(evidence: Evidence, name: str) -> int:
    return int((evidence.get("thresholds") or {}).get(name, 0))


def _warn_timeouts(reached: int, limit: int, evidence: Evidence) -> tuple[str, str, str]:
    days = _days(evidence)
    on = f"On {day(days[-1]['day'])} (UTC)" if days else "In one UTC day"
    return (
        f"{reached:,} of {limit:,} timeouts today",
        f"{on} {counted(reached, 'request')} got no response in time.",
        f"At {counted(limit, 'timeout')} in one UTC day the app is switched off.",
    )


def _warn_errors(reached: int, limit: int, _: Evidence) -> tuple[str, str, str]:
    return (
        f"{reached:,} of {limit:,} days with errors only",
        f"For {counted(reached, 'day')} in a row (UTC) requests ended in errors and not one was delivered.",
        f"After {counted(limit, 'day')} like that in a row the app is switched off.",
    )


def _warn_pause(reached: int, limit: int, _: Evidence) -> tuple[str, str, str]:
    return (
        f"paused for {reached:,} of {limit:,} hours",
        f"Its deliveries have been paused for {counted(reached, 'hour')}, and no trial delivery succeeded.",
        f"After {counted(limit, 'hour')} the app is switched off.",
    )
