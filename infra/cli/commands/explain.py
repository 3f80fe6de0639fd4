"""bellhop explain: why an app is off, or how near it is to being switched off."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any

from rich.console import Console

from bellhop import circuits, outcomes
from bellhop.attempts import EXHAUSTED, PARKED
from bellhop.outcomes import COUNTERS
from bellhop.registry import DISABLED, ENABLED, INTERNAL, App, AuditEntry, Installation
from health import review, transitions
from health.mail import wording
from health.nearness import Nearness, nearness
from health.rules import Evaluation, Pause, Thresholds, evaluate
from infra.cli import stack, terminal
from infra.cli.commands.mail import needs_resending
from infra.cli.condition import ON, Condition, condition, way_back_text
from infra.cli.stack import Stack
from infra.cli.terminal import cell, labelled, line, state, table
from infra.cli.text import duration, stored_time
from infra.cli.views import (
    Replayable,
    audit_document,
    count_replayable,
    counted_since_text,
    load_app,
    mails_text,
    organizations,
    print_days,
    response_suffix,
    title,
    warning_text,
)

_ONE_PERCENT = 0.01
_THRESHOLDS = {
    "timeouts_per_day": "{:,} timeouts a day",
    "error_days": "{} days of errors alone",
    "pause_hours": "{} h paused",
}


@dataclass(frozen=True, slots=True)
class EvaluatedOrganization:
    """How health sees an app's present days in an organisation."""

    organization_id: str
    evaluation: Evaluation
    nearness: tuple[Nearness, ...]
    last_failure: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """An app at the moment `now`.

    `transition` led to its state, None when there was none. `organizations` is empty while the app is off.
    """

    app: App
    condition: Condition
    transition: AuditEntry | None
    thresholds: Thresholds
    pause: Pause | None
    organizations: tuple[EvaluatedOrganization, ...]
    warnings: tuple[AuditEntry, ...]
    replayable: Replayable
    now: datetime


def run(stack_name: str, app_id: str, *, as_json: bool) -> None:
    """Read what explains an app's state, print it."""
    found = stack.find(stack_name)
    stack.bind(found)
    explanation = explain(load_app(app_id), found.thresholds, datetime.now(UTC))
    if as_json:
        terminal.print_json(document(explanation))
    else:
        _print(explanation, found, terminal.console())


def explain(app: App, thresholds: Thresholds, now: datetime) -> Explanation:
    """Everything that explains an app's state. Only reads."""
    pause = review.pause(app.app_id, int(app.generation), now)
    counted_in = organizations(app, Installation.by_app.query(app.app_id)) if app.state == ENABLED else ()
    warnings = transitions.warnings(app) if app.state == ENABLED else ()
    circuit, slow = circuits.load(app.app_id), circuits.slow_list().names
    return Explanation(
        app=app,
        condition=condition(app, circuit, slow, now.timestamp()),
        transition=transitions.last_transition(app),
        thresholds=thresholds,
        pause=pause,
        organizations=tuple(_evaluate(app, name, thresholds, pause, now) for name in counted_in),
        warnings=tuple(sorted(warnings, key=lambda entry: entry.at)),
        replayable=count_replayable(app.app_id),
        now=now,
    )


def document(explanation: Explanation) -> dict[str, Any]:
    """An explanation as JSON."""
    app, pause, transition = explanation.app, explanation.pause, explanation.transition
    return {
        "app_id": app.app_id,
        "kind": app.kind,
        "state": app.state,
        "enabled": app.state == ENABLED,
        "generation": int(app.generation),
        "transition": audit_document(transition) if transition else None,
        "thresholds": asdict(explanation.thresholds),
        "circuit": explanation.condition.document(),
        "pause_hours": pause.hours if pause else None,
        "organizations": [_organization_document(organization) for organization in explanation.organizations],
        "warnings": [audit_document(entry) for entry in explanation.warnings],
        "replayable": explanation.replayable.document(),
    }


def _evaluate(
    app: App, organization_id: str, thresholds: Thresholds, pause: Pause | None, now: datetime
) -> EvaluatedOrganization:
    today = now.astimezone(UTC).date()
    rows = outcomes.days(app.app_id, organization_id, int(app.generation), today, thresholds.window)
    evaluation = evaluate(map(review.day, rows), today, thresholds, pause)
    return EvaluatedOrganization(
        organization_id,
        evaluation,
        nearness(evaluation.days, thresholds, pause),
        review.last_failure(rows),
    )


def _organization_document(organization: EvaluatedOrganization) -> dict[str, Any]:
    return {
        "organization_id": organization.organization_id,
        **organization.evaluation.evidence(),
        "nearness": [asdict(near) | {"share": near.share} for near in organization.nearness],
        "last_failure": organization.last_failure,
    }


def _print(explanation: Explanation, found: Stack, console: Console) -> None:
    app = explanation.app
    line(console, title(app.app_id, app.name), "bold")
    generation = f" (generation {int(app.generation)}), {_since(explanation)}"
    labelled(console, "state", state(app.state) + cell(generation))
    if not explanation.condition.off:
        shown = explanation.condition
        labelled(console, "circuit", shown.text(), "" if shown.name == ON else "yellow")
    labelled(console, "replayable", explanation.replayable.text())
    if way_back_text(app, explanation.transition):
        labelled(console, "back", way_back_text(app, explanation.transition))
    if app.state == DISABLED:
        _print_off(explanation, console)
    else:
        _print_on(explanation, console)
    line(console, found.next(*_next_commands(explanation)))


def _since(explanation: Explanation) -> str:
    transition = explanation.transition
    if transition is None:
        first = int(explanation.app.generation) == 1
        return "from the beginning" if first else "by hand: no audit entry says since when"
    age = (explanation.now - datetime.fromisoformat(transition.at)).total_seconds()
    return f"since {stored_time(transition.at)} ({duration(max(0, age))} ago), by {transition.actor}"


def _print_off(explanation: Explanation, console: Console) -> None:
    transition = explanation.transition
    if transition is None:
        return
    evidence = transition.evidence
    line(console, f"Off because {wording.reason(evidence)}.", "red")
    _print_by_hand(evidence, console)
    if evidence.get("thresholds"):
        labelled(console, "limits", _thresholds_text(evidence["thresholds"]))
    labelled(console, "url", evidence.get("url", explanation.app.url))
    _print_days(transition.organization_id, evidence.get("days") or [], console)
    _print_last_failure(evidence.get("last_failure"), console)
    _print_follow_up(transition, console)


def _print_on(explanation: Explanation, console: Console) -> None:
    if explanation.transition is not None:
        _print_by_hand(explanation.transition.evidence, console)
        _print_follow_up(explanation.transition, console)
    for organization in explanation.organizations:
        _print_organization(organization, explanation, console)
    if explanation.organizations and counted_since_text(explanation.transition):
        line(console, counted_since_text(explanation.transition))
    if not explanation.organizations:
        line(console, "It is installed nowhere: nothing is delivered, nothing counted.")
    for entry in explanation.warnings:
        mails = mails_text(entry) or "nobody mailed"
        about = f"in {entry.organization_id}: {warning_text(entry)}"
        line(console, f"warned {stored_time(entry.at)} {about}; {mails}", "yellow")


def _print_organization(organization: EvaluatedOrganization, explanation: Explanation, console: Console) -> None:
    broken, warnings = organization.evaluation.rule, organization.evaluation.warnings
    kind = explanation.app.kind
    if broken is None and not warnings and explanation.condition.paused_since is not None:
        verdict, style = "paused, not near a limit yet", "yellow"
    elif broken is None and not warnings:
        verdict, style = "sound", ""
    elif broken is None:
        rules = " and ".join(warning.rule for warning in warnings)
        verdict, style = f"on its way to be switched off for {rules}", "yellow"
    elif kind == INTERNAL:
        verdict, style = f"broken by the rule {broken}; its next failure switches it off", "red"
    else:
        verdict, style = f"broken by the rule {broken}; left on, because it is {kind}", "red"
    line(console, f"in {organization.organization_id}: {verdict}", style)
    today = explanation.now.astimezone(UTC).date()
    rows = [_nearness_row(near, today) for near in organization.nearness]
    table(console, ("rule", "now", "switches off at", "way"), rows)
    _print_days(organization.organization_id, organization.evaluation.evidence()["days"], console)
    _print_last_failure(organization.last_failure, console)


def _nearness_row(near: Nearness, today: date) -> tuple[str, str, str, str]:
    elsewhen = "" if near.day in {None, today} else f" on {near.day}"
    now, limit = {
        "fatal": (f"one on {near.day}" if near.day else "none", "the first"),
        "timeouts": (f"{near.reached:,}{elsewhen}", f"{near.limit:,} in a UTC day"),
        "errors": (
            f"{near.reached} in a row, up to today",
            f"{near.limit} days in a row with errors and no success",
        ),
        "pause": (
            f"paused for {duration(near.reached * 3600)}" if near.reached else "not paused",
            f"{near.limit} h without a successful trial",
        ),
    }[near.rule]
    return near.rule, now, limit, _percent(min(near.share, 9.99))


def _percent(share: float) -> str:
    return "under 1%" if 0 < share < _ONE_PERCENT else f"{share:.0%}"


def _print_by_hand(evidence: Mapping[str, Any], console: Console) -> None:
    if evidence.get("reason"):
        labelled(console, "reason", evidence["reason"])
    if evidence.get("response"):
        labelled(console, "pinged", f"{evidence['response'].get('status')} in {evidence['response'].get('ms')} ms")


def _print_follow_up(entry: AuditEntry, console: Console) -> None:
    if mails_text(entry):
        labelled(console, "mails", mails_text(entry))
    if not entry.finished_at:
        done = ", ".join(sorted(entry.done or ())) or "nothing"
        labelled(console, "follow-up", f"not all done yet; done: {done}")


def _print_days(organization_id: str, days: Sequence[Mapping[str, Any]], console: Console) -> None:
    counted = [(day["day"], [int(day.get(name, 0)) for name in COUNTERS]) for day in days]
    print_days([(organization_id, date, counts) for date, counts in counted if any(counts)], console)


def _print_last_failure(failure: Mapping[str, Any] | None, console: Console) -> None:
    if failure:
        names = ", ".join(str(failure[name]) for name in ("event", "delivery_id") if failure.get(name))
        what = f"{wording.error(failure['error'])}, event {failure['event_id']}{f' ({names})' if names else ''}"
        line(console, f"    last failure: {what}{response_suffix(failure)}")


def _thresholds_text(thresholds: Mapping[str, Any]) -> str:
    """The thresholds that an entry was made by; an old entry lacks some."""
    return ", ".join(text.format(thresholds[name]) for name, text in _THRESHOLDS.items() if name in thresholds)


def _next_commands(explanation: Explanation) -> list[str]:
    """What an operator may want to do now, without `bellhop`."""
    app_id = explanation.app.app_id
    commands = []
    if explanation.app.state == DISABLED:
        commands += [f"ping {app_id}", f"enable {app_id}"]
    else:
        evaluations = [organization.evaluation for organization in explanation.organizations]
        failing = explanation.pause or any(e.broken or e.warnings for e in evaluations)
        commands += [f"ping {app_id}", f"log {app_id} --failures"] if failing else []
        commands += [] if failing else [f"log {app_id}"]
        paused = explanation.condition.paused_since is not None
        commands += [] if paused else _replays(app_id, explanation.replayable)
    if explanation.transition and needs_resending(explanation.transition):
        commands.append(f"mail resend {app_id} '{explanation.transition.transition_id}'")
    return commands


def _replays(app_id: str, replayable: Replayable) -> list[str]:
    """What sends what is kept of an app that is on; during a pause it is refused."""
    if replayable.total([PARKED]):
        return [f"replay {app_id}"]
    return [f"replay {app_id} --exhausted"] if replayable.total([EXHAUSTED]) else []
