"""bellhop publish: put issue events on the queue. All are valid, or none is sent."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from rich.console import Console

from bellhop.backoff import Backoff
from bellhop.events import IssueEvent, MalformedEventError, parse
from bellhop.queues import OutgoingMessage, Queue
from infra.cli import files, stack, terminal
from infra.cli.errors import CommandError
from infra.cli.terminal import line, table

_BACKOFF_SECONDS = 0.2


def run(stack_name: str, file: str, *, as_json: bool) -> None:
    """Check every event, then send them all."""
    events = read(files.read_text(file))
    found = stack.find(stack_name)
    send(events, found.queue(stack.EVENTS_QUEUE), Backoff(_BACKOFF_SECONDS))
    published = [event for _, event in events]
    if as_json:
        terminal.print_json(
            [
                {"event_id": event.event_id, "organization_id": event.organization_id, "event": event.name}
                for event in published
            ]
        )
    else:
        _print(published, terminal.console())


def read(text: str) -> list[tuple[str, IssueEvent]]:
    """The events in `text`, each with its own text: one JSON object, an array of them, or JSON lines.

    Raises:
        CommandError: some are malformed; it names each with its field and the reason.
    """
    events, problems = [], []
    for place, document in _split(text):
        try:
            events.append((document, parse(document)))
        except MalformedEventError as error:
            problems.append(f"{place}{error}")
    if problems:
        raise CommandError(*problems)
    if not events:
        raise CommandError("there is no event in it; see functions/bellhop/schema/issue-event.json")
    return events


def send(events: Sequence[tuple[str, IssueEvent]], queue: Queue, backoff: Callable[[int], None]) -> None:
    """Send the events, each in the message group of its organisation.

    Raises:
        CommandError: SQS did not take some of them; the others are sent.
    """
    messages = [OutgoingMessage(text, event.organization_id) for text, event in events]
    unsent = queue.send_all(messages, backoff)
    if unsent:
        ids = ", ".join(events[position][1].event_id for position in sorted(unsent))
        raise CommandError(f"SQS did not take {len(unsent)} of {len(events)} events: publish {ids} again")


def _print(events: Iterable[IssueEvent], console: Console) -> None:
    rows = [(event.event_id, event.name, event.organization_id) for event in events]
    table(console, ("event id", "event", "organisation"), rows)
    line(console, f"{len(rows)} published. Next: bellhop log APP", "bold")


def _split(text: str) -> Iterator[tuple[str, str]]:
    """Where each event stands, and its text. What is not JSON at all is passed on for the parser to refuse."""
    if not text.strip():
        return
    document = _json(text)
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if isinstance(document, list):
        for number, item in enumerate(document):
            yield f"event [{number}]: ", json.dumps(item, ensure_ascii=False)
    elif document is None and len(lines) > 1 and isinstance(_json(lines[0][1]), dict):
        for number, content in lines:
            yield f"line {number}: ", content
    else:
        yield "", text


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
