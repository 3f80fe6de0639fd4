"""How close an app is to each limit, and what other limits would have done. Pure; for the operator's command."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from health.rules import (
    ERRORS,
    FATAL,
    PAUSE,
    TIMEOUTS,
    Day,
    EarlyWarning,
    Pause,
    PriorWarning,
    Thresholds,
    evaluate,
    failing_run,
)

PauseOn = Callable[[date], Pause | None]  # the pause that an app was in at the end of a UTC day


@dataclass(frozen=True, slots=True)
class Nearness:
    """How close a rule is to switching an app off: `reached` of `limit`, in the rule's own unit.

    The units: days with a fatal response, timeouts in one UTC day, days in a row, hours of pause. `day` is the UTC
    day that counts most: the last one with a fatal response, or the one with the most timeouts.
    """

    rule: str
    reached: float
    limit: int
    day: date | None = None

    @property
    def share(self) -> float:
        """How much of the way is covered; 1 or more is broken."""
        return min(self.reached, 1.0) if self.rule == FATAL else self.reached / self.limit


def nearness(days: Sequence[Day], thresholds: Thresholds, pause: Pause | None) -> tuple[Nearness, ...]:
    """How close each rule is; `days` are those of an Evaluation: the whole window, oldest first."""
    fatal = [day.day for day in days if day.fatal]
    worst = max(days, key=lambda day: (day.timeout, day.day))
    return (
        Nearness(FATAL, len(fatal), 1, fatal[-1] if fatal else None),
        Nearness(TIMEOUTS, worst.timeout, thresholds.timeouts_per_day, worst.day if worst.timeout else None),
        Nearness(ERRORS, len(failing_run(days)), thresholds.error_days),
        Nearness(PAUSE, pause.hours if pause else 0.0, thresholds.pause_hours),
    )


@dataclass(frozen=True, slots=True)
class SimulatedDay:
    """What thresholds would have done on a day: the rule that switches the app off, or the warnings."""

    broken_rule: str | None = None
    warnings: tuple[EarlyWarning, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.broken_rule or self.warnings)


def simulate(days: Sequence[Day], thresholds: Thresholds, pause_on: PauseOn) -> list[SimulatedDay]:
    """What thresholds would have done on each of the days, which are in order.

    Each day is evaluated as if it were today and at its end. After the app is switched off, counting starts afresh
    on the next day, as if the app had been switched on again. Days of several generations count as one series,
    because with other thresholds the generations would have been others.
    """
    simulated: list[SimulatedDay] = []
    first, prior = date.min, list[PriorWarning]()
    for today in days:
        pause = pause_on(today.day)
        counted = [day for day in days if first <= day.day <= today.day]
        evaluation = evaluate(counted, today.day, thresholds, pause if pause and pause.began >= first else None)
        due = tuple(warning for warning in evaluation.warnings if not warning.was_given(prior))
        prior += [PriorWarning(warning.rule, warning.level, today.day) for warning in due]
        simulated.append(SimulatedDay(evaluation.rule, due))
        if evaluation.broken:
            first, prior = today.day + timedelta(days=1), []
    return simulated


def pause_on(since: datetime | None, now: datetime) -> PauseOn:
    """For `simulate`: the pause that began at `since`, None where there was none. No day ends later than `now`."""

    def at_end_of(day: date) -> Pause | None:
        end = min(now, datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1))
        if since is None or since >= end:
            return None
        return Pause(since.astimezone(UTC).date(), (end - since).total_seconds() / 3600)

    return at_end_of
