"""When a failed delivery is tried again. Pure; the operator's command shows the schedule by the same functions."""

from collections.abc import Callable, Sequence

JITTER = 0.1  # added, never subtracted: no endpoint gets a retry sooner than the schedule says
MIN_JITTER = 1.0  # seconds

FAULT_SECONDS = 60.0  # at least, until what a fault of ours prevented is tried again, and as much more by jitter
FAULT_DEFERRALS = 4  # after which it is twice as long
MOST_FAULT_SECONDS = 450.0


def delay(
    attempts_made: int, delays: Sequence[int], not_before: float, uniform: Callable[[float, float], float]
) -> int | None:
    """Whole seconds until the next attempt, or None when the one that was just made was the last.

    The schedule's delay or the endpoint's `not_before`, whichever is longer, and jitter, so that deliveries that
    failed together do not come back together.
    """
    if attempts_made > len(delays):
        return None
    return jittered(max(float(delays[attempts_made - 1]), not_before), uniform)


def fault_wait(deferrals: int, uniform: Callable[[float, float], float]) -> float:
    """Seconds until an attempt that a fault of ours prevented is made, after so many deferrals.

    It is a minute or two at first, and grows to a quarter of an hour. What waits through an outage of hours must
    not be sent by the minute, and after them a few minutes more matter little.
    """
    least = min(FAULT_SECONDS * (1 + deferrals / FAULT_DEFERRALS), MOST_FAULT_SECONDS)
    return least + uniform(0.0, least)


def jittered(seconds: float, uniform: Callable[[float, float], float]) -> int:
    """`seconds` and a little more, rounded up."""
    return -int(-(seconds + uniform(0, max(MIN_JITTER, seconds * JITTER))) // 1)
