"""The effective retry policy of a stack: when a failed delivery is tried again, and how long it can go on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bellhop import queues
from deliver.attempt import retry, verdict
from deliver.circuit import rate
from deliver.circuit.window import FAILED_SHARE, MIN_ATTEMPTS, WINDOW_SECONDS


@dataclass(frozen=True, slots=True)
class Step:
    """An attempt: seconds after the one before it ended, and after the first ended, at the least and the most."""

    attempt: int
    delay: int
    at_least: int
    at_most: int
    total_least: int
    total_most: int


@dataclass(frozen=True, slots=True)
class Pause:
    """When an app is paused and how it comes back, as deliver decides it; times in seconds."""

    window: float = WINDOW_SECONDS
    attempts: int = MIN_ATTEMPTS
    failed_share: float = FAILED_SHARE
    first_probe: float = rate.TRIAL_SECONDS
    longest_probe: float = rate.MAX_TRIAL_SECONDS
    probe_share: float = rate.TRIAL_SHARE  # of the pause's age, between two probes
    start_rate: float = rate.START_RATE  # deliveries a second
    doubling: float = rate.DOUBLING_SECONDS
    full_rate: float = rate.FULL_RATE


@dataclass(frozen=True, slots=True)
class Schedule:
    """All of it; times in seconds, but for `broken_pause_hours`, after which an internal app is switched off.

    `longest_wait` is how long a delivery waits for its app at most.
    """

    deadline: int
    steps: tuple[Step, ...]
    retry_after_cap: int
    longest_wait: int
    broken_pause_hours: int
    wait_round: int = queues.MAX_DELAY  # a wait is looked at anew that often, so it ends that late
    pause: Pause = Pause()


def of(delays: Sequence[int], deadline: int, broken_pause_hours: int) -> Schedule:
    """The schedule of `delays` seconds before each retry, each attempt taking at most `deadline` seconds."""
    steps = tuple(_steps(delays))
    return Schedule(deadline, steps, int(verdict.MAX_RETRY_AFTER), sum(delays), broken_pause_hours)


def _steps(delays: Sequence[int]) -> Iterable[Step]:
    least = most = 0
    yield Step(1, 0, 0, 0, 0, 0)
    for ended, seconds in enumerate(delays, 1):
        shortest = retry.delay(ended, delays, 0.0, lambda low, _: low) or 0
        longest = retry.delay(ended, delays, 0.0, lambda _, high: high) or 0
        least, most = least + shortest, most + longest
        yield Step(ended + 1, seconds, shortest, longest, least, most)
