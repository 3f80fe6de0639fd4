"""The retry policy as an operator reads it."""

from datetime import timedelta

from rich.console import Console

from infra.console.policy import Pause, Schedule, Step
from infra.console.printing import line, table
from infra.console.text import duration

_COLUMNS = ("attempt", "delay", "with jitter", "after the first, in all")


def policy(schedule: Schedule, console: Console) -> None:
    """When attempts are made, and what can put them off."""
    table(console, _COLUMNS, [_step(step) for step in schedule.steps])
    line(console, f"An attempt ends after {schedule.deadline} s at the latest; only then its delay begins.")
    cap = duration(schedule.retry_after_cap)
    line(console, f"Retry-After of a 429 or 503 makes a delay longer, up to {cap}; never shorter.")
    _pause(schedule.pause, console)
    hours = schedule.broken_pause_hours
    line(console, f"    After {hours} hours without a probe that succeeds, an internal app is switched off.")
    longest, often = duration(schedule.longest_wait), duration(schedule.wait_round)
    line(
        console, f"A delivery waits for its app at most {longest}, looked at every {often}; then it is exhausted."
    )


def _step(step: Step) -> tuple[str, ...]:
    if step.attempt == 1:
        return "1", "at once", "", ""
    one = f"{_exact(step.at_least)} to {_exact(step.at_most)}"
    return str(step.attempt), duration(step.delay), one, f"{_exact(step.total_least)} to {_exact(step.total_most)}"


def _exact(seconds: int) -> str:
    return str(timedelta(seconds=seconds))


def _pause(pause: Pause, console: Console) -> None:
    window, share = duration(pause.window), f"{pause.failed_share:.0%}"
    line(console, f"An app is paused when {share} of at least {pause.attempts} attempts in {window} failed:")
    line(console, "    its deliveries wait, which spends none of their attempts;")
    first, longest = duration(pause.first_probe), duration(pause.longest_probe)
    line(
        console, f"    one at a time probes it, every {first} at first, then every {pause.probe_share:.0%} of the"
    )
    line(console, f"    pause's age, at most {longest} apart; the first that succeeds ends the pause;")
    rates = f"{pause.start_rate:g} a second, doubling every {duration(pause.doubling)}, up to {pause.full_rate:g}"
    line(console, f"    then deliveries start slowly: {rates}; from there without limit.")
