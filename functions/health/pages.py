"""What replays and resends have in common: chains of messages, each of which sends a page of retries at a rate."""

import math
from collections.abc import Sequence

from bellhop import deliveries
from bellhop.deliveries import Retry
from bellhop.queues import MAX_DELAY, OutgoingMessage
from health.dependencies import HealthDependencies

PAGE, PAGE_SECONDS = 100, 10.0  # retries of a page at most, and for how long they last
BEHIND_SECONDS = 60  # from one page to the next while at least a page that was sent is not attempted yet,
WORTH_SECONDS = 10.0  # and as much as goes out in so many seconds


def page_size(rate: float) -> int:
    """How many retries a chain that sends `rate` a second hands over at once: for PAGE_SECONDS, PAGE at most.

    So it is soon seen how far the chain is, and a stop is soon heeded.
    """
    return max(1, min(PAGE, math.ceil(rate * PAGE_SECONDS)))


def delay(number: int, rate: float) -> int:
    """Seconds until the retry of that number on its page, counted from 0, goes out."""
    return min(MAX_DELAY, int(number / rate))


def send(retries: Sequence[Retry], rate: float, deps: HealthDependencies) -> int:
    """Send a page, `rate` retries a second; how many of them SQS did not take."""
    outgoing = [
        OutgoingMessage(deliveries.encode(retry), retry.app_id, delay(number, rate))
        for number, retry in enumerate(retries)
    ]
    return len(deps.retry(outgoing)) if outgoing else 0
