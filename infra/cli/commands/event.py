"""bellhop event: what became of one event: who got it, who did not and why, and how each delivery stands."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import typer
from rich.console import Console

from bellhop import deliveries
from bellhop.attempts import KEPT
from bellhop.registry import App, Installation, Organization, find
from bellhop.subscription import refusal
from infra.cli import delivered, fan_out_log, stack, story, terminal
from infra.cli.condition import Condition, read_conditions
from infra.cli.dead_letters.queues import dead_letter_queue
from infra.cli.doctor.looking import QUEUE, Deployed
from infra.cli.errors import CommandError
from infra.cli.fan_out_log import FanOutLog
from infra.cli.stack import Stack
from infra.cli.status import queues
from infra.cli.status.queues import DEAD_LETTERS, DeadLetter
from infra.cli.story import Story
from infra.cli.terminal import cell, labelled, line, state, table
from infra.cli.text import utc

AROUND = timedelta(hours=1)  # of what is known of an event's time: where else to look for the rest of it
LOOKED_THROUGH = 100  # messages of each dead-letter queue

NOT_NAMED = "the event was for other installations, or this one was not installed yet"
FILTER_NOT_NAMED = "its filter did not want the event"
TRANSFORM_NOT_NAMED = "its app's transform failed on the event"


@dataclass(frozen=True, slots=True)
class Skipped:
    """An installation that got no delivery, and why: as notify logged it (`by_log`), or as registered now."""

    installation_id: str
    app_id: str
    reason: str
    by_log: bool


@dataclass(frozen=True, slots=True)
class EventView:
    """An event. `unknown`: installations of which neither a delivery nor a reason against one is known."""

    organization_id: str
    event_id: str
    since: datetime
    log: FanOutLog
    stories: Sequence[Story]
    skipped: Sequence[Skipped]
    unknown: Sequence[Installation]
    dead: Sequence[tuple[str, DeadLetter]]
    complete: bool
    apps: Mapping[str, App]
    conditions: Mapping[str, Condition]
    now: datetime

    @property
    def refused(self) -> bool:
        """Whether notify refused it as malformed. One that was published again, corrected, has deliveries."""
        return self.log.malformed and not self.stories

    @property
    def is_unheard_of(self) -> bool:
        """Whether nothing tells that it arrived."""
        return not (self.stories or self.dead or self.log.at or self.log.copies)

    @property
    def name(self) -> str:
        """Its name, such as issue.created; empty where nothing tells it."""
        return self.log.name or next((each.event for each in self.stories), "")


def run(stack_name: str, organization_id: str, event_id: str, *, since: str, as_json: bool) -> None:
    """Read what became of the event, print it."""
    found = stack.find(stack_name)
    stack.bind(found)
    now = datetime.now(UTC)
    begin = terminal.read_moment("--since", since, now, KEPT)
    view = read(Deployed(found, "", stack.client), organization_id, event_id, begin, now)
    if as_json:
        terminal.print_json(document(view))
    else:
        _print(view, found, terminal.console())
    if view.is_unheard_of:
        raise typer.Exit(1)


def read(deployed: Deployed, organization_id: str, event_id: str, since: datetime, now: datetime) -> EventView:
    """What became of an event.

    Raises:
        CommandError: there is no such organisation, and notify logged nothing of the event.
    """
    installed = {each.installation_id: each for each in Installation.query(organization_id)}
    ids = {deliveries.delivery_id(organization_id, event_id, name): name for name in installed}
    stories = story.read([*ids], since) if ids else {}
    began = min((each.began for each in stories.values()), default=None)
    begin, end = (began - AROUND, min(began + AROUND, now)) if began else (since, now)
    if any(each.lacks_success for each in stories.values()):
        begin = min(begin, since)  # the event came before what is known of it
    log = fan_out_log.read(deployed, organization_id, event_id, begin, end + AROUND)
    if log.at is None and not log.copies and find(Organization, organization_id) is None:
        raise CommandError(f"no organisation {organization_id!r}: `bellhop apps` lists those of internal apps")
    if log.at and not began:
        begin, end = log.at - timedelta(minutes=1), min(log.at + AROUND, now)
    # Whom notify named as skipped got nothing, and is not looked for.
    wanted = {
        key: installed[name].app_id for key, name in ids.items() if key not in stories and name not in log.skipped
    }
    at_once = delivered.find(wanted, begin, end)
    for key, row in at_once.rows.items():
        stories[key] = story.of_success(row, organization_id, ids[key])
    apps, conditions_now = read_conditions({each.app_id for each in installed.values()}, now)
    name = log.name or next((each.event for each in stories.values()), "")
    rest = [each for key, each in ((k, installed[n]) for k, n in ids.items()) if key not in stories]
    skipped = list(_skipped(rest, name, log, apps))
    known = {each.installation_id for each in skipped}
    unknown = [each for each in rest if each.installation_id not in known]
    return EventView(
        organization_id,
        event_id,
        begin,
        log,
        sorted(stories.values(), key=lambda each: (each.began, each.app_id)),
        skipped,
        unknown,
        tuple(_dead(deployed, event_id, set(ids))) if unknown or not stories else (),
        at_once.complete,
        apps,
        conditions_now,
        now,
    )


def document(view: EventView) -> dict[str, Any]:
    """The event as JSON."""
    return {
        "organization_id": view.organization_id,
        "event_id": view.event_id,
        "event": view.name or None,
        "fanned_out_at": view.log.at.isoformat() if view.log.at else None,
        "fanned_out_again_at": [at.isoformat(timespec="seconds") for at in view.log.again],
        "deliveries": [
            each.document(view.apps.get(each.app_id), view.conditions.get(each.app_id), view.now)
            for each in view.stories
        ],
        "skipped": [
            {
                "installation_id": each.installation_id,
                "app_id": each.app_id,
                "reason": each.reason,
                "logged": each.by_log,
            }
            for each in view.skipped
        ],
        "reached_nobody": view.log.reached_nobody or None,
        "duplicates": [at.isoformat(timespec="seconds") for at in view.log.copies],
        "filter_faults": dict(view.log.faults),
        "transform_faults": dict(view.log.transform_faults),
        "unknown": [{"installation_id": each.installation_id, "app_id": each.app_id} for each in view.unknown],
        "dead_letters": [{"queue": queue, **letter.document()} for queue, letter in view.dead],
        "looked_since": view.since.isoformat(timespec="seconds"),
        "complete": view.complete,
    }


def _skipped(
    rest: Iterable[Installation], name: str, log: FanOutLog, apps: Mapping[str, App]
) -> Iterator[Skipped]:
    for each in rest:
        key = each.installation_id
        if key in log.skipped:
            yield Skipped(key, each.app_id, log.skipped[key], by_log=True)
        elif key not in log.enqueued and name:
            # Which project the event had is not known here, so that this may say nothing.
            only = each.projects[0] if each.projects else None
            app = apps.get(each.app_id)
            reason = refusal(name, only, each, app)
            if reason or log.at:
                yield Skipped(key, each.app_id, reason or _not_named(each, app), by_log=not reason)


def _not_named(installation: Installation, app: App | None) -> str:
    """Why notify may not have named an installation: it names some of those for which there is the same reason."""
    possible = [FILTER_NOT_NAMED] if installation.filter else []
    possible += [TRANSFORM_NOT_NAMED] if app and app.transform else []
    return ", or ".join([*possible, NOT_NAMED])


def _dead(deployed: Deployed, event_id: str, delivery_ids: set[str]) -> Iterator[tuple[str, DeadLetter]]:
    """The dead letters about the event or its deliveries, of the first of each queue. They stay there, visible."""
    sqs = deployed.client("sqs")
    urls = {name: url for name, url in deployed.physical_ids(QUEUE).items() if name.endswith(DEAD_LETTERS)}
    for depth in queues.read(sqs, urls, {}):
        if not depth.waiting:
            continue
        queue = dead_letter_queue(deployed.stack, sqs, depth.name.removesuffix(DEAD_LETTERS), urls[depth.name])
        with queue.reading(LOOKED_THROUGH) as reading:
            for letter in (each for page in reading.pages() for each in page):
                if any(text in letter.body for text in (f'"{event_id}"', *delivery_ids)):
                    yield depth.name, DeadLetter(letter.body, letter.content)


def _print(view: EventView, found: Stack, console: Console) -> None:
    became = "refused as malformed" if view.refused else "fanned out"
    when = f", {became} {utc(view.log.at)} UTC" if view.log.at else ""
    line(
        console,
        f"{view.event_id} of {view.organization_id}: {view.name or 'an event of unknown name'}{when}",
        "bold",
    )
    for each in view.stories:
        _print_story(each, view, found, console)
    rows = [(each.installation_id, each.app_id, _reason(each)) for each in view.skipped]
    if rows:
        line(console, f"Skipped ({len(rows)}):", "bold")
    table(console, ("installation", "app", "because"), rows)
    for text in _repeats(view, found):
        line(console, text)
    for text in _faults(view.log):
        line(console, text, "yellow")
    for queue, letter in view.dead:
        line(console, f"Dead letter in {queue}: {letter.content.kind}: {letter.content.reason}", "red")
    for text in _not_known(view):
        line(console, text, "yellow")
    number = len(view.stories)
    line(console, f"{number} deliver{'y' if number == 1 else 'ies'}, {len(rows)} skipped.", "bold")
    if view.stories:
        example = view.stories[-1]
        line(console, found.next(f"delivery {example.delivery_id} --app {example.app_id}"))


def _repeats(view: EventView, found: Stack) -> Iterator[str]:
    if view.log.again:
        log = found.command("log APP")
        yield f"Fanned out again: {_times(view.log.again)}. Of each delivery one story is shown; all: {log}"
    if view.log.copies:
        again = found.command(f"resend --event {view.event_id} --organization {view.organization_id}")
        times = _times(view.log.copies)
        yield f"Published again, and dropped as a duplicate: {times}. To send its webhooks again: {again}"


def _times(times: Sequence[datetime]) -> str:
    return ", ".join(f"{utc(at)} UTC" for at in times)


def _print_story(each: Story, view: EventView, found: Stack, console: Console) -> None:
    console.print(
        cell(f"{each.app_id}  "), state(each.state), cell(f"  {each.delivery_id}"), sep="", soft_wrap=True
    )
    if each.lacks_success:
        line(console, f"    {story.NOT_FOUND}", "yellow", indent=8)
    for row in each.attempts:
        line(console, f"    {story.attempt_text(row)}", indent=8)
    text = story.next_text(each, view.apps.get(each.app_id), view.conditions.get(each.app_id), view.now)
    if text:
        labelled(console, "next", found.naming(text))


def _faults(log: FanOutLog) -> Iterator[str]:
    if log.reached_nobody:
        yield f"It reached nobody: {log.reached_nobody}."
    for name, fault in log.faults.items():
        yield f"The filter of {name} could not be evaluated, so it kept nothing back: {fault}"
    for name, fault in log.transform_faults.items():
        yield f"The transform failed for {name}, so it did not get the event: {fault}"
    if log.transform_faults:
        yield "Once a transform is corrected, publish the event again with that installation_id."


def _reason(each: Skipped) -> str:
    return each.reason if each.by_log else f"{each.reason}, as it is registered now"


def _names(installations: Iterable[Installation]) -> str:
    return ", ".join(f"{each.installation_id} ({each.app_id})" for each in installations)


def _not_known(view: EventView) -> Iterator[str]:
    since = f"{utc(view.since)} UTC"
    waits = [each for each in view.unknown if each.installation_id in view.log.enqueued]
    others = [each for each in view.unknown if each.installation_id not in view.log.enqueued]
    if waits and not view.refused:
        yield f"Enqueued, and neither failed nor delivered yet, or its log has expired: {_names(waits)}."
    if others and not view.refused:
        yield (
            f"Not known of {_names(others)}: nothing failed or was parked in the last {KEPT.days} days, and "
            f"nothing was delivered since {since}. Further back: --since 7d."
        )
    if not view.complete:
        yield f"The delivery log since {since} was not read to its end: name a later time with --since."
    if view.log.unread:
        yield f"notify's log was not read: {view.log.unread}."
    if view.is_unheard_of:
        yield (
            f"Nothing tells that this event arrived since {since}: it was never published, is still in its queue, "
            f"or is older. What failed is kept {KEPT.days} days, functions' logs as LogRetentionDays says."
        )
