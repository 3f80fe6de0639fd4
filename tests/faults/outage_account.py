"""What an outage did to deliveries, computed from when each was published and when it arrived."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.bench.stats import percentile

BIN_SECONDS = 5.0  # of the curve of arrivals
BUSY_SECONDS = 10.0  # over which a busy receiver's rate is also taken


@dataclass(frozen=True, slots=True)
class Sent:
    """A delivery: when it was due, when webhooks with success arrived (Unix seconds), and what it came to.

    It is due when its event is published, or if its endpoint let the first attempt fail, when its retry is due.
    """

    app_id: str
    published: float
    due: float
    end: str
    successes: tuple[float, ...] = ()

    @property
    def delay(self) -> float:
        """Seconds from when it was due until it arrived."""
        return self.successes[0] - self.due


@dataclass(frozen=True, slots=True)
class Span:
    """From one time to another, in Unix seconds."""

    start: float
    end: float

    def __contains__(self, at: float) -> bool:
        return self.start <= at < self.end


@dataclass(frozen=True)
class Account:
    """The deliveries to apps whose endpoints stay, and all requests (app, time) that arrived anywhere."""

    traffic: Span
    outage: Span
    sent: Sequence[Sent]
    requests: Sequence[tuple[str, float]] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """The figures of the report; times are in seconds."""
        after = Span(self.outage.end, self.traffic.end)
        later = Span(self.outage.end, max([self.outage.end, *(at for _, at in self.requests)]) + 1)
        return {
            "duplicates": sum(max(0, len(each.successes) - 1) for each in self.sent),
            "during": delays(each for each in self.sent if each.published in self.outage),
            "after": delays(each for each in self.sent if each.published in after),
            "recovery": self.recovery(),
            "busiest_before": busiest(self.requests, Span(self.traffic.start, self.outage.start)),
            "busiest_after": busiest(self.requests, later),
            "outage": [self.outage.start - self.traffic.start, self.outage.end - self.traffic.start],
            "traffic": self.traffic.end - self.traffic.start,
            "arrivals": curve([at for _, at in self.requests], self.traffic.start),
        }

    def recovery(self) -> float | None:
        """Seconds from the outage's end until all that was published before had arrived; None if it never did."""
        waited = [each for each in self.sent if each.published < self.outage.end]
        if any(not each.successes for each in waited):
            return None
        return max([0.0, *(each.successes[0] - self.outage.end for each in waited)])


def delays(sent: Iterable[Sent]) -> dict[str, float]:
    """The number of those that arrived, and the percentiles of their delays."""
    found = [each.delay for each in sent if each.successes]
    if not found:
        return {"number": 0}
    return {
        "number": len(found),
        "p50": percentile(found, 0.5),
        "p99": percentile(found, 0.99),
        "longest": max(found),
    }


def busiest(requests: Iterable[tuple[str, float]], span: Span) -> dict[str, float]:
    """The most requests a second that any one app got: in its busiest second, and over its busiest ten."""
    within = [(app, at - span.start) for app, at in requests if at in span]
    return {f"{seconds:g} s": _most(within, seconds) / seconds for seconds in (1.0, BUSY_SECONDS)}


def curve(times: Iterable[float], start: float) -> list[float]:
    """Arrivals a second in each `BIN_SECONDS` from `start` on."""
    counted = Counter(int((at - start) // BIN_SECONDS) for at in times if at >= start)
    return [counted[number] / BIN_SECONDS for number in range(max(counted, default=-1) + 1)]


def _most(requests: Iterable[tuple[str, float]], seconds: float) -> int:
    return max(Counter((app, int(at // seconds)) for app, at in requests).values(), default=0)
