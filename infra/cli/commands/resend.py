"""bellhop resend: send deliveries once more, whatever became of them."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import typer
from rich.console import Console

from bellhop import pings
from bellhop.attempts import KEPT
from bellhop.clock import utc_now
from bellhop.registry import DISABLED, App, find
from bellhop.resends import OFF, RESENT, UNREGISTERED
from bellhop.text import printable
from infra.cli import chosen_apps, identity, stack, terminal
from infra.cli.chosen_apps import Within
from infra.cli.commands.resend_job import next_text, print_left
from infra.cli.errors import INTERRUPTED, CommandError, UsageError, say
from infra.cli.progress import ProgressLines
from infra.cli.resending import jobs, parking, selection, sending
from infra.cli.resending.jobs import Listing
from infra.cli.resending.selection import Candidate, Choice
from infra.cli.resending.sending import Sent
from infra.cli.stack import Stack
from infra.cli.terminal import line, table
from infra.cli.text import duration
from infra.cli.views import load_app

PROGRESS_SECONDS = 5.0  # from one line about a list that is being written to the next

Counts = dict[str, Counter[str]]  # by app, how many deliveries of each outcome


@dataclass(frozen=True, slots=True)
class Options:
    """What was typed. `app_ids` with times is a choice of their deliveries; with ids it says where these are."""

    delivery_ids: Sequence[str]
    app_ids: Sequence[str]
    event_id: str | None
    organization_id: str | None
    installation_id: str | None
    since: str | None
    until: str | None
    outcomes: Sequence[str]
    statuses: Sequence[int]
    events: Sequence[str]
    rate: float | None
    dry_run: bool
    yes: bool

    @property
    def chosen(self) -> bool:
        """Whether anything is said of which deliveries are meant."""
        few = self.delivery_ids or self.event_id or self.organization_id or self.installation_id
        many = self.app_ids or self.since or self.until or self.outcomes or self.statuses or self.events
        return bool(few or many)


def run(stack_name: str, options: Options, *, as_json: bool) -> None:
    """Find the deliveries, count them, and send them."""
    now = utc_now()
    _check(options)
    found = stack.find(stack_name)
    stack.bind(found)
    kept = found.keep_delivered
    if options.delivery_ids:
        _send_few(_by_ids(options, now, kept), options, found, now, as_json=as_json)
    elif options.event_id:
        _send_few(_of_event(options, now, kept), options, found, now, as_json=as_json)
    else:
        _send_many(_choices(options, now), options, found, now, kept, as_json=as_json)


# ---- What is meant


def _check(options: Options) -> None:
    chosen = bool(options.delivery_ids) + bool(options.event_id)
    narrowed = options.since or options.until or options.outcomes or options.statuses or options.events
    if chosen > 1 or (chosen and narrowed):
        raise UsageError(
            "one of these at a time: deliveries by their ids, those of an --event, or those of apps by --since, "
            "--until, --outcome, --status and --name"
        )
    if chosen and options.rate is not None:
        raise UsageError("--rate goes with --since: what is named by its ids or an --event is sent at once")
    if options.event_id and not options.organization_id:
        raise UsageError("--event needs --organization: an event's id is unique within its organisation only")
    if options.installation_id and not options.event_id:
        raise UsageError("--installation needs --event: it chooses among those who got an event")
    if not chosen and not ((options.app_ids or options.organization_id) and options.since):
        raise UsageError("name deliveries by their ids, an --event, or --app or --organization with --since")


def _choices(options: Options, now: datetime) -> list[Choice]:
    """What is asked for of each app."""
    since = terminal.read_moment("--since", str(options.since), now, KEPT)
    until = terminal.read_moment("--until", options.until, now, KEPT) if options.until else now
    if since >= until:
        raise UsageError("--since is not before --until: there is no time between them")
    outcomes = options.outcomes or sorted(selection.BY_DEFAULT)
    return [
        Choice(app_id, since, until, outcomes, options.statuses, options.events, within)
        for app_id, within in _that_are_on(chosen_apps.choose(options.app_ids, options.organization_id)).items()
    ]


def _that_are_on(apps: Mapping[str, Within | None]) -> dict[str, Within | None]:
    """Those of the apps to which something is sent; of the others it is said."""
    off = _off(apps)
    if len(off) == len(apps):
        raise CommandError(*off.values())
    for each in off.values():
        say(each)
    return {app_id: within for app_id, within in apps.items() if app_id not in off}


def _off(app_ids: Collection[str]) -> dict[str, str]:
    """Of those of these apps to which nothing is sent, a sentence that says why."""
    found = {app_id: find(App, app_id, consistent=True) for app_id in app_ids}
    return {
        app_id: f"nothing of {app_id} is resent: {OFF if app else UNREGISTERED}"
        for app_id, app in found.items()
        if app is None or app.state == DISABLED
    }


def _by_ids(options: Options, now: datetime, kept: timedelta) -> list[Candidate]:
    wanted = list(dict.fromkeys(options.delivery_ids))
    found = selection.by_id(wanted)
    missing = set(wanted) - {each.delivery_id for each in found}
    for app_id in options.app_ids if missing else ():
        found += selection.successes_by_id(load_app(app_id).app_id, missing, now - kept, now)
        missing -= {each.delivery_id for each in found}
    if missing:
        raise CommandError(*(_not_found(each, options.app_ids) for each in sorted(missing)), "nothing was sent")
    for each in found:
        if each.event == pings.EVENT:
            raise CommandError(f"{each.delivery_id} is a ping: `bellhop ping {each.app_id}` sends another")
    return found


def _not_found(delivery_id: str, app_ids: Sequence[str]) -> str:
    if app_ids:
        return f"delivery {delivery_id!r} is not kept: `bellhop log {' '.join(app_ids)}` shows which there are"
    return (
        f"delivery {delivery_id!r} has no record: if it succeeded at the first attempt, name its app, as in "
        f"`bellhop resend {printable(delivery_id)} --app APP`"
    )


def _of_event(options: Options, now: datetime, kept: timedelta) -> list[Candidate]:
    event_id, organization_id = str(options.event_id), str(options.organization_id)
    apps = selection.of_event(organization_id, event_id, options.installation_id)
    wanted = {each: app_id for each, app_id in apps.items() if not options.app_ids or app_id in options.app_ids}
    found = selection.by_id([*wanted])
    missing = set(wanted) - {each.delivery_id for each in found}
    for app_id in sorted({wanted[each] for each in missing}):
        of_app = {each for each in missing if wanted[each] == app_id}
        found += selection.successes_by_id(app_id, of_app, now - kept, now)
    if not found:
        raise CommandError(
            f"no delivery of event {event_id!r} of {organization_id!r} is kept: `bellhop publish` sends it anew"
        )
    return found


# ---- Sending it


def _send_few(
    chosen: Sequence[Candidate], options: Options, found: Stack, now: datetime, *, as_json: bool
) -> None:
    apps = {each.app_id for each in chosen}
    paused = parking.tell(apps, now, as_json=as_json)
    if options.dry_run:
        for reason in _off(apps).values():
            say(reason)
        counts = Counts()
        for each in chosen:
            counts.setdefault(each.app_id, Counter())[each.outcome] += 1
        _print_counts(counts, 0, paused, as_json=as_json)
        return
    results = sending.send(chosen, found.queue(stack.RETRIES_QUEUE), now)
    if as_json:
        documents = [_document(result) for result in results]
        terminal.print_json({"deliveries": documents, "paused_apps": list(paused)})
    else:
        _print_results(results, paused, found, terminal.console())
    if any(result.outcome != RESENT for result in results):
        raise typer.Exit(1)


def _send_many(
    choices: Sequence[Choice],
    options: Options,
    found: Stack,
    now: datetime,
    kept: timedelta,
    *,
    as_json: bool,
) -> None:
    counts, not_kept = _count(choices, now, kept)
    paused = parking.tell(counts, now, as_json=as_json)
    if options.dry_run or not counts:
        _print_counts(counts, not_kept, paused, as_json=as_json)
        return
    rate, what = options.rate or found.replay_per_second, f"{_summary(_sum(counts))} of {_apps_text(counts)}"
    if not options.yes:
        question = f"Resend {what}, {rate:g} a second?"
        refusal = f"to resend {what} here, add --yes; --dry-run only counts"
        terminal.confirm(question, refusal, as_json=as_json)
    listing = _list(choices, _sum(counts).total(), rate)
    if listing.listed:
        jobs.begin(listing, identity.transitions_queue(found))
    if as_json:
        terminal.print_json(_begun_document(listing, counts) | {"paused_apps": list(paused)})
    else:
        _print_begun(listing, found, terminal.console())


def _list(choices: Sequence[Choice], total: int, rate: float) -> Listing:
    """Write the list of what is to be resent, and say now and then how far it is."""
    listing, progress = Listing(jobs.new_id(), rate, utc_now), ProgressLines(PROGRESS_SECONDS)
    try:
        for _ in listing.write(selection.in_turn(choices)):
            progress.say(f"{listing.taken:,} of {total:,} are on the list")
    except KeyboardInterrupt:
        say("Interrupted: nothing was resent, and every delivery is as it was. To begin anew, run it again.")
        raise typer.Exit(INTERRUPTED) from None
    return listing


def _count(choices: Sequence[Choice], now: datetime, kept: timedelta) -> tuple[Counts, int]:
    """How many deliveries are asked for, and of how many more the body is not kept any more."""
    counts, not_kept = Counts(), 0
    for choice in choices:
        for each in selection.by_choice(choice):
            if each.kept is not None and each.at + kept < now:
                not_kept += 1
            else:
                counts.setdefault(choice.app_id, Counter())[each.outcome] += 1
    return counts, not_kept


# ---- Printing


def _document(result: Sent) -> dict[str, Any]:
    found, retry = result.found, result.retry
    return {
        "delivery_id": found.delivery_id,
        "app_id": found.app_id,
        "outcome_before": found.outcome,
        "result": result.outcome,
        "next_attempt": retry.next_attempt if retry else None,
    }


def _begun_document(listing: Listing, counts: Counts) -> dict[str, Any]:
    return {
        "job_id": listing.job_id if listing.listed else None,
        "app_ids": list(counts),
        "resent": listing.listed,
        "left": dict(listing.left),
        "resend_per_second": listing.rate,
    }


def _print_begun(listing: Listing, found: Stack, console: Console) -> None:
    print_left(listing.left, console)
    if not listing.listed:
        line(console, "Nothing is resent.", "bold")
        return
    number = f"{listing.listed:,} {'delivery follows' if listing.listed == 1 else 'deliveries follow'}"
    lasting = duration(max(1.0, listing.listed / listing.rate))
    line(console, f"{number}, the oldest first, {listing.rate:g} a second: about {lasting}.", "bold")
    line(console, "Bellhop sends them; nothing needs to stay open here.")
    line(console, next_text(listing.job_id, found))


def _print_results(results: Sequence[Sent], paused: Collection[str], of: Stack, console: Console) -> None:
    for result in results:
        found = result.found
        if result.retry:
            due = "waits for the end of the pause" if found.app_id in paused else "is due now"
            text = f"attempt {result.retry.next_attempt} {due}; it was {found.outcome}"
            line(console, f"{found.delivery_id} of {found.app_id}: {text}", "bold")
        else:
            line(console, f"{found.delivery_id} of {found.app_id} was not resent: {result.outcome}", "yellow")
    apps = sorted({result.found.app_id for result in results})
    line(console, of.next(*(f"log {app_id}" for app_id in apps)))


def _print_counts(counts: Counts, not_kept: int, paused: Collection[str], *, as_json: bool) -> None:
    total = _sum(counts)
    if as_json:
        apps = {app_id: dict(of_app) for app_id, of_app in counts.items()}
        terminal.print_json(
            {"counts": dict(total), "apps": apps, "not_kept": not_kept, "paused_apps": list(paused)}
        )
        return
    console = terminal.console()
    if len(counts) > 1:
        table(console, ("app", "deliveries"), [(app_id, _summary(of_app)) for app_id, of_app in counts.items()])
    line(console, f"{_summary(total)} would be resent.", "bold")
    if not_kept:
        line(console, f"{not_kept:,} more: delivered so long ago that the body is not kept any more.")


def _sum(counts: Counts) -> Counter[str]:
    return sum(counts.values(), Counter[str]())


def _apps_text(counts: Counts) -> str:
    return f"{len(counts)} apps" if len(counts) > 1 else next(iter(counts))


def _summary(counts: Counter[str]) -> str:
    parts = ", ".join(f"{number:,} {outcome}" for outcome, number in counts.most_common())
    total = counts.total()
    return f"{total:,} {'delivery' if total == 1 else 'deliveries'}" + (f" ({parts})" if parts else "")
