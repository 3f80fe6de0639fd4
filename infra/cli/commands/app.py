"""bellhop app: one app with its pause and limits, its hooks, its last seven days and its audit entries."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from bellhop import circuits, outcomes
from bellhop.outcomes import COUNTERS, OutcomeDay
from bellhop.registry import App, AuditEntry, Installation, find
from bellhop.secrets import ED25519, SigningSecret, headers_of, public_key, signature_of
from health import transitions
from health.transitions import DISABLE, WARN
from infra.cli import stack, terminal
from infra.cli.condition import ON, Condition, condition, off_text, way_back_text
from infra.cli.registry import secret_values
from infra.cli.registry.events import collapse
from infra.cli.registry.secret_values import HEADERS, OAUTH2
from infra.cli.stack import Stack
from infra.cli.terminal import cell, labelled, line, state, table
from infra.cli.text import iso_time, stored_time, unix_time
from infra.cli.views import (
    APPLY_MAKES_ONE,
    Replayable,
    audit_document,
    count_replayable,
    counted_since_text,
    load_app,
    mail_states,
    organizations,
    print_days,
    response_suffix,
    title,
    warning_text,
)

DAYS = 7
ENTRIES = 20  # of the audit, the newest


@dataclass(frozen=True, slots=True)
class AppView:
    """An app and how it stands; `transition` began its generation.

    `days` are by organisation, those with counts, oldest first. `rotating_until` (Unix seconds) is the end of the
    overlap of two signing secrets, None when there is one secret. `has_secret`: there is any. `public_key`: the
    secret's, if it has one.
    `headers` are the app's own, masked; `oauth2` its credentials, without their secret.
    """

    app: App
    installations: tuple[Installation, ...]
    days: dict[str, list[OutcomeDay]]
    audit: tuple[AuditEntry, ...]
    condition: Condition
    transition: AuditEntry | None
    replayable: Replayable
    headers: Mapping[str, str] | None
    oauth2: Mapping[str, str] | None
    has_secret: bool
    public_key: str | None
    rotating_until: float | None


def run(stack_name: str, app_id: str, *, as_json: bool) -> None:
    """Read an app and print it."""
    found = stack.find(stack_name)
    stack.bind(found)
    view = read(app_id, datetime.now(UTC))
    if as_json:
        terminal.print_json(document(view))
    else:
        _print_app(view, found, terminal.console())


def read(app_id: str, now: datetime) -> AppView:
    """Everything there is to see of an app. Raises like `views.load_app`."""
    app = load_app(app_id)
    installations = tuple(Installation.by_app.query(app_id))
    generation = int(app.generation)
    row = find(SigningSecret, app_id, consistent=True)
    return AppView(
        app=app,
        installations=installations,
        days={
            organization: outcomes.days(app_id, organization, generation, now.date(), DAYS)
            for organization in organizations(app, installations)
        },
        audit=tuple(AuditEntry.query(app_id, scan_index_forward=False, limit=ENTRIES)),
        condition=condition(app, circuits.load(app_id), circuits.slow_list().names, now.timestamp()),
        transition=transitions.last_transition(app),
        replayable=count_replayable(app_id),
        headers=secret_values.masked(HEADERS, headers_of(app, row)),
        oauth2=secret_values.masked(OAUTH2, row.oauth2 if row else None),
        has_secret=row is not None,
        public_key=public_key(row.secret) if row and signature_of(row.secret) == ED25519 else None,
        rotating_until=_rotating_until(row, now.timestamp()),
    )


def document(view: AppView) -> dict[str, Any]:
    """An app as JSON."""
    app = view.app
    return {
        **_names_document(app),
        "uuid": app.uuid,
        "url": app.url,
        "events": app.events,
        "generation": int(app.generation),
        "headers": view.headers,
        "oauth2": view.oauth2,
        "max_per_second": app.max_per_second,
        "auto_enable": bool(app.auto_enable),
        "transform": app.transform,
        "circuit": view.condition.document(),
        "replayable": view.replayable.document(),
        "has_secret": view.has_secret,
        "public_key": view.public_key,
        "rotating_until": iso_time(view.rotating_until),
        "installations": [_installation_document(installation) for installation in view.installations],
        "days": {organization: [_day_document(row) for row in rows] for organization, rows in view.days.items()},
        "audit": [audit_document(entry) for entry in view.audit],
    }


def _rotating_until(row: SigningSecret | None, now: float) -> float | None:
    until = float(row.previous_until or 0) if row else 0.0
    return until if until > now else None


def _names_document(app: App) -> dict[str, Any]:
    return {name: getattr(app, name) for name in ("app_id", "kind", "name", "state", "organization_id")}


def _installation_document(installation: Installation) -> dict[str, Any]:
    names = ("organization_id", "installation_id", "status", "events", "projects", "filter")
    return {name: getattr(installation, name) for name in names}


def _day_document(row: OutcomeDay) -> dict[str, Any]:
    last = json.loads(row.last_failure) if row.last_failure else None
    return {"day": row.day} | _counts(row) | {"last_failure": last}


def _counts(row: OutcomeDay) -> dict[str, int]:
    return {name: int(getattr(row, name)) for name in COUNTERS}


def _print_app(view: AppView, found: Stack, console: Console) -> None:
    app = view.app
    line(console, title(app.app_id, app.name), "bold")
    labelled(console, "state", state(app.state) + cell(f" (generation {int(app.generation)})"))
    if view.condition.off:
        labelled(console, "off", off_text(view.transition, view.condition.now), "red")
    labelled(console, "kind", app.kind + (f", of {app.organization_id}" if app.organization_id else ""))
    labelled(console, "url", app.url)
    labelled(console, "events", ", ".join(collapse(app.events)))
    _print_sending(view, console)
    if not view.condition.off:
        labelled(console, "circuit", view.condition.text(), "" if view.condition.name == ON else "yellow")
    labelled(console, "replayable", view.replayable.text())
    if way_back_text(app, view.transition):
        labelled(console, "back", way_back_text(app, view.transition))
    if not view.has_secret:
        labelled(console, "secret", found.naming(f"none, so nothing is delivered: {APPLY_MAKES_ONE}"), "red")
    if view.public_key:
        labelled(console, "public key", view.public_key)
    if view.rotating_until is not None:
        end = unix_time(view.rotating_until)
        labelled(console, "secret", f"rotating: the one before it signs too, until {end}")
    _print_installations(view.installations, console)
    _print_days(view, console)
    for entry in view.audit:
        _print_audit_entry(entry, console)
    line(console, found.next(f"explain {app.app_id}", f"log {app.app_id} --failures"))


def _print_sending(view: AppView, console: Console) -> None:
    """What is peculiar to how its webhooks are sent."""
    if view.headers:
        labelled(console, "headers", secret_values.text(view.headers))
    if view.oauth2:
        labelled(console, "oauth2", secret_values.text(view.oauth2))
    if view.app.max_per_second is not None:
        labelled(console, "rate", f"at most {float(view.app.max_per_second):g} a second")
    if view.app.transform:
        labelled(console, "transform", view.app.transform)


def _print_installations(installations: Sequence[Installation], console: Console) -> None:
    rows = [
        (
            installation.organization_id,
            installation.installation_id,
            state(installation.status),
            ", ".join(collapse(installation.events)),
            "all" if installation.projects is None else ", ".join(installation.projects) or "none",
        )
        for installation in installations
    ]
    table(console, ("organisation", "installation", "status", "events", "projects"), rows)
    for installation in installations:
        if installation.filter:  # below the table: in a narrow column no line of it would have room
            labelled(console, "filter", f"of {installation.installation_id}: {installation.filter}")


def _print_days(view: AppView, console: Console) -> None:
    rows = [
        (organization, row.day, list(_counts(row).values()))
        for organization, days in view.days.items()
        for row in days
    ]
    print_days(rows, console)
    if not rows:
        line(console, "Nothing was counted in these seven days.")
    if counted_since_text(view.transition):
        line(console, counted_since_text(view.transition))


def _print_audit_entry(entry: AuditEntry, console: Console) -> None:
    mails = Counter(mail_states(entry).values())
    mails_text = ", ".join(f"{number} {mail_state}" for mail_state, number in mails.items()) or "none"
    owner = f" for {entry.organization_id}" if entry.organization_id else ""
    what = f"{entry.action} by {entry.actor}{owner}{_reason(entry)}"
    line(console, f"{stored_time(entry.at)}  {entry.transition_id}: {what}; mails: {mails_text}")
    last = (entry.evidence or {}).get("last_failure")
    if last and entry.action == DISABLE.action:
        line(console, f"    last failure: {last['error']}, event {last['event_id']}{response_suffix(last)}")


def _reason(entry: AuditEntry) -> str:
    evidence = entry.evidence or {}
    if entry.action == WARN.action:
        return f": {warning_text(entry)}"
    rule, reason = evidence.get("rule"), evidence.get("reason")
    return (f", rule {rule}" if rule else "") + (f": {reason}" if reason else "")
