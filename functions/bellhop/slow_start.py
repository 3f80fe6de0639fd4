"""The slow start: how many deliveries a second may go out when a pause has just ended. Pure."""

import math

START_RATE = 1.0  # deliveries a second when a pause has just ended,
DOUBLING_SECONDS = 10.0  # and how long it takes to double,
FULL_RATE = 64.0  # until it is no limit any more
START_SECONDS = DOUBLING_SECONDS * math.log2(FULL_RATE / START_RATE)


def start_rate(closed_at: float | None, now: float) -> float:
    """Deliveries a second that the slow start allows; infinite when there is none, or it is over."""
    if closed_at is None or now - closed_at >= START_SECONDS:
        return math.inf
    return float(START_RATE * 2 ** (max(now - closed_at, 0.0) / DOUBLING_SECONDS))
