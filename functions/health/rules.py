"""When an app counts as broken. Pure: days in, verdict with evidence out."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

WINDOW_DAYS = 7  # today and the six before


@dataclass(frozen=True, slots=True)
class Day:
    """What was counted on one UTC day."""

    day: date
    success: int = 0
    error: int = 0
    timeout: int = 0
    fatal: int = 0

    @property
    def only_errors(self) -> bool:
        """Errors and no success. Timeouts alone do not make a day an error day; they have their own rule."""
        return self.error > 0 and self.success == 0


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From the template's parameters."""

    timeouts_per_day: int
    error_days: int
    pause_hours: int = 72

    @property
    def window(self) -> int:
        """How many days the rules look at."""
        return max(WINDOW_DAYS, self.error_days)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`rule` is what the app broke ("fatal", "timeouts", "errors", "pause"), None while it is sound."""

    rule: str | None
    days: tuple[Day, ...]

    @property
    def broken(self) -> bool:
        """Whether an internal app is to be switched off."""
        return self.rule is not None

    def evidence(self) -> dict[str, Any]:
        """The verdict as the audit entry keeps it."""
        return {"rule": self.rule, "days": [asdict(d) | {"day": d.day.isoformat()} for d in self.days]}


def evaluate(days: Iterable[Day], today: date, thresholds: Thresholds, paused_hours: float = 0.0) -> Verdict:
    """Judge the days up to `today`, and a pause that has lasted `paused_hours` without a successful probe.

    Broken is any fatal answer, too many timeouts in one day, errors alone on every day, too long a pause. Days
    outside the window and days without data are as if nothing had happened on them.
    """
    window = _window(days, today, thresholds.window)
    rule = _rule(window, thresholds)
    if rule is None and paused_hours >= thresholds.pause_hours:
        rule = "pause"
    return Verdict(rule, window)


def _window(days: Iterable[Day], today: date, number: int) -> tuple[Day, ...]:
    known = {d.day: d for d in days}
    dates = [today - timedelta(days=back) for back in reversed(range(number))]
    return tuple(known.get(d, Day(d)) for d in dates)


def _rule(window: Sequence[Day], thresholds: Thresholds) -> str | None:
    if any(d.fatal for d in window):
        return "fatal"
    if any(d.timeout >= thresholds.timeouts_per_day for d in window):
        return "timeouts"
    if all(d.only_errors for d in window[-thresholds.error_days :]):
        return "errors"
    return None
