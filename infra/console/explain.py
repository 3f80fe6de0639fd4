"""Why an app is in the state that it is in: the evidence behind it, or how near it is to being switched off."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import takewhile
from typing import Any

from bellhop import outcomes
from bellhop.registry import DISABLED, ENABLED, App, AuditEntry
from health import review, transitions
from health.rules import Day, Evaluation, Pause, Thresholds, evaluate
from infra.console import held, show, switching
from infra.console.held import Held


@dataclass(frozen=True, slots=True)
class Nearness:
    """How far a rule is from switching an app off: `now` and `limit` in words, `share` of the way."""

    rule: str
    now: str
    limit: str
    share: float


@dataclass(frozen=True, slots=True)
class Judged:
    """What health makes of an app's present days in an organisation."""

    organization_id: str
    evaluation: Evaluation
    nearness: tuple[Nearness, ...]
    last_failure: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """An app at a moment. `change` made its state, None when nobody did; `judged` is empty while it is off."""

    app: App
    change: AuditEntry | None
    thresholds: Thresholds
    pause: Pause | None
    judged: tuple[Judged, ...]
    warnings: tuple[AuditEntry, ...]
    held: Held
    now: datetime


def explain(app: App, thresholds: Thresholds, now: datetime) -> Explanation:
    """All that explains an app's state. Reads only."""
    pause = review.pause(app.app_id, int(app.generation), now)
    warnings = transitions.warnings(app) if app.state == ENABLED else ()
    return Explanation(
        app=app,
        change=switching.last_change(app),
        thresholds=thresholds,
        pause=pause,
        judged=tuple(_judge(app, name, thresholds, pause, now) for name in _judged(app)),
        warnings=tuple(sorted(warnings, key=lambda entry: entry.at)),
        held=held.count(app.app_id),
        now=now,
    )


def _judged(app: App) -> list[str]:
    return [] if app.state == DISABLED else show.organizations(app)


def _judge(app: App, organization_id: str, thresholds: Thresholds, pause: Pause | None, now: datetime) -> Judged:
    today = now.astimezone(UTC).date()
    rows = outcomes.days(app.app_id, organization_id, int(app.generation), today, thresholds.window)
    evaluation = evaluate(map(review.day, rows), today, thresholds, pause)
    return Judged(
        organization_id,
        evaluation,
        _nearness(evaluation.days, thresholds, pause, today),
        review.last_failure(rows),
    )


def _nearness(
    days: Sequence[Day], thresholds: Thresholds, pause: Pause | None, today: date
) -> tuple[Nearness, ...]:
    fatal = [day.day for day in days if day.fatal]
    worst = max(days, key=lambda day: (day.timeout, day.day))
    failing = len(list(takewhile(lambda day: day.only_errors, reversed(days))))
    hours = pause.hours if pause else 0.0
    return (
        Nearness("fatal", f"one on {fatal[-1]}" if fatal else "none", "the first", float(bool(fatal))),
        Nearness(
            "timeouts",
            f"{worst.timeout:,}{'' if worst.day == today or not worst.timeout else f' on {worst.day}'}",
            f"{thresholds.timeouts_per_day:,} in a UTC day",
            worst.timeout / thresholds.timeouts_per_day,
        ),
        Nearness(
            "errors",
            f"{failing} in a row, up to today",
            f"{thresholds.error_days} days in a row with errors and no success",
            failing / thresholds.error_days,
        ),
        Nearness(
            "pause",
            f"paused for {int(hours)} h" if pause else "not paused",
            f"{thresholds.pause_hours} h without a successful probe",
            hours / thresholds.pause_hours,
        ),
    )
