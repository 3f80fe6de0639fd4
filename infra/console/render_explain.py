"""Why an app is on or off, in words."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console

from bellhop.attempts import EXHAUSTED, PARKED
from bellhop.registry import DISABLED, INTERNAL, AuditEntry
from health.mail import wording
from infra.console.documents import COUNTS
from infra.console.explain import Explanation, Judged
from infra.console.printing import cell, line, state, table
from infra.console.render_health import moment
from infra.console.render_mail import failed, mails
from infra.console.text import duration


def explanation(known: Explanation, console: Console) -> None:
    """What state, since when and by whom; then why."""
    app = known.app
    line(console, f"{app.app_id}: {app.name}", "bold")
    console.print(
        cell("    state  "), state(app.state), cell(f"(generation {int(app.generation)}), {_since(known)}")
    )
    line(console, f"    kept    {known.held.said()}")
    if app.auto_enable:
        line(console, "    back    once off, it is pinged, and switched on when it answers well (auto_enable)")
    if app.state == DISABLED:
        _off(known, console)
    else:
        _on(known, console)
    line(console, f"Next: {'; '.join(_next(known))}")


def warning(entry: AuditEntry) -> str:
    """What an early warning said."""
    given = entry.evidence.get("warning") or {}
    rule, reached, limit = entry.evidence.get("rule"), given.get("reached", 0), given.get("limit", 0)
    if not entry.mails.attribute_values and limit == 1:
        return f"{rule} broken, left on"
    return f"{rule} {reached:,} of {limit:,}"


def _since(known: Explanation) -> str:
    change = known.change
    if change is None:
        return (
            "from the beginning" if int(known.app.generation) == 1 else "by hand: no audit entry says since when"
        )
    since = (known.now - datetime.fromisoformat(change.at)).total_seconds()
    return f"since {moment(change.at)} ({duration(max(0, since))} ago), by {change.actor}"


def _off(known: Explanation, console: Console) -> None:
    change = known.change
    if change is not None:
        evidence = change.evidence
        line(console, f"Off because {wording.reason(evidence)}.", "red")
        _given(evidence, console)
        if evidence.get("thresholds"):
            line(console, f"    limits  {_limits(evidence['thresholds'])}")
        line(console, f"    url     {evidence.get('url', known.app.url)}")
        _days(change.organization_id, evidence.get("days") or [], console)
        _last(evidence.get("last_failure"), console)
        _aftermath(change, console)


def _on(known: Explanation, console: Console) -> None:
    if known.change is not None:
        _given(known.change.evidence, console)
        _aftermath(known.change, console)
    for judged in known.judged:
        _judged(judged, known, console)
    if not known.judged:
        line(console, "It is installed nowhere: nothing is delivered, nothing counted.")
    for entry in known.warnings:
        told = mails(entry) or "nobody mailed"
        line(console, f"warned {moment(entry.at)} in {entry.organization_id}: {warning(entry)}; {told}", "yellow")


def _judged(judged: Judged, known: Explanation, console: Console) -> None:
    broken = judged.evaluation.rule
    where = f"in {judged.organization_id}"
    if broken is None:
        near = " and ".join(w.rule for w in judged.evaluation.warnings)
        line(
            console,
            f"{where}: {f'on its way to be switched off for {near}' if near else 'sound'}",
            near and "yellow",
        )
    elif known.app.kind == INTERNAL:
        line(console, f"{where}: broken by the rule {broken}; its next failure switches it off", "red")
    else:
        line(console, f"{where}: broken by the rule {broken}; left on, because it is {known.app.kind}", "red")
    rows = [(near.rule, near.now, near.limit, f"{min(near.share, 9.99):.0%}") for near in judged.nearness]
    table(console, ("rule", "now", "switches off at", "way"), rows)
    _days(judged.organization_id, judged.evaluation.evidence()["days"], console)
    _last(judged.last_failure, console)


def _given(evidence: Mapping[str, Any], console: Console) -> None:
    if evidence.get("reason"):
        line(console, f"    reason  {evidence['reason']}")
    if evidence.get("response"):
        line(console, f"    pinged  {evidence['response'].get('status')} in {evidence['response'].get('ms')} ms")


def _aftermath(entry: AuditEntry, console: Console) -> None:
    if mails(entry):
        line(console, f"    mails   {mails(entry)}")
    if not entry.finished_at:
        line(console, f"    follows not all done yet; done: {', '.join(sorted(entry.done or ())) or 'nothing'}")


def _days(organization_id: str, days: Sequence[Mapping[str, Any]], console: Console) -> None:
    counted = [(day["day"], [int(day.get(name, 0)) for name in COUNTS]) for day in days]
    rows = [(organization_id, date, *(f"{n:,}" for n in counts)) for date, counts in counted if any(counts)]
    table(console, ("organisation", "day (UTC)", *COUNTS), rows)


def _last(failure: Mapping[str, Any] | None, console: Console) -> None:
    if failure:
        names = ", ".join(str(failure[name]) for name in ("event", "delivery_id") if failure.get(name))
        what = f"{wording.error(failure['error'])}, event {failure['event_id']}{f' ({names})' if names else ''}"
        line(console, f"    last failure: {what}{said(failure)}")


def said(failure: Mapping[str, Any]) -> str:
    """What the endpoint answered, if anything."""
    return f": {failure['response']}" if failure["response"] else ""


def _limits(thresholds: Mapping[str, Any]) -> str:
    """The thresholds an entry was made by; an old entry lacks some."""
    known = {
        "timeouts_per_day": "{:,} timeouts a day",
        "error_days": "{} days of errors alone",
        "pause_hours": "{} h paused",
    }
    return ", ".join(text.format(thresholds[name]) for name, text in known.items() if name in thresholds)


def _next(known: Explanation) -> list[str]:
    """What an operator may want to do now."""
    app = known.app.app_id
    commands = []
    if known.app.state == DISABLED:
        commands += [f"bellhop ping {app}", f"bellhop enable {app}"]
    else:
        failing = known.pause or any(j.evaluation.broken or j.evaluation.warnings for j in known.judged)
        commands += [f"bellhop ping {app}", f"bellhop log {app} --failures"] if failing else [f"bellhop log {app}"]
        if known.held.total([PARKED]):
            commands.append(f"bellhop replay {app}")
        elif known.held.total([EXHAUSTED]):
            commands.append(f"bellhop replay {app} --exhausted")
    if known.change and failed(known.change):
        commands.append(f"bellhop mail resend {app} '{known.change.transition_id}'")
    return commands
