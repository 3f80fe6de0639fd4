"""Switching an app on or off by hand: the evidence that the audit entry keeps, and the transition."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from bellhop import outcomes
from bellhop.attempts import PARKED
from bellhop.outcomes import OutcomeDay
from bellhop.registry import DISABLED, App, AuditEntry, find
from health import review, transitions
from health.rules import Day, Thresholds, evaluate
from health.transitions import TransitionDependencies
from infra.console import show
from infra.console.documents import COUNTS
from infra.console.errors import ConsoleError
from infra.console.ping import Response


@dataclass(frozen=True, slots=True)
class Replaying:
    """What is replayed once an app is on; `rate` (deliveries a second) None is the stack's."""

    states: tuple[str, ...] = (PARKED,)
    rate: float | None = None


def enable(
    app: App,
    actor: str,
    deps: TransitionDependencies,
    *,
    response: Response | None,
    replaying: Replaying | None,
    reason: str | None,
) -> AuditEntry:
    """Switch a disabled app on.

    Raises:
        ConsoleError: somebody was quicker.
    """
    off = transitions.last_disabled(app)
    evidence: dict[str, Any] = {
        "rule": transitions.BY_PERSON,
        "url": app.url,
        "off_since": off.at if off else None,
        "days": [],
        "response": {"status": response.status, "ms": response.milliseconds} if response else None,
        "replay": {"states": list(replaying.states), "rate": replaying.rate} if replaying else None,
        "reason": reason,
    }
    made = transitions.enable(app, actor, evidence, deps, tell_owners=False)
    return made or _refuse_late(app, transitions.enabled_id(int(app.generation)))


def disable(app: App, actor: str, reason: str, thresholds: Thresholds, deps: TransitionDependencies) -> AuditEntry:
    """Switch an enabled app off.

    Raises:
        ConsoleError: somebody was quicker.
    """
    evidence = _present(app, thresholds, deps.now()) | {"rule": transitions.BY_PERSON, "reason": reason}
    made = transitions.disable(app, app.organization_id or "", actor, evidence, deps)
    return made or _refuse_late(app, transitions.disabled_id(int(app.generation)))


def resume(app: App, deps: TransitionDependencies) -> bool:
    """Announce what led to the app's present state, if its maker died before it could; True if so."""
    made = last_change(app)
    transitions.resume(made, deps)
    return made is not None and made.announced_at is None


def last_change(app: App) -> AuditEntry | None:
    """The audit entry of the transition into the app's present state, None where there was none."""
    key = transitions.disabled_id if app.state == DISABLED else transitions.enabled_id
    return find(AuditEntry, app.app_id, key(int(app.generation) - 1), consistent=True)


def _refuse_late(app: App, key: str) -> AuditEntry:
    winner = find(AuditEntry, app.app_id, key, consistent=True)
    who = f"{winner.actor} was quicker, at {winner.at}" if winner else "it was changed meanwhile by somebody else"
    raise ConsoleError(f"{app.app_id}: {who}; nothing was done: bellhop explain {app.app_id}")


def _present(app: App, thresholds: Thresholds, now: datetime) -> dict[str, Any]:
    """The days as they are, of all organisations together: the app is switched off in all of them."""
    today, generation = now.astimezone(UTC).date(), int(app.generation)
    rows = [
        row
        for organization in show.organizations(app)
        for row in outcomes.days(app.app_id, organization, generation, today, thresholds.window)
    ]
    rows.sort(key=lambda row: row.day)
    evaluation = evaluate(summed(rows), today, thresholds, review.pause(app.app_id, generation, now))
    return review.evidence(evaluation, app, thresholds, rows)


def summed(rows: Sequence[OutcomeDay]) -> list[Day]:
    """One day for each date of rows that are in the order of their dates."""
    return [_sum(list(days)) for _, days in groupby(map(review.day, rows), lambda day: day.day)]


def _sum(days: Sequence[Day]) -> Day:
    return Day(days[0].day, **{name: sum(getattr(day, name) for day in days) for name in COUNTS})
