"""How fast an app's deliveries may go out: its rate limit, and the slow start after a pause. Pure.

A delivery that may not go out now reserves its place in time, and comes back once, at that time. Both use the
generic cell rate algorithm (ITU-T I.371): each delivery moves a theoretical arrival time (tat) forward.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bellhop.slow_start import start_rate

TRIAL_SECONDS = 30.0  # between trials at first; the longer a pause lasts, the rarer they are
MAX_TRIAL_SECONDS = 900.0
TRIAL_SHARE = 0.1  # of the pause's age

BURST_SECONDS = 1.0  # a limit of n a second allows n at once


@dataclass(frozen=True, slots=True)
class Pace:
    """`limit` deliveries a second (None: no limit), and fewer in the slow start after `closed_at`.

    Times are Unix seconds.
    """

    limit: float | None = None
    closed_at: float | None = None

    def rate(self, at: float) -> float:
        """Deliveries a second that are allowed at that time; infinite when there is no limit."""
        return min(self.limit or math.inf, start_rate(self.closed_at, at))

    def places(self, tat: float | None, wanted: int, now: float) -> tuple[Sequence[float], float | None]:
        """Seconds from now after which each of `wanted` deliveries may go, and the tat after them."""
        if self.rate(now) == math.inf:
            return [0.0] * wanted, tat
        waits, arrival = [], max(tat or now, now)
        for _ in range(wanted):
            step = 1 / self.rate(arrival)
            burst = max(BURST_SECONDS, step)
            waits.append(max(0.0, arrival + step - burst - now - 1e-6))
            arrival += step
        return waits, arrival


def trial_interval(paused_since: float, now: float) -> float:
    """Seconds from one trial to the next."""
    return min(max((now - paused_since) * TRIAL_SHARE, TRIAL_SECONDS), MAX_TRIAL_SECONDS)
