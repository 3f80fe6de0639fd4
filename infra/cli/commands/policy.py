"""bellhop policy: when a failed delivery is tried again on a stack, and how long that can go on."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from rich.console import Console

from bellhop import slow_start
from deliver.attempt import retry, verdict
from deliver.circuit import rate
from deliver.circuit.strikes import SLOW_SHARE, STRIKES_OF_SLOW, STRIKES_TO_PAUSE, WINDOW_SECONDS
from infra.cli import stack, terminal
from infra.cli.terminal import line, table
from infra.cli.text import duration

_COLUMNS = ("attempt", "delay", "with jitter", "after the first, in all")


@dataclass(frozen=True, slots=True)
class Step:
    """An attempt, and when it is made, in seconds: after the one before it ended, and after the first ended.

    `delay` is without jitter; the others are the least and the most with it.
    """

    attempt: int
    delay: int
    at_least: int
    at_most: int
    total_least: int
    total_most: int


@dataclass(frozen=True, slots=True)
class PausePolicy:
    """When an app is paused and how it comes back, as deliver decides it; times in seconds."""

    strikes: int = STRIKES_TO_PAUSE
    strikes_of_slow: int = STRIKES_OF_SLOW
    window: float = WINDOW_SECONDS  # after which strikes are forgotten, if no other came
    slow_share: float = SLOW_SHARE  # of the deadline
    first_trial_interval: float = rate.TRIAL_SECONDS
    longest_trial_interval: float = rate.MAX_TRIAL_SECONDS
    trial_share: float = rate.TRIAL_SHARE  # of the pause's age, between two trials
    start_rate: float = slow_start.START_RATE  # deliveries a second
    doubling: float = slow_start.DOUBLING_SECONDS
    full_rate: float = slow_start.FULL_RATE


@dataclass(frozen=True, slots=True)
class Schedule:
    """The whole policy, in seconds; after a pause of `broken_pause_hours` an internal app is switched off.

    A delivery waits for a pause, or for its place under a rate limit, for at most `longest_wait`.
    """

    deadline: int
    steps: tuple[Step, ...]
    retry_after_cap: int
    longest_wait: int
    broken_pause_hours: int
    pause: PausePolicy = PausePolicy()


def run(stack_name: str, *, as_json: bool) -> None:
    """Print the policy of a stack."""
    found = stack.find(stack_name)
    schedule = schedule_of(found.retry_delays, found.deadline_seconds, found.thresholds.pause_hours)
    if as_json:
        terminal.print_json(asdict(schedule))
    else:
        _print(schedule, terminal.console())


def schedule_of(delays: Sequence[int], deadline: int, broken_pause_hours: int) -> Schedule:
    """The policy with `delays` seconds before each retry, each attempt taking at most `deadline` seconds."""
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


def _print(schedule: Schedule, console: Console) -> None:
    table(console, _COLUMNS, [_row(step) for step in schedule.steps])
    line(console, f"An attempt ends after {schedule.deadline} s at the latest; only then its delay begins.")
    cap = duration(schedule.retry_after_cap)
    line(console, f"Retry-After of a 429 or 503 makes a delay longer, up to {cap}; never shorter.")
    _print_pause(schedule, console)
    hours = schedule.broken_pause_hours
    line(console, f"    After {hours} hours without a successful trial, an internal app is switched off.")
    longest = duration(schedule.longest_wait)
    line(console, f"A delivery waits for a pause or a rate limit for at most {longest}; then it is exhausted.")


def _row(step: Step) -> tuple[str, ...]:
    if step.attempt == 1:
        return "1", "at once", "", ""
    jittered = f"{duration(step.at_least)} to {duration(step.at_most)}"
    total = f"{duration(step.total_least)} to {duration(step.total_most)}"
    return str(step.attempt), duration(step.delay), jittered, total


def _print_pause(schedule: Schedule, console: Console) -> None:
    pause = schedule.pause
    first, longest = duration(pause.first_trial_interval), duration(pause.longest_trial_interval)
    lapse = duration(pause.window)
    doubling, slow = duration(pause.doubling), schedule.deadline * pause.slow_share
    start = f"{pause.start_rate:g} a second, doubling every {doubling}, up to {pause.full_rate:g}"
    for text in (
        f"An app is paused when its endpoint has {pause.strikes} strikes in a row, at most {lapse} apart:",
        "    no response, a 5xx, a 429 or no access token is one; any other response takes all of them back;",
        f"    an attempt of that kind which lasted {slow:g} s or longer counts as {pause.strikes_of_slow};",
        "    quick ones must be of two organisations' deliveries, unless the app is internal;",
        "    its deliveries are parked, which uses up none of their attempts;",
        "    the oldest that is due is a trial, or every other time one of an organisation drawn by lot;",
        f"    trials are made every {first} at first, then every {pause.trial_share:.0%} of the pause's age,",
        f"    at most {longest} apart; the first that finds the endpoint well ends the pause;",
        f"    then deliveries start slowly: {start}; from there without limit.",
    ):
        line(console, text)
