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
from infra.cli import stack, terminal
from infra.cli.errors import INTERRUPTED, CommandError
from infra.cli.resending import selection
from infra.cli.resending.selection import Candidate, Choice
from infra.cli.resending.sending import RESENT, SKIPPED, Resend, Result
from infra.cli.terminal import line
from infra.cli.text import duration
from infra.cli.views import load_app

PROGRESS_SECONDS = 5.0  # between two lines about a resend that goes on


@dataclass(frozen=True, slots=True)
class Options:
    """What was typed. `app_id` with times is a choice of its deliveries; with ids it says where they are."""

    delivery_ids: Sequence[str]
    app_id: str | None
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
    kept = timedelta(days=int(found.parameters["KeepDeliveredDays"]))
    if options.delivery_ids:
        _send_few(_by_ids(options, now, kept), options, found, now, as_json=as_json)
    elif options.event_id:
        _send_few(_of_event(options, now, kept), options, found, now, as_json=as_json)
    else:
        _send_many(_choice(options, now), options, found, now, kept, as_json=as_json)


# ---- What is meant


def _check(options: Options) -> None:
    chosen = bool(options.delivery_ids) + bool(options.event_id)
    narrowed = options.since or options.until or options.outcomes or options.statuses or options.events
    if chosen > 1 or (chosen and narrowed):
        raise CommandError(
            "one of these at a time: deliveries by their ids, those of an --event, or an app's by --since, "
            "--until, --outcome, --status and --name"
        )
    if options.event_id and not options.organization_id:
        raise CommandError("--event needs --organization: an event's id is unique within its organisation only")
    if not chosen and not (options.app_id and options.since):
        raise CommandError("name deliveries by their ids, an --event, or an --app and --since")


def _choice(options: Options, now: datetime) -> Choice:
    app = load_app(str(options.app_id))
    since = terminal.read_moment("--since", str(options.since), now, KEPT)
    until = terminal.read_moment("--until", options.until, now, KEPT) if options.until else now
    if since >= until:
        raise CommandError("--since is not before --until: there is no time between them")
    outcomes = options.outcomes or sorted(selection.BY_DEFAULT)
    begun = _begun(options, now)
    return Choice(app.app_id, since, until, outcomes, options.statuses, options.events, begun)


def _by_ids(options: Options, now: datetime, kept: timedelta) -> list[Candidate]:
    wanted = list(dict.fromkeys(options.delivery_ids))
    found = selection.by_id(wanted)
    missing = set(wanted) - {each.delivery_id for each in found}
    if missing and options.app_id:
        found += selection.successes_by_id(load_app(options.app_id).app_id, missing, now - kept, now)
        missing -= {each.delivery_id for each in found}
    if missing:
        where = "" if options.app_id else "; if it succeeded at once, name its app with --app"
        raise CommandError(
            *(f"no delivery {each!r} is kept{where}: bellhop log APP" for each in sorted(missing)),
            "nothing was sent",
        )
    for each in found:
        if each.event == pings.EVENT:
            raise CommandError(f"{each.delivery_id} is a ping: `bellhop ping {each.app_id}` sends another")
    return found


def _of_event(options: Options, now: datetime, kept: timedelta) -> list[Candidate]:
    event_id, organization_id = str(options.event_id), str(options.organization_id)
    apps = selection.of_event(organization_id, event_id, options.installation_id)
    wanted = {each: app_id for each, app_id in apps.items() if options.app_id in {None, app_id}}
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
        _print_counts(Counter(each.outcome for each in chosen), 0, as_json=as_json)
        return
    resend = _resend(options, found, now)
    results = [result for group in resend.run(chosen) for result in group]
    if as_json:
        terminal.print_json({"deliveries": [_document(result) for result in results]})
    else:
        _print_results(results, terminal.console())
    _exit(resend)


def _send_many(
    choice: Choice, options: Options, found: stack.Stack, now: datetime, kept: timedelta, *, as_json: bool
) -> None:
    counts: Counter[str] = Counter()
    without_body = 0
    for each in selection.by_choice(choice):
        gone = each.kept is not None and each.at + kept < now
        counts.update([] if gone else [each.outcome])
        without_body += gone
    if options.dry_run or not counts:
        _print_counts(counts, without_body, as_json=as_json)
        return
    resend, total = _resend(options, found, now), counts.total()
    again = _command(choice, options, now)
    if not options.yes:
        question = f"Resend {_summary(counts)} of {choice.app_id}, {resend.rate:g} a second?"
        refusal = f"to resend {_summary(counts)} of {choice.app_id} here, add --yes; --dry-run only counts"
        terminal.confirm(question, refusal, as_json=as_json)
    typer.echo(f"If this is interrupted, go on with: {again}", err=True)
    try:
        _follow(resend, choice, total)
    except KeyboardInterrupt:
        typer.echo(f"{resend.counts[RESENT]:,} of {total:,} resent. Go on with: {again}", err=True)
        raise typer.Exit(INTERRUPTED) from None
    if as_json:
        terminal.print_json({"app_id": choice.app_id, "counts": dict(resend.counts)})
    else:
        _print_outcomes(resend.counts, terminal.console())
        line(terminal.console(), f"Next: bellhop log {choice.app_id}")
    _exit(resend)


def _resend(options: Options, found: stack.Stack, now: datetime) -> Resend:
    rate = options.rate or found.replay_per_second
    return Resend(found.queue(stack.RETRIES_QUEUE), rate, utc_now, _begun(options, now))


def _begun(options: Options, now: datetime) -> datetime | None:
    """When the resend began that this one goes on with."""
    given = options.unless_since
    return terminal.read_moment("--unless-resent-since", given, now, KEPT) if given else None


def _follow(resend: Resend, choice: Choice, total: int) -> None:
    """Send them, and say now and then how far it is."""
    told = utc_now()
    for _ in resend.run(selection.by_choice(choice)):
        if (utc_now() - told).total_seconds() >= PROGRESS_SECONDS:
            told, done = utc_now(), resend.counts.total()
            left = duration(max(1.0, (total - done) / resend.rate))
            typer.echo(f"{done:,} of {total:,}, about {left} left", err=True)


def _command(choice: Choice, options: Options, now: datetime) -> str:
    """What goes on with this resend after an interruption; its times are absolute."""
    words = [
        "bellhop",
        "resend",
        "--app",
        choice.app_id,
        "--since",
        _iso(choice.since),
        "--until",
        _iso(choice.until),
    ]
    for option, values in (
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


def _print_counts(counts: Counter[str], without_body: int, *, as_json: bool) -> None:
    if as_json:
        terminal.print_json({"counts": dict(counts), "not_kept": without_body})
        return
    console = terminal.console()
    line(console, f"{_summary(counts)} would be resent.", "bold")
    if without_body:
        line(console, f"{without_body:,} more were delivered so long ago that their bodies are not kept any more.")


def _print_outcomes(counts: Counter[str], console: Console) -> None:
    for outcome, number in counts.most_common():
        if outcome != RESENT:
            line(console, f"{number:,} not resent: {outcome}", "" if outcome == SKIPPED else "yellow")
    line(console, f"{counts[RESENT]:,} resent.", "bold")


def _summary(counts: Counter[str]) -> str:
    parts = ", ".join(f"{number:,} {outcome}" for outcome, number in counts.most_common())
    total = counts.total()
    return f"{total:,} {'delivery' if total == 1 else 'deliveries'}" + (f" ({parts})" if parts else "")
