"""Judging a scope whose counters just took a failure, and making the transition that its days ask for."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any

from bellhop import circuits, outcomes
from bellhop.outcomes import OutcomeDay
from bellhop.registry import ENABLED, INTERNAL, App, AuditEntry, find
from health import transitions
from health.rules import Day, EarlyWarning, Evaluation, Pause, PriorWarning, Thresholds, evaluate, left_on
from health.transitions import TransitionDependencies


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose outcomes are judged: an app in an organisation, and the generation they were counted in."""

    app_id: str
    organization_id: str
    generation: int


def review(scope: Scope, thresholds: Thresholds, deps: TransitionDependencies) -> None:
    """Judge a scope; switch its app off if it is broken, warn if it is near to that.

    Idempotent: any number of reviews of the same outcomes make one transition. Raises on any fault of ours; the
    stream then delivers the record again.
    """
    app = find(App, scope.app_id, consistent=True)
    if app is None:
        deps.telemetry.warning("review skipped: missing_app", app_id=scope.app_id)
    elif int(app.generation) != scope.generation or app.state != ENABLED:
        key = transitions.disabled_entry(scope.generation)
        transitions.resume(find(AuditEntry, scope.app_id, key, consistent=True), deps)
    else:
        _judge(app, scope, thresholds, deps)


def evidence(
    evaluation: Evaluation, app: App, thresholds: Thresholds, rows: Iterable[OutcomeDay]
) -> dict[str, Any]:
    """What the audit entry keeps of a evaluation, and owners are shown."""
    return evaluation.evidence() | {
        "thresholds": asdict(thresholds),
        "url": app.url,
        "last_failure": last_failure(rows),
    }


def last_failure(rows: Iterable[OutcomeDay]) -> dict[str, Any] | None:
    """The newest failure that was kept, of rows in the order of their days."""
    kept = [row.last_failure for row in rows if row.last_failure]
    return json.loads(kept[-1]) if kept else None


def day(row: OutcomeDay) -> Day:
    """A row of counters as the rules see it."""
    counts = {name: int(getattr(row, name)) for name in ("success", "error", "timeout", "fatal")}
    return Day(date.fromisoformat(row.day), **counts)


def pause(app_id: str, generation: int, now: datetime) -> Pause | None:
    """The pause that an app is in."""
    since = circuits.paused_since(circuits.load(app_id), generation)
    if since is None:
        return None
    return Pause(datetime.fromtimestamp(since, UTC).date(), (now.timestamp() - since) / 3600)


def _judge(app: App, scope: Scope, thresholds: Thresholds, deps: TransitionDependencies) -> None:
    now = deps.now().astimezone(UTC)
    rows = outcomes.days(scope.app_id, scope.organization_id, scope.generation, now.date(), thresholds.window)
    evaluation = evaluate(map(day, rows), now.date(), thresholds, pause(scope.app_id, scope.generation, now))
    if not evaluation.broken and not evaluation.warnings:
        return
    shown = evidence(evaluation, app, thresholds, rows)
    if not evaluation.broken:
        _warn(app, scope, evaluation.warnings, shown, deps)
    elif app.kind == INTERNAL:
        transitions.disable(app, scope.organization_id, "health", shown, deps)
    else:
        _warn(app, scope, (left_on(evaluation, now.date()),), shown, deps)


def _warn(
    app: App, scope: Scope, due: tuple[EarlyWarning, ...], shown: dict[str, Any], deps: TransitionDependencies
) -> None:
    before = [e for e in transitions.warnings(app) if e.organization_id == scope.organization_id]
    for entry in before:
        transitions.resume(entry, deps)
    for warning in due:
        if not warning.was_given(map(_prior_warning, before)):
            told = {"rule": warning.rule, "since": warning.since.isoformat(), "warning": _row(warning)}
            transitions.warn(app, scope.organization_id, warning, shown | told, deps)


def _row(warning: EarlyWarning) -> dict[str, int]:
    return {"level": warning.level, "reached": warning.reached, "limit": warning.limit}


def _prior_warning(entry: AuditEntry) -> PriorWarning:
    at = datetime.fromisoformat(entry.at).astimezone(UTC)
    return PriorWarning(entry.evidence["rule"], entry.evidence["warning"]["level"], at.date())
