"""bellhop publish: put issue events on the queue. All are valid, or none is sent."""

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any

import typer
from rich.console import Console

from bellhop.attempts import DELIVERED
from bellhop.client import Outcome, Publisher
from bellhop.clock import utc_now
from bellhop.events import IssueEvent
from bellhop.text import printable
from health.mail.wording import counted
from infra.cli import arrivals, destinations, errors, events_file, files, stack, terminal
from infra.cli.arrivals import Arrival
from infra.cli.attempt_text import result_text
from infra.cli.destinations import Outlook, Skip
from infra.cli.errors import INTERRUPTED, CommandError
from infra.cli.events_file import FileEvent, MalformedFileError
from infra.cli.progress import ProgressLines
from infra.cli.terminal import line, table
from infra.cli.text import duration

LONGEST_WAIT = timedelta(hours=1)
ROWS = 20  # events that are listed; of more, their number
APPS = 3  # whose logs are named
SKIPPED = 5  # apps that are named of those that an event skips; of more, their number by reason
UNSEEN = "not seen yet"


@dataclass
class Sent:
    """Which of the events are on the queue."""

    total: int
    outcomes: dict[int, Outcome] = field(default_factory=dict)

    @property
    def number(self) -> int:
        """How many are sent."""
        return sum(outcome.sent for outcome in self.outcomes.values())

    @property
    def first_unsent(self) -> int:
        """How many are sent before the first that is not."""
        unsent = (n for n in range(self.total) if n not in self.outcomes or not self.outcomes[n].sent)
        return next(unsent, self.total)


def run(stack_name: str, file: str, *, wait: str | None, skip: int, dry_run: bool, as_json: bool) -> None:
    """Check every event, warn of those that reach nobody, send them all, and watch them if asked to."""
    longest = terminal.read_duration("--wait", wait, LONGEST_WAIT) if wait else None
    every = _read(file, as_json=as_json)
    events = every[skip:]
    if not events:
        raise CommandError(f"--skip {skip} leaves nothing of {counted(len(every), 'event')} to send")
    found = stack.find(stack_name)
    connection = stack.bind(found)
    published = [each.event for each in events]
    outlook = destinations.look(published, connection if found.drops_duplicates else None)
    for warning in destinations.warnings(published, outlook, found):
        errors.say(f"warning: {printable(warning)}")
    if dry_run:
        if as_json:
            terminal.print_json(_documents(published, outlook, {}))
        else:
            _print_outlook(published, outlook, terminal.console())
        return
    since = utc_now()
    publisher = Publisher(found.outputs[stack.EVENTS_QUEUE], stack.client("sqs"))
    send(events, publisher, found.command(f"publish {file}"), skip)
    seen, whole = _watch(outlook, since, longest) if longest else ({}, True)
    if as_json:
        terminal.print_json(_documents(published, outlook, seen) if longest else list(map(_names, published)))
    else:
        console = terminal.console()
        if longest:
            _print_arrivals(published, outlook, seen, utc_now(), console)
        else:
            _print(published, console)
        commands = _next(published, outlook, seen)
        hint = f" {found.next(*commands)}" if commands else ""
        line(console, f"{len(published):,} published.{hint}", "bold")
    if not whole:
        errors.say("Interrupted. What is published goes on without this command.")
        raise typer.Exit(INTERRUPTED)


def _read(file: str, *, as_json: bool) -> list[FileEvent]:
    try:
        return events_file.read(files.read_text(file))
    except MalformedFileError as refused:
        if as_json:
            terminal.print_json({"malformed": [each.document() for each in refused.malformed]})
        raise


def send(
    events: Sequence[FileEvent],
    publisher: Publisher,
    command: str,
    skip: int = 0,
    progress: ProgressLines | None = None,
) -> None:
    """Send the events, and say how far it is when that takes longer than a second.

    Raises:
        CommandError: SQS did not take some of them; it says how many are sent, and how to go on.
        Exit: the operator interrupted it, and was told the same.
    """
    sent, progress = Sent(len(events)), progress or ProgressLines()
    try:
        for outcome in publisher.outcomes([each.text for each in events]):
            sent.outcomes[outcome.position] = outcome
            progress.say(f"{sent.number:,} of {sent.total:,} sent")
    except KeyboardInterrupt:
        errors.say(f"Interrupted: at least {_go_on(sent, command, skip)}")
        raise typer.Exit(INTERRUPTED) from None
    failed = [outcome for outcome in sent.outcomes.values() if not outcome.sent]
    if failed:
        cause = failed[0].cause
        reason = (
            cause and errors.explain(cause)
        ) or f"SQS did not take event {failed[0].event_id}: {failed[0].reason}"
        raise CommandError(reason, _go_on(sent, command, skip))


def _go_on(sent: Sent, command: str, skip: int) -> str:
    """What to type after a part was sent. To send an event twice does no harm: its webhooks have the same id."""
    first = skip + sent.first_unsent
    options = f" --skip {first}" if first else ""
    return f"{sent.number:,} of {counted(sent.total, 'event')} sent; go on with: {command}{options}"


def _watch(outlook: Outlook, since: datetime, longest: timedelta) -> tuple[dict[str, Arrival], bool]:
    """What became of the deliveries, as far as it was seen; and whether nobody interrupted the waiting."""
    seen, seconds = dict[str, Arrival](), longest.total_seconds()
    try:
        for look in arrivals.watch(outlook.destinations, since, seconds, utc_now, time.sleep):
            seen = look
    except KeyboardInterrupt:
        return seen, False
    return seen, True


def _next(events: Sequence[IssueEvent], outlook: Outlook, seen: Mapping[str, Arrival]) -> list[str]:
    """What to type to see what became of the events: of several, the logs of apps that may lack some."""
    if len(events) == 1:
        return [f"event {events[0].organization_id} {events[0].event_id}"]
    waits = {each.app_id for each in outlook.destinations if not _is_delivered(seen.get(each.delivery_id))}
    return [f"log {app_id}" for app_id in sorted(waits)[:APPS] or outlook.apps[:1]]


def _is_delivered(arrival: Arrival | None) -> bool:
    return arrival is not None and arrival.state == DELIVERED


def _names(event: IssueEvent) -> dict[str, str]:
    return {"event_id": event.event_id, "organization_id": event.organization_id, "event": event.name}


def _documents(events: Sequence[IssueEvent], outlook: Outlook, seen: dict[str, Arrival]) -> list[dict[str, Any]]:
    documents: list[dict[str, Any]] = [
        _names(event) | {"deliveries": [], "skipped": {}, "skipped_apps": []} for event in events
    ]
    for each in outlook.destinations:
        arrival = seen.get(each.delivery_id)
        documents[each.position]["deliveries"].append(
            {
                "app_id": each.app_id,
                "delivery_id": each.delivery_id,
                "transformed": json.loads(each.transformed) if each.transformed else None,
                "state": arrival.state if arrival else None,
                "result": arrival.result if arrival else None,
                "status": arrival.status if arrival else None,
                "due": arrival.due if arrival else None,
            }
        )
    for position, skips in outlook.skips.items():
        documents[position]["skipped"] = dict(Counter(skip.reason for skip in skips))
        documents[position]["skipped_apps"] = [asdict(skip) for skip in skips if skip.app_id]
    return documents


def _print(events: Sequence[IssueEvent], console: Console) -> None:
    rows = [(event.event_id, event.name, event.organization_id) for event in events[:ROWS]]
    table(console, ("event id", "event", "organisation"), rows)
    if len(events) > ROWS:
        line(console, f"... and {len(events) - ROWS:,} more")


def _print_outlook(events: Sequence[IssueEvent], outlook: Outlook, console: Console) -> None:
    each_once = Counter(app_id for app_id, _ in {(one.app_id, one.position) for one in outlook.destinations})
    deliveries = Counter(one.app_id for one in outlook.destinations)
    rows = [(app_id, f"{each_once[app_id]:,}", f"{deliveries[app_id]:,}") for app_id in outlook.apps]
    table(console, ("app", "events", "deliveries"), rows)
    for app_id, (position, body) in sorted(outlook.transformed.items()):
        line(console, f"{app_id} would get of {events[position].event_id}: {body.decode()}", indent=4)
    least = "At least " if outlook.unknown else ""
    reached = f"{len(outlook.reached):,} of {counted(len(events), 'event')} would reach an app"
    line(console, f"{least}{reached}. Nothing was sent.", "bold")


def _print_arrivals(
    events: Sequence[IssueEvent], outlook: Outlook, seen: dict[str, Arrival], now: datetime, console: Console
) -> None:
    rows: list[tuple[int, tuple[str, str, str, str]]] = []
    for each in outlook.destinations:
        event = events[each.position]
        became = _text(seen.get(each.delivery_id), now)
        rows.append((each.position, (event.event_id, event.name, each.app_id, became)))
    for position, skips in outlook.skips.items():
        event = events[position]
        rows += [(position, (event.event_id, event.name, *cells)) for cells in _skipped(skips)]
    for position, event in enumerate(events):
        if event.organization_id in outlook.unknown:
            rows.append((position, (event.event_id, event.name, "", "not looked up")))
    table(console, ("event id", "event", "app", "became"), [row for _, row in sorted(rows, key=itemgetter(0))])


def _skipped(skips: Sequence[Skip]) -> Iterator[tuple[str, str]]:
    """The apps that an event skips, each with why."""
    ordered = sorted(skips, key=lambda skip: (skip.app_id, skip.reason))
    for skip in ordered[:SKIPPED]:
        yield skip.app_id, f"skipped: {skip.reason}"
    more = Counter(skip.reason for skip in ordered[SKIPPED:])
    if more:
        reasons = ", ".join(f"{reason} ({number:,})" for reason, number in sorted(more.items()))
        yield f"and {more.total():,} more", f"skipped: {reasons}"


def _text(arrival: Arrival | None, now: datetime) -> str:
    if arrival is None:
        return UNSEEN
    after = f" after {result_text(arrival.result, arrival.status)}" if arrival.result else ""
    due = f", next attempt in {duration(max(0.0, arrival.due - now.timestamp()))}" if arrival.due else ""
    return f"{arrival.state}{after}{due}"
