"""Reviewing a scope in which a failure was just counted, and making the transition that its days call for."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any

from bellhop import circuits, outcomes
from bellhop.outcomes import COUNTERS, OutcomeDay
from bellhop.registry import ENABLED, INTERNAL, App, AuditEntry, find
from health import transitions
from health.rules import Day, Evaluation, Pause, PriorWarning, Thresholds, evaluate, left_on
from health.transitions import TransitionDependencies


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose outcomes are reviewed: those of an app in an organisation, counted in one generation."""

    app_id: str
    organization_id: str
    generation: int


def review(scope: Scope, thresholds: Thresholds, deps: TransitionDependencies) -> None:
    """Switch the scope's app off if it is broken, and warn its owners if it is close to that.

    Idempotent: any number of reviews of the same outcomes make one transition. Raises on any fault of ours; the
    stream then delivers the change again.
    """
    app = find(App, scope.app_id, consistent=True)
    if app is None:
        deps.telemetry.warning("review skipped: the app does not exist", app_id=scope.app_id)
    elif int(app.generation) != scope.generation or app.state != ENABLED:
        _resume_warnings(app, scope, deps)  # one of them may have been given just before the app was switched off
        transition_id = transitions.disabled_id(scope.generation)
        transitions.resume(find(AuditEntry, scope.app_id, transition_id, consistent=True), deps)
    else:
        _review_current(app, scope, thresholds, deps)


def evidence(
    evaluation: Evaluation, app: App, thresholds: Thresholds, rows: Iterable[OutcomeDay]
) -> dict[str, Any]:
    """What the audit entry stores, and the mail shows: an evaluation with what it was based on."""
    return evaluation.evidence() | {
        "thresholds": asdict(thresholds),
        "url": app.url,
        "last_failure": last_failure(rows),
    }


def last_failure(rows: Iterable[OutcomeDay]) -> dict[str, Any] | None:
    """The newest failure in the rows, which are in order of their days."""
    failures = [row.last_failure for row in rows if row.last_failure]
    return json.loads(failures[-1]) if failures else None


def day(row: OutcomeDay) -> Day:
    """A row of counters, for the rules."""
    counts = {name: int(getattr(row, name)) for name in COUNTERS}
    return Day(date.fromisoformat(row.day), **counts)


def pause(app_id: str, generation: int, now: datetime) -> Pause | None:
    """The pause that an app is in, or None."""
    since = circuits.paused_since(circuits.load(app_id), generation)
    if since is None:
        return None
    return Pause(datetime.fromtimestamp(since, UTC).date(), (now.timestamp() - since) / 3600)


def _review_current(app: App, scope: Scope, thresholds: Thresholds, deps: TransitionDependencies) -> None:
    now = deps.now().astimezone(UTC)
    rows = outcomes.days(scope.app_id, scope.organization_id, scope.generation, now.date(), thresholds.window)
    evaluation = evaluate(map(day, rows), now.date(), thresholds, pause(scope.app_id, scope.generation, now))
    if not evaluation.broken and not evaluation.warnings:
        return
    facts = evidence(evaluation, app, thresholds, rows)
    prior = [_prior_warning(entry) for entry in _resume_warnings(app, scope, deps)]
    if evaluation.broken and app.kind == INTERNAL:
        transitions.disable(app, scope.organization_id, "health", facts, deps)
        return
    due = (left_on(evaluation, now.date()),) if evaluation.broken else evaluation.warnings
    for warning in due:
        if not warning.was_given(prior):
            numbers = {"level": warning.level, "reached": warning.reached, "limit": warning.limit}
            details = {"rule": warning.rule, "since": warning.since.isoformat(), "warning": numbers}
            transitions.warn(app, scope.organization_id, warning, facts | details, deps)


def _resume_warnings(app: App, scope: Scope, deps: TransitionDependencies) -> list[AuditEntry]:
    """The warnings given so far, with the announcement made up for where its maker died before it."""
    given = list(transitions.warnings_in(app, scope.organization_id, scope.generation))
    for entry in given:
        transitions.resume(entry, deps)
    return given


def _prior_warning(entry: AuditEntry) -> PriorWarning:
    at = datetime.fromisoformat(entry.at).astimezone(UTC)
    return PriorWarning(entry.evidence["rule"], entry.evidence["warning"]["level"], at.date())
