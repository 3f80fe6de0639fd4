"""Which apps took the processor of this process, and whose timeouts that excuses.

One thread makes all attempts of a batch, and judges their responses. What it works for one app delays the others.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from deliver.dependencies import Finished, PendingAttempt, PostResult
from deliver.http.faults import OurFaultError
from deliver.http.response import TIMEOUT, SendFailure

# Where this process worked for so many seconds while an attempt ran, or after it, the batch was delayed by it; or
# for half of a short deadline. The apps are listed as slow then of which an attempt took so many of CPU, or all
# attempts together: with 0.29 of a processor, a second.
DELAYED_SECONDS, COSTLY_SECONDS, COSTLY_TOGETHER = 1.0, 0.010, 0.3
MOST_EXCUSED = 5  # deferrals of an attempt, after which it counts: or two apps together would excuse one for ever


@dataclass(slots=True)
class Judging:
    """What it took to judge the responses of a batch, and to mask what is kept of them.

    `seconds`: of all; `processor`: seconds of CPU, by the id of the message.
    """

    seconds: float = 0.0
    processor: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def measure(self, message_id: str) -> Iterator[None]:
        """Add what the block takes."""
        seconds, processor = time.monotonic(), time.thread_time()
        yield
        self.seconds += time.monotonic() - seconds
        self.processor[message_id] = time.thread_time() - processor


def late(posted: Iterable[Finished], deadline: float) -> dict[str, OurFaultError]:
    """The attempts whose deadline passed while this process worked for other apps, for half of it or longer.

    What an app's own attempts took is no excuse, or an endpoint that has us calculate would never be counted.
    """
    fault = OurFaultError("its deadline passed while this process worked for the other attempts of its batch")
    made = [(mid, p, r) for mid, p, r in posted if isinstance(r, PostResult)]
    own = _together((pending.app.app_id, result.processor) for _, pending, result in made)
    whole = sum(own.values()) or 1.0
    return {
        message_id: fault
        for message_id, pending, result in made
        if _timed_out(result)
        and _may_be_excused(pending)
        and result.delayed * (1 - own[pending.app.app_id] / whole) >= deadline / 2
    }


def costly(posted: Iterable[Finished], judging: Judging, deadline: float) -> set[str]:
    """The apps whose attempts took so much CPU, each or together, that they delayed the batch."""
    made = [(m, p.app.app_id, r) for m, p, r in posted if isinstance(r, PostResult) and not p.delivery.ping]
    delayed = max((result.delayed for *_, result in made), default=0.0) + judging.seconds
    if delayed < min(DELAYED_SECONDS, deadline / 2):
        return set()
    attempts = [(app_id, r.processor + judging.processor.get(mid, 0.0)) for mid, app_id, r in made]
    each = {app_id for app_id, seconds in attempts if seconds >= COSTLY_SECONDS}
    return each | {app_id for app_id, seconds in _together(attempts).items() if seconds >= COSTLY_TOGETHER}


def _may_be_excused(pending: PendingAttempt) -> bool:
    return pending.record is None or int(pending.record.deferrals or 0) < MOST_EXCUSED


def _timed_out(result: PostResult) -> bool:
    last = result.sent.last.outcome
    return isinstance(last, SendFailure) and last.kind == TIMEOUT


def _together(attempts: Iterable[tuple[str, float]]) -> dict[str, float]:
    """The sum for each app."""
    together = defaultdict[str, float](float)
    for app_id, seconds in attempts:
        together[app_id] += seconds
    return together
