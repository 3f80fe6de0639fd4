"""How many deliveries of an app may go out now: the pause, the slow start after it, and the rate limit. Pure."""

import math
from dataclasses import dataclass

TRIAL_SECONDS = 30.0  # between trials at first; the longer a pause lasts, the rarer they are
MAX_TRIAL_SECONDS = 900.0
TRIAL_SHARE = 0.1  # of the pause's age

START_RATE = 1.0  # deliveries a second when a pause has just ended,
DOUBLING_SECONDS = 10.0  # and how long it takes to double,
FULL_RATE = 64.0  # until it is no limit any more

BURST_SECONDS = 1.0  # a limit of n a second allows n at once


@dataclass(frozen=True, slots=True)
class CircuitState:
    """A circuit as it was read; times in Unix seconds. `tat`: theoretical arrival time of the next delivery."""

    paused_since: float | None = None
    next_trial_at: float = 0.0
    trial_lease_until: float | None = None
    closed_at: float | None = None
    tat: float | None = None


@dataclass(frozen=True, slots=True)
class Admission:
    """`count` deliveries may go now, the others after `wait` seconds, one every `1 / rate` seconds.

    `paused_since` is set when the one that may go is the trial of a paused app, whose lease is still to be taken.
    `tat` is the theoretical arrival time after these deliveries, None when no rate limits them.
    """

    count: int
    wait: float = 0.0
    rate: float = math.inf
    paused_since: float | None = None
    tat: float | None = None


def admit(state: CircuitState, wanted: int, limit: float | None, now: float) -> Admission:
    """Decide on `wanted` deliveries of an app with `limit` a second (None: no limit)."""
    if state.paused_since is not None:
        return _paused(state, now)
    rate = min(limit or math.inf, start_rate(state.closed_at, now))
    if rate == math.inf:
        return Admission(wanted)
    return _limited(state.tat, wanted, rate, now)


def start_rate(closed_at: float | None, now: float) -> float:
    """Deliveries a second that the slow start allows; infinite when there is none, or it is over."""
    if closed_at is None:
        return math.inf
    rate = START_RATE * 2 ** min((now - closed_at) / DOUBLING_SECONDS, 60)
    return rate if rate < FULL_RATE else math.inf


def trial_interval(paused_since: float, now: float) -> float:
    """Seconds from one trial to the next."""
    return min(max((now - paused_since) * TRIAL_SHARE, TRIAL_SECONDS), MAX_TRIAL_SECONDS)


def _paused(state: CircuitState, now: float) -> Admission:
    taken = state.trial_lease_until is not None and state.trial_lease_until >= now
    if now >= state.next_trial_at and not taken:
        return Admission(1, TRIAL_SECONDS, paused_since=state.paused_since)
    return Admission(0, max(state.next_trial_at - now, 1.0))


def _limited(tat: float | None, wanted: int, rate: float, now: float) -> Admission:
    # The generic cell rate algorithm (ITU-T I.371): each delivery moves the theoretical arrival time by 1 / rate.
    start = max(tat or now, now)
    burst = max(BURST_SECONDS, 1 / rate)
    count = max(0, min(wanted, math.floor((now + burst - start) * rate + 1e-9)))
    moved = start + count / rate
    return Admission(count, max(moved - now, 1.0), rate, tat=moved if count else None)
