"""One app as an operator sees it."""

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console

from bellhop.registry import AuditEntry
from health.transitions import DISABLE, WARN
from infra.console import documents, headers
from infra.console.catalogue import collapse
from infra.console.printing import cell, line, state, table
from infra.console.render_explain import said, warning
from infra.console.show import AppView
from infra.console.text import utc


def app(view: AppView, console: Console) -> None:
    """One app, its hooks, its seven days, its audit."""
    shown = view.app
    line(console, f"{shown.app_id}: {shown.name}", "bold")
    console.print(cell("    state  "), state(shown.state), cell(f"(generation {int(shown.generation)})"))
    owner = f", of {shown.organization_id}" if shown.organization_id else ""
    line(console, f"    kind    {shown.kind}{owner}")
    line(console, f"    url     {shown.url}")
    line(console, f"    events  {', '.join(collapse(shown.events))}")
    _limits(view, console)
    _hooks(view, console)
    _days(view, console)
    _audit(view.audit, console)
    line(console, f"Next: bellhop explain {shown.app_id}, bellhop log {shown.app_id} --failures")


def _limits(view: AppView, console: Console) -> None:
    shown = view.app
    if shown.headers:
        listed = ", ".join(f"{name}: {value}" for name, value in (headers.masked(shown.headers) or {}).items())
        line(console, f"    headers {listed}")
    if shown.max_per_second is not None:
        line(console, f"    rate    at most {float(shown.max_per_second):g} a second")
    line(console, f"    gate    {_gate(view)}")
    line(console, f"    kept    {view.held.said()}")
    if shown.auto_enable:
        line(console, "    back    once off, it is pinged, and switched on when it answers well (auto_enable)")
    if view.rotating_until is not None:
        line(console, f"    secret  rotating: the one before it signs too, until {_moment(view.rotating_until)}")


def _gate(view: AppView) -> str:
    gate = view.gate
    if view.paused_since is not None:
        since = f"paused since {_moment(view.paused_since)}"
        if gate.trial_lease_until and float(gate.trial_lease_until) >= view.now:
            return f"{since}, being probed now"
        return f"{since}, next probe {_moment(float(gate.next_trial_at or 0))}"
    if view.start_rate is not None:
        began = _moment(float(gate.closed_at or 0))
        return f"starting slowly since {began}, {view.start_rate:.1f} deliveries a second now"
    return "open"


def _moment(seconds: float) -> str:
    return f"{utc(datetime.fromtimestamp(float(seconds), UTC))} UTC"


def _hooks(view: AppView, console: Console) -> None:
    rows = [
        (
            hook.organization_id,
            hook.installation_id,
            state(hook.status),
            ", ".join(collapse(hook.events)),
            "all" if hook.projects is None else ", ".join(hook.projects) or "none",
        )
        for hook in view.hooks
    ]
    table(console, ("organisation", "installation", "status", "events", "projects"), rows)


def _days(view: AppView, console: Console) -> None:
    rows = [
        (organization, row.day, *(str(int(getattr(row, name))) for name in documents.COUNTS))
        for organization, days in view.days.items()
        for row in days
    ]
    table(console, ("organisation", "day (UTC)", *documents.COUNTS), rows)
    if not rows:
        line(console, f"Nothing counted in generation {int(view.app.generation)} in these seven days.")


def _audit(entries: Sequence[AuditEntry], console: Console) -> None:
    for entry in entries:
        mails = ", ".join(f"{count} {state}" for state, count in documents.mail_states(entry).items())
        owner = f" for {entry.organization_id}" if entry.organization_id else ""
        what = f"{entry.action} by {entry.actor}{owner}{_why(entry)}"
        when = f"{utc(datetime.fromisoformat(entry.at))} UTC"
        line(console, f"{when}  {entry.transition_id}: {what}; mails: {mails or 'none'}")
        last = (entry.evidence or {}).get("last_failure")
        if last and entry.action == DISABLE.action:
            line(console, f"    last failure: {last['error']}, event {last['event_id']}{said(last)}")


def _why(entry: AuditEntry) -> str:
    evidence = entry.evidence or {}
    if entry.action == WARN.action:
        return f": {warning(entry)}"
    rule, reason = evidence.get("rule"), evidence.get("reason")
    return (f", rule {rule}" if rule else "") + (f": {reason}" if reason else "")
