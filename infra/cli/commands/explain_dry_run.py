"""bellhop explain --dry-run: what thresholds would have done on the recorded days of an app."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

from rich.console import Console
from rich.text import Text

from bellhop import circuits
from bellhop.outcomes import COUNTERS, KEPT, OutcomeDay, scope
from bellhop.registry import DISABLED, INTERNAL, App, Installation
from health import review
from health.mail.wording import counted
from health.nearness import SimulatedDay, pause_on, simulate
from health.rules import Day, Thresholds, sum_by_date
from infra.cli import stack, terminal
from infra.cli.errors import UsageError
from infra.cli.stack import Stack
from infra.cli.terminal import line, table
from infra.cli.views import load_app, organizations

SETTINGS = {"timeouts": "timeouts_per_day", "error_days": "error_days", "pause_hours": "pause_hours"}
_HIGHEST = {"error_days": 30}  # of the template's parameter BrokenErrorDays
_HIGHEST_OTHERWISE = 1_000_000


@dataclass(frozen=True, slots=True)
class ComparedDay:
    """A day of an app in an organisation under the present thresholds and under others."""

    organization_id: str
    day: Day
    present: SimulatedDay
    other: SimulatedDay


@dataclass(frozen=True, slots=True)
class DryRun:
    """All recorded days, by organisation, oldest first."""

    app: App
    present: Thresholds
    other: Thresholds
    days: tuple[ComparedDay, ...]


def run(stack_name: str, app_id: str, *, settings: Sequence[str], as_json: bool) -> None:
    """Simulate, print what would have happened."""
    found = stack.find(stack_name)
    other = read_settings(settings, found.thresholds)
    stack.bind(found)
    result = dry_run(load_app(app_id), found.thresholds, other, datetime.now(UTC))
    if as_json:
        terminal.print_json(document(result))
    else:
        _print(result, found, terminal.console())


def refuse_settings(settings: Sequence[str]) -> None:
    """Refuse `--set` without `--dry-run`, since it changes nothing.

    Raises:
        UsageError: something is set.
    """
    if settings:
        raise UsageError(
            "--set only asks what would have been: add --dry-run; the stack's thresholds are the parameters "
            "BrokenTimeoutsPerDay, BrokenErrorDays and BrokenPauseHours of `make deploy`"
        )


def read_settings(settings: Sequence[str], present: Thresholds) -> Thresholds:
    """The present thresholds with what `name=number` sets.

    Raises:
        UsageError: an unknown name, or a number that the template's parameter could not be.
    """
    problems: list[str] = []
    chosen: dict[str, int] = {}
    for text in settings:
        name, _, number = text.partition("=")
        highest = _HIGHEST.get(name, _HIGHEST_OTHERWISE)
        if name not in SETTINGS:
            problems.append(f"--set {text}: {name!r} is no threshold; there are {', '.join(SETTINGS)}")
        elif SETTINGS[name] in chosen:
            problems.append(f"--set {text}: {name} is set twice; keep one")
        elif not (number.isascii() and number.isdigit() and 1 <= int(number[:9]) <= highest):
            problems.append(f"--set {text}: write {name}=NUMBER, a whole number from 1 to {highest:,}")
        else:
            chosen[SETTINGS[name]] = int(number)
    if problems:
        raise UsageError(*problems)
    return replace(present, **chosen)


def dry_run(app: App, present: Thresholds, other: Thresholds, now: datetime) -> DryRun:
    """Judge every recorded day of an app by both thresholds."""
    paused = pause_on(_paused_since(app), now)
    compared: list[ComparedDay] = []
    for organization in organizations(app, Installation.by_app.query(app.app_id)):
        days = _recorded(app.app_id, organization, now.astimezone(UTC).date())
        simulated = zip(days, simulate(days, present, paused), simulate(days, other, paused), strict=True)
        compared += [ComparedDay(organization, *row) for row in simulated]
    return DryRun(app, present, other, tuple(compared))


def document(result: DryRun) -> dict[str, Any]:
    """A dry run as JSON."""
    return {
        "app_id": result.app.app_id,
        "present": asdict(result.present),
        "other": asdict(result.other),
        "days": [_day_document(row) for row in result.days],
    }


def _recorded(app_id: str, organization_id: str, today: date) -> list[Day]:
    first = (today - KEPT).isoformat()
    rows = [row for row in OutcomeDay.query(scope(app_id, organization_id)) if row.day > first]
    return sum_by_date(map(review.day, rows))


def _paused_since(app: App) -> datetime | None:
    """When the pause began that an app is in, or was in when it was switched off."""
    generation = int(app.generation) - (app.state == DISABLED)
    since = circuits.paused_since(circuits.load(app.app_id), generation)
    return None if since is None else datetime.fromtimestamp(since, UTC)


def _day_document(row: ComparedDay) -> dict[str, Any]:
    day = asdict(row.day) | {"day": row.day.day.isoformat()}
    return {
        "organization_id": row.organization_id,
        **day,
        "by_present": _simulated_document(row.present),
        "by_other": _simulated_document(row.other),
    }


def _simulated_document(simulated: SimulatedDay) -> dict[str, Any]:
    warnings = [{"rule": w.rule, "reached": w.reached, "limit": w.limit} for w in simulated.warnings]
    return {"off": simulated.broken_rule, "warned": warnings}


def _print(result: DryRun, found: Stack, console: Console) -> None:
    """The days on which either thresholds would have done something, and how often in all."""
    alone_in_time = len(result.days) == 1
    judged = ", judged at its end" if alone_in_time else ", each judged at its end" if result.days else ""
    line(console, f"{result.app.app_id}: {counted(len(result.days), 'recorded day')}{judged}.", "bold")
    alone = result.present == result.other
    kind = result.app.kind
    switched = "off" if kind == INTERNAL else f"broken, left on ({kind})"
    columns = ("organisation", "day (UTC)", *COUNTERS, "the stack's thresholds") + (() if alone else ("yours",))
    rows = [_row(row, switched, alone=alone) for row in result.days if row.present or row.other]
    table(console, columns, rows)
    if result.days and not rows:
        line(console, f"Nothing would have happened on {'it' if alone_in_time else 'any of them'}.")
    _print_summary("the stack's", result.present, (row.present for row in result.days), switched, console)
    if not alone:
        _print_summary("yours", result.other, (row.other for row in result.days), switched, console)
    line(
        console, "After a switching off, counting starts afresh on the next day. Only the last pause is recorded."
    )
    if alone:
        others = "--set timeouts=500 --set error_days=3 --set pause_hours=48"
        line(console, f"Others: {found.command(f'explain {result.app.app_id} --dry-run {others}')}")


def _row(row: ComparedDay, switched: str, *, alone: bool) -> tuple[str | Text, ...]:
    counts = (f"{getattr(row.day, name):,}" for name in COUNTERS)
    simulated = [row.present] if alone else [row.present, row.other]
    return (row.organization_id, row.day.day.isoformat(), *counts, *(_cell(day, switched) for day in simulated))


def _cell(simulated: SimulatedDay, switched: str) -> Text:
    if simulated.broken_rule:
        return Text(f"{switched}: {simulated.broken_rule}", "red")
    warned = [f"warned: {w.rule} {w.reached:,} of {w.limit:,}" for w in simulated.warnings]
    return Text(", ".join(warned), "yellow")


def _print_summary(
    name: str, limits: Thresholds, simulated: Iterable[SimulatedDay], switched: str, console: Console
) -> None:
    days = list(simulated)
    off, warned = sum(bool(day.broken_rule) for day in days), sum(len(day.warnings) for day in days)
    values = ", ".join(f"{short}={getattr(limits, attribute)}" for short, attribute in SETTINGS.items())
    line(console, f"    {name:<12} {values}: {switched} {counted(off, 'time')}, warned {counted(warned, 'time')}")
