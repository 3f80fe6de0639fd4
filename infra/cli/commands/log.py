"""bellhop log: the attempts of apps, also as they are made.

A terminal gets a row for each attempt, or a few lines where rows would not fit.
"""

import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import typer
from rich.console import Console
from rich.text import Text

from bellhop.attempts import KEPT
from bellhop.registry import App
from bellhop.text import cut, printable
from health import transitions
from health.mail.wording import counted
from infra.cli import body_search, chosen_apps, stack, terminal
from infra.cli.attempt_log import Log, Reading
from infra.cli.attempt_text import number_text, result_text
from infra.cli.body_search import Search
from infra.cli.condition import Condition, off_text, read_conditions
from infra.cli.delivered import AHEAD
from infra.cli.entries import Entry, Wanted
from infra.cli.errors import UsageError
from infra.cli.following import MOST, Following, WithBodies, looks
from infra.cli.registry.events import unknown_name
from infra.cli.stack import Stack
from infra.cli.terminal import cell, line, named, state, table
from infra.cli.text import duration, utc

LIMIT = 10_000  # entries at most
WIDE = 170  # columns that a row needs with both ids in one piece
EVERY = 2.0  # seconds between two looks of --follow

_MORE = 500  # attempts to ask for when fewer were cut off
_RESPONSE = 100  # characters of a response that are shown
_FURTHER = {"1d": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30)}


@dataclass(frozen=True, slots=True)
class Asked:
    """What an operator asked for, as typed."""

    app_ids: Sequence[str]
    organization_id: str | None
    limit: int
    since: str
    until: str | None
    wanted: Wanted
    contains: str | None = None

    @property
    def command(self) -> str:
        """The command without `bellhop`, its times and its limit."""
        named = {"organization": self.organization_id, "event": self.wanted.event, "status": self.wanted.status}
        named |= {"error": self.wanted.error, "contains": self.contains}
        options = "".join(_option(name, text) for name, text in named.items())
        failures = " --failures" if self.wanted.failures else ""
        return f"{' '.join(['log', *self.app_ids])}{failures}{options}"


def run(stack_name: str, asked: Asked, *, follow: bool, as_json: bool) -> None:
    """Read the log, print it; with `follow` also what comes, until Ctrl-C."""
    now = datetime.now(UTC)
    since = terminal.read_moment("--since", asked.since, now, KEPT)
    until = terminal.read_moment("--until", asked.until, now, KEPT) if asked.until else now + AHEAD
    if not asked.app_ids and not asked.organization_id:
        raise UsageError("name an app, several, or an --organization: `bellhop apps` lists the apps")
    if asked.wanted.event and (wrong := unknown_name(asked.wanted.event)):
        raise UsageError(f"--event {wrong}")
    found = stack.find(stack_name)
    stack.bind(found)
    apps = chosen_apps.choose(asked.app_ids, asked.organization_id)
    search = Search(asked.contains, now - found.keep_delivered) if asked.contains is not None else None
    if follow:
        following = Following(apps, since, asked.wanted, MOST if search else asked.limit)
        entries = _searched(following, search, found) if search else looks(following, EVERY)
        _follow(entries, search, several=len(apps) > 1, as_json=as_json)
        return
    log = Reading(since, until, asked.limit, asked.wanted, search, body_search.MOST).of_apps(apps)
    known, conditions = read_conditions(apps, now)
    if as_json:
        terminal.print_json(_names(apps, conditions) | document(log, search))
        return
    console = terminal.console()
    print_log(log, asked, search, found, console, several=len(apps) > 1)
    for app_id in apps:
        if app_id in known and app_id in conditions:
            _print_condition(known[app_id], conditions[app_id], console)


def document(log: Log, search: Search | None) -> dict[str, Any]:
    """The log as JSON."""
    searched = {"search": search.document() | {"reached": log.reached.isoformat()}} if search else {}
    return {
        "since": log.since.isoformat(timespec="seconds"),
        "complete": log.complete,
        **searched,
        "attempts": [entry.document() for entry in log.entries],
    }


def _names(apps: Collection[str], conditions: Mapping[str, Condition]) -> dict[str, Any]:
    circuits = {each: conditions[each].document() if each in conditions else None for each in apps}
    if len(circuits) == 1:
        [(app_id, circuit)] = circuits.items()
        return {"app_id": app_id, "circuit": circuit}
    return {"app_ids": list(circuits), "circuits": circuits}


def print_log(
    log: Log, asked: Asked, search: Search | None, found: Stack, console: Console, *, several: bool
) -> None:
    """Print the attempts and how far back they reach."""
    now = datetime.now(UTC)
    if console.width >= WIDE:
        _print_rows(log.entries, now, console, several=several)
    else:
        _print_paragraphs(log.entries, now, console, several=several)
    number = len(log.entries)
    until = f" until {asked.until}" if asked.until else ""
    made = counted(sum(entry.is_made for entry in log.entries), "attempt")
    attempts = f"{made} since {utc(log.reached)} UTC{until}"
    stopped = log.reached > log.since and number < asked.limit
    whole = log.complete or stopped
    line(console, f"{attempts}." if whole else f"The newest {attempts}; there are more.", "bold")
    if search:
        line(console, f"Bodies and responses: {search.counts()}.")
    again = found.command(asked.command)
    if stopped:
        reached = log.reached.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")
        line(console, f"Further back: {again}{_option('since', asked.since)} --until {reached}")
    elif not log.complete:
        more = min(max(10 * number, _MORE), LIMIT)
        times = f"{_option('since', asked.since)}{_option('until', asked.until)}"
        line(console, f"Others: {again}{times} --limit {more}")
    elif not log.entries and (further := _further_back(log, now)):
        line(console, f"Further back: {again} --since {further}")


def _print_condition(app: App, condition: Condition, console: Console) -> None:
    if condition.off:
        entry = transitions.last_transition(app)
        line(console, f"{app.app_id} is {off_text(entry, condition.now)}; its deliveries are parked.", "red")
    elif condition.paused_since is not None:
        line(console, f"{app.app_id} is {condition.text()}; its deliveries are parked.", "yellow")


def _searched(following: Following, search: Search, found: stack.Stack) -> Iterator[Sequence[Entry]]:
    for fresh in looks(WithBodies(following, bool(found.keep_delivered)), EVERY):
        yield [entry for entry, delivery in fresh if search.holds(entry, delivery)]


def _follow(
    looks_of_entries: Iterator[Sequence[Entry]], search: Search | None, *, several: bool, as_json: bool
) -> None:
    # Ctrl-C is how it ends, so it is no error.
    console = terminal.console()
    try:
        for fresh in looks_of_entries:
            for entry in fresh:
                if as_json:
                    terminal.print_json_line(entry.document())
                else:
                    _print_paragraphs([entry], datetime.now(UTC), console, several=several)
    except KeyboardInterrupt:
        if search:
            typer.echo(f"Bodies and responses: {search.counts()}.", err=True)


def _print_rows(entries: Sequence[Entry], now: datetime, console: Console, *, several: bool) -> None:
    columns = ["time (UTC)", "event", "event id", "n", "result", "ms", "state", "next", "delivery", "response"]
    rows = []
    for entry in entries:
        when, event, *rest = _cells(entry, now)
        row = [
            when,
            event,
            cell(entry.event_id),
            *rest,
            cell(entry.delivery_id),
            cell(cut(entry.response, _RESPONSE)),
        ]
        rows.append([row[0], cell(entry.app_id), *row[1:]] if several else row)
    table(console, [columns[0], "app", *columns[1:]] if several else columns, rows)


def _print_paragraphs(entries: Sequence[Entry], now: datetime, console: Console, *, several: bool) -> None:
    # An id is never broken: it is copied into the next command.
    for entry in entries:
        when, event, number, result, milliseconds, stands, due = _cells(entry, now)
        parts = [
            when,
            cell(entry.app_id if several else ""),
            event,
            named("attempt", number) if entry.is_made else Text(f"no attempt yet{', resent' * entry.resent}"),
            result,
            milliseconds and Text(f"{milliseconds} ms"),
            stands,
        ]
        parts += [named("next", due)] if due else []
        line(console, Text("  ").join(part for part in parts if part), indent=4)
        line(console, cell(f"    {entry.delivery_id}  ") + named("event", cell(entry.event_id)), indent=8)
        if entry.response:
            room = _RESPONSE if console.soft_wrap else min(_RESPONSE, console.width - 4)
            line(console, f"    {cut(entry.response, room)}")


def _cells(entry: Entry, now: datetime) -> tuple[Text, ...]:
    # What waits without an attempt has how it stands for its result: said once.
    result = "" if entry.result == entry.state else result_text(entry.result, entry.status)
    return (
        cell(utc(entry.at)),
        cell(entry.event),
        cell(number_text(entry.number, resent=entry.resent, published_again=entry.published_again)),
        Text(printable(result), "red" if entry.failed else "green"),
        cell("" if entry.milliseconds is None else entry.milliseconds),
        state(entry.state or ""),
        cell(_next_attempt(entry, now)),
    )


def _option(name: str, text: str | None) -> str:
    return f" --{name} {shlex.quote(text)}" if text else ""


def _next_attempt(entry: Entry, now: datetime) -> str:
    if entry.due is None:
        return ""
    return f"in {duration((entry.due - now).total_seconds())}" if entry.due > now else "due"


def _further_back(log: Log, now: datetime) -> str | None:
    back = now - log.since + timedelta(minutes=1)
    return next((name for name, longer in _FURTHER.items() if longer > back), None)
