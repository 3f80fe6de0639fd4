"""When a failed delivery is tried again. Pure; the operator's command shows the schedule by the same functions."""

from collections.abc import Callable, Sequence

JITTER = 0.1  # added, never subtracted: no endpoint gets a retry sooner than the schedule says
MIN_JITTER = 1.0  # seconds


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


def jittered(seconds: float, uniform: Callable[[float, float], float]) -> int:
    """`seconds` and a little more, rounded up."""
    return -int(-(seconds + uniform(0, max(MIN_JITTER, seconds * JITTER))) // 1)
