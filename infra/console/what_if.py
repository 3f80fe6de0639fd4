"""What other thresholds would have done on the days that are recorded. Pure, but for reading them.

Every day is judged as if it were today and at its end. After a switching off the counting begins anew on the next
day, as if the app had been switched on again; days of several generations are one row of days, because with other
thresholds the generations would have been others.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from bellhop import circuits
from bellhop.outcomes import KEPT, OutcomeDay, scope
from bellhop.registry import DISABLED, App
from health.rules import Day, Pause, PriorWarning, Thresholds, evaluate
from infra.console import show
from infra.console.errors import ConsoleError
from infra.console.switching import summed

SETTINGS = {"timeouts": "timeouts_per_day", "error_days": "error_days", "pause_hours": "pause_hours"}
_MOST = {"error_days": 30}  # of the template's parameter
_ANY = 1_000_000

PauseOn = Callable[[date], Pause | None]


@dataclass(frozen=True, slots=True)
class Ruling:
    """What thresholds make of a day: the rule that switches off, or the warnings, as (rule, reached, limit)."""

    off: str | None = None
    warned: tuple[tuple[str, int, int], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.off or self.warned)


@dataclass(frozen=True, slots=True)
class Compared:
    """A day of an app in an organisation under the present thresholds and under others."""

    organization_id: str
    day: Day
    present: Ruling
    other: Ruling


@dataclass(frozen=True, slots=True)
class DryRun:
    """All recorded days, oldest first by organisation."""

    app: App
    present: Thresholds
    other: Thresholds
    days: tuple[Compared, ...]


def read_settings(assignments: Sequence[str], present: Thresholds) -> Thresholds:
    """The present thresholds with what `name=number` sets.

    Raises:
        ConsoleError: an unknown name, or no number that the template's parameter could be.
    """
    problems: list[str] = []
    chosen: dict[str, int] = {}
    for text in assignments:
        name, _, number = text.partition("=")
        most = _MOST.get(name, _ANY)
        if name not in SETTINGS:
            problems.append(f"--set {text}: {name!r} is no threshold; there are {', '.join(SETTINGS)}")
        elif SETTINGS[name] in chosen:
            problems.append(f"--set {text}: {name} is set twice; keep one")
        elif not (number.isascii() and number.isdigit() and 1 <= int(number[:9]) <= most):
            problems.append(f"--set {text}: write {name}=NUMBER, a whole number from 1 to {most:,}")
        else:
            chosen[SETTINGS[name]] = int(number)
    if problems:
        raise ConsoleError(*problems)
    return replace(present, **chosen)


def dry_run(app: App, present: Thresholds, other: Thresholds, now: datetime) -> DryRun:
    """Judge every recorded day of an app by both thresholds."""
    pause_on = _pauses(app, now)
    compared = []
    for organization in show.organizations(app):
        days = _recorded(app.app_id, organization, now.astimezone(UTC).date())
        rulings = zip(days, simulate(days, present, pause_on), simulate(days, other, pause_on), strict=True)
        compared += [Compared(organization, *row) for row in rulings]
    return DryRun(app, present, other, tuple(compared))


def simulate(days: Sequence[Day], thresholds: Thresholds, pause_on: PauseOn) -> list[Ruling]:
    """What thresholds would have done on each of the days, which are in their order."""
    made: list[Ruling] = []
    began, given = date.min, list[PriorWarning]()
    for today in days:
        pause = pause_on(today.day)
        counted = [day for day in days if began <= day.day <= today.day]
        evaluation = evaluate(counted, today.day, thresholds, pause if pause and pause.began >= began else None)
        due = [warning for warning in evaluation.warnings if not warning.was_given(given)]
        given += [PriorWarning(warning.rule, warning.level, today.day) for warning in due]
        made.append(Ruling(evaluation.rule, tuple((w.rule, w.reached, w.limit) for w in due)))
        if evaluation.rule:
            began, given = today.day + timedelta(days=1), []
    return made


def _recorded(app_id: str, organization_id: str, today: date) -> list[Day]:
    first = (today - KEPT).isoformat()
    rows = [row for row in OutcomeDay.query(scope(app_id, organization_id)) if row.day > first]
    return summed(sorted(rows, key=lambda row: row.day))


def _pauses(app: App, now: datetime) -> PauseOn:
    """The pause that an app is in, or was in when it was switched off, as it was at the end of each day."""
    gate = circuits.load(app.app_id)
    since = circuits.paused_since(gate, int(app.generation) - (app.state == DISABLED))
    if since is None:
        return lambda _: None
    start = datetime.fromtimestamp(since, UTC)

    def on(day: date) -> Pause | None:
        end = min(now, datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1))
        return Pause(start.date(), (end - start).total_seconds() / 3600) if start < end else None

    return on
