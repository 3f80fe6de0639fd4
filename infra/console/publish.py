"""Publishing issue events to the stack's queue: all are valid, or none is sent."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from bellhop.events import IssueEvent, MalformedEventError, parse
from bellhop.queues import OutgoingMessage, Queue
from infra.console.errors import ConsoleError

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


def read(text: str) -> list[tuple[str, IssueEvent]]:
    """The events in `text`, each with its own text: one JSON object, an array of them, or JSON lines.

    Raises:
        ConsoleError: with every event that is malformed: which, its field, the reason.
    """
    events, problems = [], []
    for place, document in _split(text):
        try:
            events.append((document, parse(document)))
        except MalformedEventError as error:
            problems.append(f"{place}{error}")
    if problems:
        raise ConsoleError(*problems)
    if not events:
        raise ConsoleError("there is no event in it; see functions/bellhop/schema/issue-event.json")
    return events


def send(
    events: Sequence[tuple[str, IssueEvent]], sqs: "SQSClient", url: str, backoff: Callable[[int], None]
) -> None:
    """Send the events, each grouped by its organisation.

    Raises:
        ConsoleError: SQS did not take some of them; the others are sent.
    """
    messages = [OutgoingMessage(text, event.organization_id) for text, event in events]
    left = Queue(sqs, url).send_all(messages, backoff)
    if left:
        names = ", ".join(events[position][1].event_id for position in sorted(left))
        raise ConsoleError(f"SQS did not take {len(left)} of {len(events)} events: publish {names} again")


def _split(text: str) -> Iterator[tuple[str, str]]:
    """Each event's text after where it stands; what is not JSON at all goes on as it is, for the parser."""
    if not text.strip():
        return
    document = _json(text)
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if isinstance(document, list):
        for number, item in enumerate(document):
            yield f"event [{number}]: ", json.dumps(item, ensure_ascii=False)
    elif document is None and len(lines) > 1 and isinstance(_json(lines[0][1]), dict):
        for number, line in lines:
            yield f"line {number}: ", line
    else:
        yield "", text


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
