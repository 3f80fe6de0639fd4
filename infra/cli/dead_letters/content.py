"""What a dead letter is, why it is one, and whether it may go back to its work queue. Pure."""

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bellhop import deliveries, events
from bellhop.deliveries import Delivery, Retry
from bellhop.events import MalformedEventError
from bellhop.newer import UnknownKindError
from health import messages
from notify import continuation
from notify.continuation import Cursor

ISSUE_EVENTS, DELIVERIES, RETRIES = "IssueEvents", "Deliveries", "Retries"
SCHEDULES, TRANSITIONS = "Schedules", "Transitions"

# What notify, EventBridge and its Scheduler write beside a dead letter.
FIELD, REASON, ERROR_CODE, ERROR_MESSAGE = "field", "reason", "ERROR_CODE", "ERROR_MESSAGE"

_FUNCTIONS = {ISSUE_EVENTS: "notify", TRANSITIONS: "health"}
_STREAM_POINTER = "DDBStreamBatchInfo"
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, RecursionError, zlib.error)
_SHOWN = (
    *("organization_id", "app_id", "event_id", "event", "delivery_id", "next_attempt"),
    *("transition_id", "job_id", "kind"),
)


@dataclass(frozen=True, slots=True)
class Content:
    """What a dead letter is: `kind` in words, the `names` in it, and the `reason` why it is one.

    `obstacle`: why it must not be sent back; None if it may be. `body`: a delivery's own body, which is compressed
    in the message.
    """

    kind: str
    reason: str
    names: Mapping[str, str] = field(default_factory=dict)
    obstacle: str | None = None
    body: str | None = None


def describe(queue: str, body: str, given: Mapping[str, str]) -> Content:
    """Describe a message of the dead-letter queue of `queue`, such as RETRIES; `given`: its attributes."""
    reason = _reason(queue, given)
    try:
        if queue == ISSUE_EVENTS:
            return _event(body, given, reason)
        return _transition(body, reason) if queue == TRANSITIONS else _delivery(body, reason)
    except UnknownKindError as unknown:
        return Content("message of a newer version", f"{unknown}; {reason}")
    except _UNREADABLE:
        return Content("unreadable", reason, obstacle="nothing can read it, so it would come straight back")


def attributes(message: Mapping[str, Any]) -> dict[str, str]:
    """The attributes of a message that are text, as SQS hands it out."""
    given = message.get("MessageAttributes", {})
    return {name: value["StringValue"] for name, value in given.items() if "StringValue" in value}


def outgoing_attributes(queue: str, given: Mapping[str, str], sent_at: float) -> dict[str, str]:
    """The attributes with which a message goes back: those of events, without what only a dead letter has.

    An event takes with it when it was published, `sent_at` in Unix seconds: the webhook's body may have that time,
    and some installations may have got the webhook already.
    """
    if queue != ISSUE_EVENTS:
        return {}
    own = {name: text for name, text in given.items() if name not in {FIELD, REASON}}
    return continuation.encode(Cursor(published_at=sent_at)) | own


def _reason(queue: str, given: Mapping[str, str]) -> str:
    if REASON in given:
        return f"{given.get(FIELD, '')}: {given[REASON]}".removeprefix(": ")
    told = [given[name] for name in (ERROR_CODE, ERROR_MESSAGE) if name in given]
    return ": ".join(told) or f"it failed ten times; {_FUNCTIONS.get(queue, 'deliver')}'s log says why"


def _event(body: str, given: Mapping[str, str], reason: str) -> Content:
    try:
        event = events.parse(body)
    except MalformedEventError as malformed:
        obstacle = "it is malformed, so it would come straight back: publish it corrected"
        told = reason if REASON in given else f"{malformed.field}: {malformed.reason}"
        return Content("malformed event", told, _names(malformed.names), obstacle)
    cursor = continuation.decode({name: {"stringValue": text} for name, text in given.items()})
    kind = "rest of an event" if cursor and (cursor.after or cursor.finished) else "event"
    names = {"organization_id": event.organization_id, "event_id": event.event_id, "event": event.name}
    return Content(kind, reason, names)


def _delivery(body: str, reason: str) -> Content:
    message = deliveries.decode(body)
    names = _names({name: getattr(message, name, None) for name in _SHOWN})
    if isinstance(message, Delivery):
        kind = "ping" if message.ping else "first attempt"
        return Content(kind, reason, names, body=message.body.decode("utf-8", "replace"))
    return Content("retry" if isinstance(message, Retry) else "trial", reason, names)


def _transition(body: str, reason: str) -> Content:
    values = json.loads(body)
    if _STREAM_POINTER in values:
        condition = values.get("requestContext", {}).get("condition", "review failed")
        obstacle = "it only points to the Outcomes stream: delete it; the app's next failure wakes health"
        return Content("pointer to the stream", str(condition), obstacle=obstacle)
    message = messages.decode(body)
    kind = values.get("kind", "mail event").replace("_", " ")
    return Content(kind, reason, _names({name: getattr(message, name, None) for name in _SHOWN}))


def _names(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items() if value}
