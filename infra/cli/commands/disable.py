"""bellhop disable: switch an app off, with its recent days as evidence."""

from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from bellhop import outcomes
from bellhop.attempts import KEPT
from bellhop.registry import DISABLED, App, AuditEntry, Installation
from health import review, transitions
from health.rules import Thresholds, evaluate, sum_by_date
from health.transitions import TransitionDependencies
from infra.cli import identity, stack, terminal
from infra.cli.stack import Stack
from infra.cli.terminal import line
from infra.cli.transitions import document, leave_as_it_is, print_switched, refuse_late
from infra.cli.views import count_replayable, load_app, mail_states, organizations


def run(stack_name: str, app_id: str, *, reason: str, yes: bool, as_json: bool) -> None:
    """Ask, switch off."""
    terminal.check_reason(reason)
    found = stack.find(stack_name)
    deps = identity.transition_dependencies(found, stack.bind(found))
    app = load_app(app_id)
    if app.state == DISABLED:
        leave_as_it_is(app, found, deps, as_json=as_json)
        return
    if not yes:
        question = f"Switch {app_id} off? Its deliveries are parked, and its owners get mail."
        terminal.confirm(question, f"nothing is done yet: add --yes to switch {app_id} off", as_json=as_json)
    entry = disable(app, identity.operator(), reason, found.thresholds, deps)
    if as_json:
        terminal.print_json(document(entry, count_replayable(app_id)))
        return
    console = terminal.console()
    print_switched("off", entry, found.cache_seconds, console)
    _print_following(app, entry, found, console)


def disable(app: App, actor: str, reason: str, thresholds: Thresholds, deps: TransitionDependencies) -> AuditEntry:
    """Switch an enabled app off.

    Raises:
        CommandError: somebody was quicker.
    """
    evidence = _evidence(app, thresholds, deps.now()) | {"rule": transitions.BY_PERSON, "reason": reason}
    entry = transitions.disable(app, app.organization_id or "", actor, evidence, deps)
    return entry or refuse_late(app, transitions.disabled_id(int(app.generation)))


def _evidence(app: App, thresholds: Thresholds, now: datetime) -> dict[str, Any]:
    """The present days, of all organisations together: the app is switched off in all of them."""
    today, generation = now.astimezone(UTC).date(), int(app.generation)
    rows = [
        row
        for organization in organizations(app, Installation.by_app.query(app.app_id))
        for row in outcomes.days(app.app_id, organization, generation, today, thresholds.window)
    ]
    rows.sort(key=lambda row: row.day)
    days = sum_by_date(map(review.day, rows))
    evaluation = evaluate(days, today, thresholds, review.pause(app.app_id, generation, now))
    return review.evidence(evaluation, app, thresholds, rows)


def _print_following(app: App, entry: AuditEntry, found: Stack, console: Console) -> None:
    owners = ", ".join(mail_states(entry))
    line(console, f"Health mails {owners}." if owners else "Nobody gets mail: it has no owners.")
    line(console, f"Deliveries that arrive from now on are parked for {KEPT.days} days.")
    if app.auto_enable:
        line(console, "It asks for recovery checks (auto_enable), but there are none while it is off by hand.")
    back = found.command(f"enable {entry.app_id}")
    line(console, f"Back: {back}. {found.next(f'explain {entry.app_id}')}")
