"""When an app counts as broken. Pure: days in, verdict with evidence out."""

import math
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


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause that has not ended: the UTC day it began, and how long ago that is."""

    began: date
    hours: float


def evaluate(days: Iterable[Day], today: date, thresholds: Thresholds, pause: Pause | None = None) -> Verdict:
    """Judge the days up to `today`, and the pause that the app is in.

    Broken is any fatal answer, too many timeouts in one day, errors alone on every day, too long a pause. Days
    outside the window and days without data are as if nothing had happened on them.
    """
    window = _window(days, today, thresholds.window)
    rule = _rule(window, thresholds)
    if rule is None and pause and _too_long(pause, window, thresholds):
        rule = "pause"
    return Verdict(rule, window)


def _too_long(pause: Pause, window: Sequence[Day], thresholds: Thresholds) -> bool:
    # A success since it began: a process that knew nothing of the pause got through, so the endpoint is well.
    # And probes must have failed all the while: a pause that nobody tried to end says nothing.
    got_through = any(d.success for d in window if d.day > pause.began)
    tried = all(d.error + d.timeout for d in window[-math.ceil(thresholds.pause_hours / 24) :])
    return pause.hours >= thresholds.pause_hours and tried and not got_through


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
