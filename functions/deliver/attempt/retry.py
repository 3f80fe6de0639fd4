"""When a failed delivery is tried again."""

from collections.abc import Callable, Sequence

JITTER = 0.1  # added, never subtracted: an endpoint is not asked sooner than the schedule says
MIN_JITTER = 1.0  # seconds


def delay(
    ended: int, delays: Sequence[int], not_before: float, uniform: Callable[[float, float], float]
) -> int | None:
    """Whole seconds from the end of attempt `ended` to the next, or None when that was the last.

    The schedule's delay and the endpoint's `not_before`, whichever is longer, with jitter so that what failed
    together does not come back together.
    """
    if ended > len(delays):
        return None
    return jittered(max(float(delays[ended - 1]), not_before), uniform)


def jittered(seconds: float, uniform: Callable[[float, float], float]) -> int:
    """`seconds` and a little more, whole, never less."""
    return -int(-(seconds + uniform(0, max(MIN_JITTER, seconds * JITTER))) // 1)
