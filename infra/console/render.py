"""What an operator sees of what the commands did or found."""

from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console

from bellhop.events import IssueEvent
from bellhop.registry import App
from infra.console import documents, headers
from infra.console.again import Sent
from infra.console.catalogue import collapse
from infra.console.plan import Change, Plan
from infra.console.printing import line, state, table
from infra.console.rotate import Rotation
from infra.console.text import utc

_IN_LABEL = {"app_id", "slug", "installation_id"}


def plan(made: Plan, console: Console) -> None:
    """The changes, old -> new by field."""
    for change in made.changes:
        _change(change, console)
    for app in made.secrets:
        kind = "a new signing secret" if app in made.generated else "the imported signing secret"
        line(console, f"+ {kind} for {app}", "green")
    created = sum(change.creates for change in made.changes)
    updated = len(made.changes) - created
    line(console, f"{created} to create, {updated} to update, {made.unchanged} unchanged.", "bold")


def secrets(made: Plan, console: Console) -> None:
    """The new secrets, the one time they are to be seen."""
    for app in sorted(made.generated):
        _secret(app, made.secrets[app], console)


def rotation(made: Rotation, console: Console) -> None:
    """The new secret, if it is not one that the operator brought."""
    if made.generated:
        _secret(made.app_id, made.secret, console)


def rotated(made: Rotation, cache_seconds: int, console: Console) -> None:
    """What receivers see from now on."""
    if made.until:
        end = f"{utc(made.until)} UTC"
        line(console, f"Rotated the secret of {made.app_id}. Until {end} both secrets sign:", "bold")
        line(
            console,
            "    webhook-signature      has a signature of each: a receiver may change at any time till then",
        )
        line(
            console,
            "    Sentry-Hook-Signature  uses the old secret until then, the new one after: so does its receiver",
        )
    else:
        line(console, f"Rotated the secret of {made.app_id}. The new one alone signs.", "bold")
    line(console, f"Functions see it within {cache_seconds} s (CacheSeconds); until then some sign as before.")
    line(console, f"Next: bellhop app {made.app_id}")


def sent(what: Sent, console: Console) -> None:
    """A retry that was asked for."""
    line(console, f"Attempt {what.attempt} of {what.delivery_id} is due now; it was {what.state}.", "bold")
    line(console, f"Next: bellhop log {what.app_id}, or, where the app is paused, bellhop app {what.app_id}")


def published(events: Iterable[IssueEvent], console: Console) -> None:
    """What was put on the queue."""
    rows = [(event.event_id, event.name, event.organization_id) for event in events]
    table(console, ("event id", "event", "organisation"), rows)
    line(console, f"{len(rows)} published. Next: bellhop log APP", "bold")


def directory(apps: Sequence[App], console: Console) -> None:
    """Every app."""
    rows = [(a.app_id, a.kind, a.name, state(a.state), a.organization_id or "") for a in apps]
    table(console, ("app", "kind", "name", "state", "organisation"), rows)
    line(console, f"{len(rows)} apps. Next: bellhop app APP" if rows else "No apps. Next: bellhop apply FILE")


def _secret(app: str, secret: str, console: Console) -> None:
    forms = documents.secret_forms(secret)
    line(console, f"Signing secret of {app}, shown only this once:", "bold")
    line(console, f"    classic header     {forms['classic']}")
    line(console, f"    Standard Webhooks  {forms['standard']}")


def _change(change: Change, console: Console) -> None:
    line(console, f"{'+' if change.creates else '~'} {change.spec.label}", _style(change))
    for name, (old, new) in change.fields.items():
        said_already = change.creates and (name in _IN_LABEL or new is None)
        if not said_already:
            line(console, f"    {name:<16}{_difference(name, old, new, creates=change.creates)}")


def _difference(name: str, old: Any, new: Any, *, creates: bool) -> str:
    if name == "headers":
        return headers.difference(old, new)
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
    if isinstance(value, bool):
        return "true" if value else "false"
    return "(not set)" if value is None else str(value)


def _style(change: Change) -> str:
    return "green" if change.creates else "yellow"
