"""A jittered sleep before an AWS service is called again."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Sleeps up to `base` seconds, doubled for each call that was made before: "full jitter".

    Source: https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/
    """

    base: float
    sleep: Callable[[float], None] = time.sleep
    uniform: Callable[[float, float], float] = random.uniform

    def __call__(self, calls: int) -> None:
        """Sleep after the call number `calls`, counted from 1, has failed."""
        self.sleep(self.uniform(0.0, self.base * 2**calls))
