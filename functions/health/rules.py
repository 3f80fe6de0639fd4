"""When an app counts as broken, and when its owners are warned. Pure: days in, verdict with evidence out."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from itertools import takewhile
from typing import Any

WINDOW_DAYS = 7  # today and the six before

FATAL, TIMEOUTS, ERRORS, PAUSE = "fatal", "timeouts", "errors", "pause"

TIMEOUT_WARNINGS = (0.5, 0.75, 0.9)  # shares of the day's timeouts that switch off
ERROR_WARNINGS = (3 / 7, 5 / 7, 6 / 7)  # of the days that switch off: the third, fifth and sixth of seven
PAUSE_WARNINGS = (0.5, 0.75, 0.9)  # of the hours that switch off
CALM = 0.25  # a day with a smaller share of timeouts ends an episode of them
BROKEN = 1 + max(map(len, (TIMEOUT_WARNINGS, ERROR_WARNINGS, PAUSE_WARNINGS)))  # the level above every warning


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
class Pause:
    """A pause that has not ended: the UTC day it began, and how long ago that is."""

    began: date
    hours: float


@dataclass(frozen=True, slots=True)
class Given:
    """A warning that was given: for which rule, how urgent, on which UTC day."""

    rule: str
    level: int
    day: date


@dataclass(frozen=True, slots=True)
class EarlyWarning:
    """How near a rule is to switching an app off: `reached` of `limit`, in an episode that began `since`."""

    rule: str
    level: int  # from 1, the mildest; BROKEN where an app that is broken is left on
    reached: int
    limit: int
    since: date

    def given_in(self, given: Iterable[Given]) -> bool:
        """Whether it, or a graver one of its rule, was given in its episode.

        An episode is at most as long as the window: of one that goes on, owners are reminded once a window.
        """
        return any(w.rule == self.rule and w.level >= self.level and w.day >= self.since for w in given)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`rule` is what the app broke, None while it is sound; `since` is when the trouble began.

    `warnings` say how near it is to breaking a rule: at most one for each, none once one is broken.
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
        """The verdict as the audit entry keeps it."""
        days = [asdict(d) | {"day": d.day.isoformat()} for d in self.days]
        return {"rule": self.rule, "since": self.since and self.since.isoformat(), "days": days}


def evaluate(days: Iterable[Day], today: date, thresholds: Thresholds, pause: Pause | None = None) -> Verdict:
    """Judge the days up to `today`, and the pause that the app is in.

    Broken is any fatal response, too many timeouts in one day, errors alone on every day, too long a pause. Days
    outside the window and days without data are as if nothing had happened on them.
    """
    window = _window(days, today, thresholds.window)
    rule, since = _broken(window, thresholds, pause)
    if rule is not None:
        return Verdict(rule, window, since)
    near = _timeouts(window, thresholds), _errors(window, thresholds), _paused(window, thresholds, pause)
    warnings = tuple(warning for warning in near if warning)
    return Verdict(None, window, min((w.since for w in warnings), default=None), warnings)


def left_on(verdict: Verdict, today: date) -> EarlyWarning:
    """A broken verdict on an app that is never switched off, as the gravest warning there is."""
    return EarlyWarning(str(verdict.rule), BROKEN, 1, 1, verdict.since or today)


def _broken(window: Sequence[Day], thresholds: Thresholds, pause: Pause | None) -> tuple[str | None, date | None]:
    if fatal := [d.day for d in window if d.fatal]:
        return FATAL, fatal[0]
    if timeouts := [d.day for d in window if d.timeout >= thresholds.timeouts_per_day]:
        return TIMEOUTS, timeouts[0]
    if len(_failing(window)) >= thresholds.error_days:
        return ERRORS, _failing(window)[-1].day
    if pause and _too_long(pause, window, thresholds):
        return PAUSE, pause.began
    return None, None


def _too_long(pause: Pause, window: Sequence[Day], thresholds: Thresholds) -> bool:
    # Probes must have failed all the while: a pause that nobody tried to end says nothing.
    tried = all(d.error + d.timeout for d in window[-math.ceil(thresholds.pause_hours / 24) :])
    return pause.hours >= thresholds.pause_hours and tried and not _got_through(pause, window)


def _got_through(pause: Pause, window: Sequence[Day]) -> bool:
    # A success since it began: a process that knew nothing of the pause got through, so the endpoint is well.
    return any(d.success for d in window if d.day > pause.began)


def _timeouts(window: Sequence[Day], thresholds: Thresholds) -> EarlyWarning | None:
    limit = thresholds.timeouts_per_day
    episode = list(takewhile(lambda d: d.timeout > 0 and d.timeout >= CALM * limit, reversed(window)))
    reached = window[-1].timeout
    level = sum(reached > 0 and reached >= share * limit for share in TIMEOUT_WARNINGS)
    return EarlyWarning(TIMEOUTS, level, reached, limit, episode[-1].day) if level else None


def _errors(window: Sequence[Day], thresholds: Thresholds) -> EarlyWarning | None:
    limit = thresholds.error_days
    run = _failing(window)
    marks = {math.ceil(share * limit) for share in ERROR_WARNINGS} - {limit}
    level = sum(len(run) >= mark for mark in marks)
    return EarlyWarning(ERRORS, level, len(run), limit, run[-1].day) if level else None


def _paused(window: Sequence[Day], thresholds: Thresholds, pause: Pause | None) -> EarlyWarning | None:
    if pause is None or _got_through(pause, window):
        return None
    limit = thresholds.pause_hours
    level = sum(pause.hours >= share * limit for share in PAUSE_WARNINGS)
    return EarlyWarning(PAUSE, level, int(pause.hours), limit, pause.began) if level else None


def _failing(window: Sequence[Day]) -> list[Day]:
    """The run of days with errors and no success up to today, the newest first."""
    return list(takewhile(lambda d: d.only_errors, reversed(window)))


def _window(days: Iterable[Day], today: date, number: int) -> tuple[Day, ...]:
    known = {d.day: d for d in days}
    dates = [today - timedelta(days=back) for back in reversed(range(number))]
    return tuple(known.get(d, Day(d)) for d in dates)
