"""When an app counts as broken, and when its owners are warned. Pure: days in, evaluation with evidence out."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from itertools import groupby, takewhile
from typing import Any

WINDOW_DAYS = 7  # today and the six days before

FATAL, TIMEOUTS, ERRORS, PAUSE = "fatal", "timeouts", "errors", "pause"

TIMEOUT_WARNINGS = (0.5, 0.75, 0.9)  # shares of the timeouts in one day that switch an app off
ERROR_WARNINGS = (3 / 7, 5 / 7, 6 / 7)  # shares of the error days that do: the third, fifth and sixth of seven
PAUSE_WARNINGS = (0.5, 0.75, 0.9)  # shares of the hours of pause that do
CALM = 0.25  # a day with a smaller share of timeouts ends an episode of them
BROKEN = 1 + max(map(len, (TIMEOUT_WARNINGS, ERROR_WARNINGS, PAUSE_WARNINGS)))  # the level above every warning


@dataclass(frozen=True, slots=True)
class Day:
    """The outcomes counted on one UTC day."""

    day: date
    success: int = 0
    error: int = 0
    timeout: int = 0
    fatal: int = 0

    @property
    def only_errors(self) -> bool:
        """Errors and no success. Timeouts alone do not make a day an error day; they have their own rule."""
        return self.error > 0 and self.success == 0

    def __add__(self, other: "Day") -> "Day":
        counts = (self.success + other.success, self.error + other.error, self.timeout + other.timeout)
        return Day(self.day, *counts, self.fatal + other.fatal)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The limits at which an app counts as broken, from the template's parameters."""

    timeouts_per_day: int
    error_days: int
    pause_hours: int = 72

    @property
    def window(self) -> int:
        """How many days the rules take into account."""
        return max(WINDOW_DAYS, self.error_days)


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause that has not ended: the UTC day it began on, and how many hours ago it began."""

    began: date
    hours: float


@dataclass(frozen=True, slots=True)
class PriorWarning:
    """A warning that was already given: for which rule, at which level, on which UTC day."""

    rule: str
    level: int
    day: date


@dataclass(frozen=True, slots=True)
class EarlyWarning:
    """How close a rule is to switching an app off: `reached` of `limit`, in an episode that began on `since`."""

    rule: str
    level: int  # from 1, the mildest; BROKEN for a broken app that is left on
    reached: int
    limit: int
    since: date

    def was_given(self, prior: Iterable[PriorWarning]) -> bool:
        """Whether this warning, or a more serious one for its rule, was already given in its episode.

        An episode is at most as long as the window, so owners hear of a lasting one again once per window.
        """
        return any(w.rule == self.rule and w.level >= self.level and w.day >= self.since for w in prior)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What the rules say about an app: `rule` is the one it broke, None while it is healthy.

    `since` is when the trouble began. `warnings` say how close the app is to breaking a rule: at most one for each
    rule, and none once a rule is broken.
    """

    rule: str | None
    days: tuple[Day, ...]
    since: date | None = None
    warnings: tuple[EarlyWarning, ...] = ()

    @property
    def broken(self) -> bool:
        """Whether an internal app is to be switched off."""
        return self.rule is not None

    def evidence(self) -> dict[str, Any]:
        """The evaluation as JSON, for the audit entry."""
        days = [asdict(d) | {"day": d.day.isoformat()} for d in self.days]
        return {"rule": self.rule, "since": self.since and self.since.isoformat(), "days": days}


def evaluate(days: Iterable[Day], today: date, thresholds: Thresholds, pause: Pause | None = None) -> Evaluation:
    """Evaluate the days up to `today`, and the pause that the app is in.

    An app is broken after any fatal response, too many timeouts in one day, errors and no success on too many days
    in a row, or too long a pause. Days outside the window are ignored; a day without data counts as one on which
    nothing happened.
    """
    window = _window(days, today, thresholds.window)
    rule, since = _broken(window, thresholds, pause)
    if rule is not None:
        return Evaluation(rule, window, since)
    near = (
        _timeout_warning(window, thresholds),
        _error_warning(window, thresholds),
        _pause_warning(window, thresholds, pause),
    )
    warnings = tuple(warning for warning in near if warning)
    return Evaluation(None, window, min((w.since for w in warnings), default=None), warnings)


def left_on(evaluation: Evaluation, today: date) -> EarlyWarning:
    """The most serious warning: the app is broken, but of a kind that is never switched off."""
    return EarlyWarning(str(evaluation.rule), BROKEN, 1, 1, evaluation.since or today)


def failing_run(days: Sequence[Day]) -> list[Day]:
    """The run of days with errors and no success that ends with the last of `days`, newest first."""
    return list(takewhile(lambda d: d.only_errors, reversed(days)))


def sum_by_date(days: Iterable[Day]) -> list[Day]:
    """One day for each date, oldest first: an app's days in several organisations or generations, added up."""
    ordered = sorted(days, key=lambda d: d.day)
    return [sum(of_day, Day(day)) for day, of_day in groupby(ordered, lambda d: d.day)]


def _broken(window: Sequence[Day], thresholds: Thresholds, pause: Pause | None) -> tuple[str | None, date | None]:
    if fatal := [d.day for d in window if d.fatal]:
        return FATAL, fatal[0]
    if timeouts := [d.day for d in window if d.timeout >= thresholds.timeouts_per_day]:
        return TIMEOUTS, timeouts[0]
    if len(failing := failing_run(window)) >= thresholds.error_days:
        return ERRORS, failing[-1].day
    if pause and _too_long(pause, window, thresholds):
        return PAUSE, pause.began
    return None, None


def _too_long(pause: Pause, window: Sequence[Day], thresholds: Thresholds) -> bool:
    # Trials must have failed throughout: a pause in which nothing was tried proves nothing.
    tried = all(d.error + d.timeout for d in window[-math.ceil(thresholds.pause_hours / 24) :])
    return pause.hours >= thresholds.pause_hours and tried and not _had_success(pause, window)


def _had_success(pause: Pause, window: Sequence[Day]) -> bool:
    # A process that had not heard of the pause yet delivered something after it began: the endpoint works.
    return any(d.success for d in window if d.day > pause.began)


def _timeout_warning(window: Sequence[Day], thresholds: Thresholds) -> EarlyWarning | None:
    limit = thresholds.timeouts_per_day
    episode = list(takewhile(lambda d: d.timeout > 0 and d.timeout >= CALM * limit, reversed(window)))
    reached = window[-1].timeout
    level = sum(reached > 0 and reached >= share * limit for share in TIMEOUT_WARNINGS)
    return EarlyWarning(TIMEOUTS, level, reached, limit, episode[-1].day) if level else None


def _error_warning(window: Sequence[Day], thresholds: Thresholds) -> EarlyWarning | None:
    limit = thresholds.error_days
    run = failing_run(window)
    warned_at = {math.ceil(share * limit) for share in ERROR_WARNINGS} - {limit}
    level = sum(len(run) >= days for days in warned_at)
    return EarlyWarning(ERRORS, level, len(run), limit, run[-1].day) if level else None


def _pause_warning(window: Sequence[Day], thresholds: Thresholds, pause: Pause | None) -> EarlyWarning | None:
    if pause is None or _had_success(pause, window):
        return None
    limit = thresholds.pause_hours
    level = sum(pause.hours >= share * limit for share in PAUSE_WARNINGS)
    return EarlyWarning(PAUSE, level, int(pause.hours), limit, pause.began) if level else None


def _window(days: Iterable[Day], today: date, number: int) -> tuple[Day, ...]:
    known = {d.day: d for d in days}
    dates = [today - timedelta(days=back) for back in reversed(range(number))]
    return tuple(known.get(d, Day(d)) for d in dates)
