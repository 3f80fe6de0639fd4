"""The few statistics the report needs."""

import itertools
import math
import random
from collections.abc import Sequence


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0 to 1) of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def zipf(number: int, exponent: float = 1.0) -> list[float]:
    """The shares of `number` ranks, most frequent first."""
    weights = [1 / rank**exponent for rank in range(1, number + 1)]
    return [weight / sum(weights) for weight in weights]


def draw(shares: Sequence[float], number: int, seed: int) -> list[int]:
    """`number` ranks drawn by their shares; the same for the same seed."""
    cumulative = list(itertools.accumulate(shares))
    return random.Random(seed).choices(range(len(shares)), cum_weights=cumulative, k=number)


def distinct(shares: Sequence[float], batch: int) -> float:
    """How many different ranks a batch of draws holds on average."""
    return sum(1 - (1 - share) ** batch for share in shares)
