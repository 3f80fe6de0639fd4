"""bellhop resend: send deliveries once more, whatever became of them."""

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import typer
from rich.console import Console

from bellhop import pings
from bellhop.attempts import KEPT
from bellhop.clock import utc_now
from infra.cli import chosen_apps, stack, terminal
from infra.cli.errors import INTERRUPTED, CommandError, UsageError
from infra.cli.resending import selection
from infra.cli.resending.selection import Candidate, Choice
from infra.cli.resending.sending import RESENT, SKIPPED, Resend, Result
from infra.cli.terminal import line, table
from infra.cli.text import duration
from infra.cli.views import load_app

PROGRESS_SECONDS = 5.0  # between two lines about a resend that goes on

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
    unless_since: str | None
    rate: float | None
    dry_run: bool
    yes: bool


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
    begun = _begun(options, now)
    return [
        Choice(app_id, since, until, outcomes, options.statuses, options.events, begun, within)
        for app_id, within in chosen_apps.choose(options.app_ids, options.organization_id).items()
    ]


def _by_ids(options: Options, now: datetime, kept: timedelta) -> list[Candidate]:
    wanted = list(dict.fromkeys(options.delivery_ids))
    found = selection.by_id(wanted)
    missing = set(wanted) - {each.delivery_id for each in found}
    for app_id in options.app_ids if missing else ():
        found += selection.successes_by_id(load_app(app_id).app_id, missing, now - kept, now)
        missing -= {each.delivery_id for each in found}
    if missing:
        hint = "has no record; if it succeeded at once, name its app with --app"
        where = "is not kept" if options.app_ids else hint
        raise CommandError(
            *(f"delivery {each!r} {where}: bellhop log APP" for each in sorted(missing)),
            "nothing was sent",
        )
    for each in found:
        if each.event == pings.EVENT:
            raise CommandError(f"{each.delivery_id} is a ping: `bellhop ping {each.app_id}` sends another")
    return found


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
    chosen: Sequence[Candidate], options: Options, found: stack.Stack, now: datetime, *, as_json: bool
) -> None:
    if options.dry_run:
        counts = Counts()
        for each in chosen:
            counts.setdefault(each.app_id, Counter())[each.outcome] += 1
        _print_counts(counts, 0, as_json=as_json)
        return
    resend = _resend(options, found, now)
    results = [result for group in resend.run(chosen) for result in group]
    if as_json:
        terminal.print_json({"deliveries": [_document(result) for result in results]})
    else:
        _print_results(results, terminal.console())
    _exit(resend)


def _send_many(
    choices: Sequence[Choice],
    options: Options,
    found: stack.Stack,
    now: datetime,
    kept: timedelta,
    *,
    as_json: bool,
) -> None:
    counts, not_kept = _count(choices, now, kept)
    if options.dry_run or not counts:
        _print_counts(counts, not_kept, as_json=as_json)
        return
    resend, total = _resend(options, found, now), _sum(counts).total()
    again = _command(choices, options, now)
    what = f"{_summary(_sum(counts))} of {_apps_text(counts)}"
    if not options.yes:
        question = f"Resend {what}, {resend.rate:g} a second?"
        refusal = f"to resend {what} here, add --yes; --dry-run only counts"
        terminal.confirm(question, refusal, as_json=as_json)
    typer.echo(f"If this is interrupted, go on with: {again}", err=True)
    try:
        _follow(resend, choices, total)
    except KeyboardInterrupt:
        typer.echo(f"{resend.counts[RESENT]:,} of {total:,} resent. Go on with: {again}", err=True)
        raise typer.Exit(INTERRUPTED) from None
    if as_json:
        terminal.print_json({"app_ids": list(counts), "counts": dict(resend.counts)})
    else:
        _print_outcomes(resend.counts, terminal.console())
        line(terminal.console(), f"Next: bellhop log {next(iter(counts))}")
    _exit(resend)


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


def _resend(options: Options, found: stack.Stack, now: datetime) -> Resend:
    rate = options.rate or found.replay_per_second
    return Resend(found.queue(stack.RETRIES_QUEUE), rate, utc_now, _begun(options, now))


def _begun(options: Options, now: datetime) -> datetime | None:
    """When the resend began that this one goes on with."""
    given = options.unless_since
    return terminal.read_moment("--unless-resent-since", given, now, KEPT) if given else None


def _follow(resend: Resend, choices: Sequence[Choice], total: int) -> None:
    """Send them, and say now and then how far it is."""
    told = utc_now()
    for _ in resend.run(selection.in_turn(choices)):
        if (utc_now() - told).total_seconds() >= PROGRESS_SECONDS:
            told, done = utc_now(), resend.counts.total()
            left = duration(max(1.0, (total - done) / resend.rate))
            typer.echo(f"{done:,} of {total:,}, about {left} left", err=True)


def _command(choices: Sequence[Choice], options: Options, now: datetime) -> str:
    """What goes on with this resend after an interruption; its times are absolute."""
    choice = choices[0]  # all of them differ in their apps only
    words = ["bellhop", "resend"]
    for option, values in (
        ("--app", options.app_ids),
        ("--organization", [options.organization_id] if options.organization_id else ()),
        ("--since", [_iso(choice.since)]),
        ("--until", [_iso(choice.until)]),
        ("--outcome", options.outcomes),
        ("--status", choice.statuses),
        ("--name", choice.events),
    ):
        for value in values:
            words += [option, str(value)]
    words += ["--rate", f"{options.rate:g}"] if options.rate else []
    return shlex.join([*words, "--unless-resent-since", _iso(choice.begun or now)])


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _exit(resend: Resend) -> None:
    if resend.counts.total() > resend.counts[RESENT] + resend.counts[SKIPPED]:
        raise typer.Exit(1)


# ---- Printing


def _document(result: Result) -> dict[str, Any]:
    found, retry = result.found, result.retry
    return {
        "delivery_id": found.delivery_id,
        "app_id": found.app_id,
        "outcome_before": found.outcome,
        "result": result.outcome,
        "next_attempt": retry.next_attempt if retry else None,
    }


def _print_results(results: Iterable[Result], console: Console) -> None:
    for result in results:
        found = result.found
        if result.retry:
            text = f"attempt {result.retry.next_attempt} is due now; it was {found.outcome}"
            line(console, f"{found.delivery_id} of {found.app_id}: {text}", "bold")
        else:
            line(console, f"{found.delivery_id} of {found.app_id} was not resent: {result.outcome}", "yellow")
    apps = sorted({result.found.app_id for result in results})
    line(console, f"Next: {', '.join(f'bellhop log {app_id}' for app_id in apps)}")


def _print_counts(counts: Counts, not_kept: int, *, as_json: bool) -> None:
    total = _sum(counts)
    if as_json:
        apps = {app_id: dict(of_app) for app_id, of_app in counts.items()}
        terminal.print_json({"counts": dict(total), "apps": apps, "not_kept": not_kept})
        return
    console = terminal.console()
    if len(counts) > 1:
        table(console, ("app", "deliveries"), [(app_id, _summary(of_app)) for app_id, of_app in counts.items()])
    line(console, f"{_summary(total)} would be resent.", "bold")
    if not_kept:
        line(console, f"{not_kept:,} more were delivered so long ago that their bodies are not kept any more.")


def _print_outcomes(counts: Counter[str], console: Console) -> None:
    for outcome, number in counts.most_common():
        if outcome != RESENT:
            line(console, f"{number:,} not resent: {outcome}", "" if outcome == SKIPPED else "yellow")
    line(console, f"{counts[RESENT]:,} resent.", "bold")


def _sum(counts: Counts) -> Counter[str]:
    return sum(counts.values(), Counter[str]())


def _apps_text(counts: Counts) -> str:
    return f"{len(counts)} apps" if len(counts) > 1 else next(iter(counts))


def _summary(counts: Counter[str]) -> str:
    parts = ", ".join(f"{number:,} {outcome}" for outcome, number in counts.most_common())
    total = counts.total()
    return f"{total:,} {'delivery' if total == 1 else 'deliveries'}" + (f" ({parts})" if parts else "")
