"""What an operator sees. Every value is made printable and none is read as markup."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bellhop.events import IssueEvent
from bellhop.registry import App, AuditEntry
from infra.console import documents
from infra.console.catalogue import collapse
from infra.console.log import LIMIT, Entry, Log
from infra.console.plan import Change, Plan
from infra.console.show import AppView
from infra.console.text import printable, utc

_MORE = 500  # attempts to ask for when fewer were cut off
_ANSWER = 100  # characters of an answer in a row
_ON_ONE_LINE = {"time (UTC)", "day (UTC)", "event", "n", "result", "ms", "state", "status"}
_IN_LABEL = {"app_id", "slug", "installation_id"}
_STYLES = {"enabled": "green", "installed": "green", "disabled": "red", "uninstalled": "yellow"}
_STYLES |= {"exhausted": "red", "stopped": "red", "parked": "yellow", "retrying": "yellow"}


def plan(made: Plan, console: Console) -> None:
    """The changes, old -> new by field."""
    for change in made.changes:
        _change(change, console)
    for app in made.secrets:
        kind = "a new signing secret" if app in made.generated else "the imported signing secret"
        _line(console, f"+ {kind} for {app}", "green")
    created = sum(change.creates for change in made.changes)
    updated = len(made.changes) - created
    _line(console, f"{created} to create, {updated} to update, {made.unchanged} unchanged.", "bold")


def secrets(made: Plan, console: Console) -> None:
    """The new secrets, the one time they are to be seen."""
    for app in sorted(made.generated):
        forms = documents.secret_forms(made.secrets[app])
        _line(console, f"Signing secret of {app}, shown only this once:", "bold")
        _line(console, f"    classic header     {forms['classic']}")
        _line(console, f"    Standard Webhooks  {forms['standard']}")


def published(events: Iterable[IssueEvent], console: Console) -> None:
    """What was put on the queue."""
    rows = [(event.event_id, event.name, event.organization_id) for event in events]
    _table(console, ("event id", "event", "organisation"), rows)
    _line(console, f"{len(rows)} published. Next: bellhop log APP", "bold")


def log(app_id: str, read: Log, console: Console) -> None:
    """The attempts, newest first, and how far was looked."""
    columns = ("time (UTC)", "event", "event id", "n", "result", "ms", "state", "answer")
    _table(console, columns, [_attempt(entry) for entry in read.entries])
    extent = "all" if read.complete else "the newest"
    _line(console, f"{len(read.entries)} attempts, {extent} since {utc(read.since)} UTC.", "bold")
    if not read.complete:
        more = min(max(10 * len(read.entries), _MORE), LIMIT)
        _line(console, f"Others: bellhop log {app_id} --limit {more}")
    elif not read.entries:
        _line(console, f"Further back: bellhop log {app_id} --since 1d")


def directory(apps: Sequence[App], console: Console) -> None:
    """Every app."""
    rows = [(a.app_id, a.kind, a.name, _state(a.state), a.organization_id or "") for a in apps]
    _table(console, ("app", "kind", "name", "state", "organisation"), rows)
    _line(
        console, f"{len(rows)} apps. Next: bellhop app APP" if rows else "No apps. Next: bellhop apply FILE"
    )


def app(view: AppView, console: Console) -> None:
    """One app, its hooks, its seven days, its audit."""
    shown = view.app
    _line(console, f"{shown.app_id}: {shown.name}", "bold")
    console.print(_cell("    state  "), _state(shown.state), _cell(f"(epoch {int(shown.epoch)})"))
    owner = f", of {shown.organization_id}" if shown.organization_id else ""
    _line(console, f"    kind    {shown.kind}{owner}")
    _line(console, f"    url     {shown.url}")
    _line(console, f"    events  {', '.join(collapse(shown.events))}")
    _hooks(view, console)
    _days(view, console)
    _audit(view.audit, console)
    _line(console, f"Next: bellhop log {shown.app_id} --failures")


def _change(change: Change, console: Console) -> None:
    _line(console, f"{'+' if change.creates else '~'} {change.spec.label}", _style(change))
    for name, (old, new) in change.fields.items():
        said_already = change.creates and (name in _IN_LABEL or new is None)
        if not said_already:
            _line(console, f"    {name:<16}{_difference(name, old, new, creates=change.creates)}")


def _hooks(view: AppView, console: Console) -> None:
    rows = [
        (
            hook.organization_id,
            hook.installation_id,
            _state(hook.status),
            ", ".join(collapse(hook.events)),
            "all" if hook.projects is None else ", ".join(hook.projects) or "none",
        )
        for hook in view.hooks
    ]
    _table(console, ("organisation", "installation", "status", "events", "projects"), rows)


def _days(view: AppView, console: Console) -> None:
    rows = [
        (organization, row.day, *(str(int(getattr(row, name))) for name in documents.COUNTS))
        for organization, days in view.days.items()
        for row in days
    ]
    _table(console, ("organisation", "day (UTC)", *documents.COUNTS), rows)
    if not rows:
        _line(console, f"Nothing counted in epoch {int(view.app.epoch)} in these seven days.")


def _audit(entries: Sequence[AuditEntry], console: Console) -> None:
    for entry in entries:
        evidence = entry.evidence or {}
        rule, last = evidence.get("rule"), evidence.get("last_failure")
        mails = ", ".join(f"{count} {state}" for state, count in documents.mail_states(entry).items())
        what = (
            f"{entry.action} by {entry.actor} for {entry.organization_id}{f', rule {rule}' if rule else ''}"
        )
        when = utc(datetime.fromisoformat(entry.at))
        _line(console, f"{when} UTC  {what}; mails: {mails or 'none'}")
        if last:
            _line(console, f"    last failure: {last['error']}, event {last['event_id']}: {last['answer']}")


def _attempt(entry: Entry) -> tuple[Any, ...]:
    answer = entry.answer if len(entry.answer) <= _ANSWER else entry.answer[:_ANSWER] + "..."
    return (
        utc(entry.at),
        entry.event,
        entry.event_id,
        str(entry.number),
        Text(printable(entry.result), "red" if entry.failed else "green"),
        "" if entry.milliseconds is None else str(entry.milliseconds),
        _state(entry.state),
        answer,
    )


def _difference(name: str, old: Any, new: Any, *, creates: bool) -> str:
    shorten = collapse if name == "events" else tuple
    if creates:
        return _value(shorten(new) if isinstance(new, tuple) else new)
    if isinstance(old, tuple) and isinstance(new, tuple):
        added = shorten(item for item in new if item not in old)
        removed = shorten(item for item in old if item not in new)
        return " ".join([*(f"+{item}" for item in added), *(f"-{item}" for item in removed)])
    return f"{_value(old)} -> {_value(new)}"


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(value) or "(none)"
    return "(not set)" if value is None else str(value)


def _style(change: Change) -> str:
    return "green" if change.creates else "yellow"


def _state(state: str) -> Text:
    return Text(printable(state), _STYLES.get(state, ""))


def _table(console: Console, columns: Sequence[str], rows: Sequence[Sequence[str | Text]]) -> None:
    if not rows:
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        # On a narrow terminal an id or an answer goes on in the next line, it is not cut.
        table.add_column(column, overflow="fold", no_wrap=column in _ON_ONE_LINE)
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else _cell(cell) for cell in row))
    console.print(table)


def _cell(text: object) -> Text:
    return Text(printable(text))


def _line(console: Console, text: str, style: str = "") -> None:
    console.print(Text(printable(text), style), soft_wrap=True)
