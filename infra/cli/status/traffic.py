"""What was delivered in the last minutes and how long it waited, and the ages of the queues: from CloudWatch.

All of it is one call. The embedded AWS makes no metrics of what the functions count, so there the same numbers are
read from the lines of deliver's log that have them.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil
from typing import Any

from infra.cli import log_lines
from infra.cli.doctor.looking import Deployed
from infra.cli.log_lines import Log, LogLine
from infra.cli.status import queues

MINUTES = 5
LATE = timedelta(minutes=10)  # CloudWatch has the ages of queues some minutes late

DELAYS = "DeliveryDelay"  # seconds that a first attempt waited for its turn
COUNTS = {
    "DeliverySucceeded": "delivered",
    "AttemptFailed": "failed",
    "DeliveryParked": "parked",
    "DeliveryExhausted": "exhausted",
    "OurFault": "our_faults",
    "MessageReturned": "returned",
}
_PERCENTILES = {"p50": "median_delay", "p99": "p99_delay"}


@dataclass(frozen=True, slots=True)
class Traffic:
    """The last MINUTES: attempts by what became of them, and delays in seconds, None where nothing was measured.

    `source` says where the numbers are from; empty where there are none. `ages`: seconds of the oldest message by
    the name of its queue, for those of which CloudWatch knows it.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    median_delay: float | None = None
    p99_delay: float | None = None
    source: str = ""
    ages: Mapping[str, float] = field(default_factory=dict)

    def text(self) -> str:
        """What became of the attempts, as a line."""
        if not self.source:
            return f"last {MINUTES} min: nothing was attempted, or CloudWatch has not counted it yet"
        parts = [f"{self.counts.get(name, 0):,} {name}" for name in ("delivered", "failed")]
        rest = ("parked", "exhausted", "our_faults", "returned")
        parts += [f"{self.counts[name]:,} {name.replace('_', ' ')}" for name in rest if self.counts.get(name)]
        return f"last {MINUTES} min: {', '.join(parts)}"

    def delays_text(self) -> str:
        """How long first attempts waited, as a line; empty where nothing was measured."""
        if self.median_delay is None or self.p99_delay is None:
            return ""
        return f"  first attempts waited {self.median_delay:.1f} s (median), {self.p99_delay:.1f} s (99%)"

    def document(self) -> dict[str, Any]:
        """As JSON."""
        numbers = {name: self.counts.get(name, 0) for name in COUNTS.values()} if self.source else {}
        delays = {"median_delay": self.median_delay, "p99_delay": self.p99_delay}
        return {"minutes": MINUTES, "source": self.source or None} | numbers | delays


def read(deployed: Deployed, urls: Mapping[str, str], now: datetime) -> Traffic:
    """The last minutes' traffic, and the ages of these queues."""
    queries = [*queues.age_queries(urls), *_queries(f"Bellhop/{deployed.stack.name}")]
    window = {"StartTime": now - LATE, "EndTime": now, "ScanBy": "TimestampDescending"}
    found = deployed.client("cloudwatch").get_metric_data(MetricDataQueries=queries, **window)
    results = {result["Id"]: result for result in found["MetricDataResults"] if result["Values"]}
    ages = {
        str(query["Label"]): float(results[query["Id"]]["Values"][0])
        for query in queries
        if query["Id"] in results and query["Id"].startswith("age")
    }
    since = now - timedelta(minutes=MINUTES)
    counts = {name: round(_sum(results.get(name), since)) for name in COUNTS.values() if name in results}
    if counts or not deployed.is_local:
        delays = {name: _latest(results.get(name)) for name in _PERCENTILES.values()}
        return Traffic(counts, **delays, source="CloudWatch" if counts else "", ages=ages)
    log = Log(deployed.client("logs"), deployed.stack.outputs)
    lines = log.read(["deliver"], since, now, log_lines.quoted("_aws"))
    return of_lines(lines, ages)


def of_lines(lines: Iterable[LogLine], ages: Mapping[str, float]) -> Traffic:
    """The same from the lines of deliver's log that have metrics."""
    counts: Counter[str] = Counter()
    delays: list[float] = []
    for line in lines:
        for metric, name in COUNTS.items():
            counts[name] += round(sum(_numbers(line.fields.get(metric))))
        delays += _numbers(line.fields.get(DELAYS))
    if not counts.total() and not delays:
        return Traffic(ages=ages)
    return Traffic(+counts, percentile(delays, 0.5), percentile(delays, 0.99), "deliver's log", ages)


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that so large a share of all does not exceed; None where there are none."""
    return sorted(values)[max(0, ceil(share * len(values)) - 1)] if values else None


def _queries(namespace: str) -> list[dict[str, Any]]:
    counts = [(name, metric, "Sum", 60) for metric, name in COUNTS.items()]
    delays = [(name, DELAYS, stat, 60 * MINUTES) for stat, name in _PERCENTILES.items()]
    return [
        {
            "Id": name,
            "MetricStat": {
                "Metric": {
                    "Namespace": namespace,
                    "MetricName": metric,
                    "Dimensions": [{"Name": "service", "Value": "deliver"}],
                },
                "Period": period,
                "Stat": stat,
            },
        }
        for name, metric, stat, period in (*counts, *delays)
    ]


def _sum(result: Mapping[str, Any] | None, since: datetime) -> float:
    if result is None:
        return 0.0
    points = zip(result["Timestamps"], result["Values"], strict=True)
    return sum(float(value) for at, value in points if at >= since)


def _latest(result: Mapping[str, Any] | None) -> float | None:
    return float(result["Values"][0]) if result else None


def _numbers(value: Any) -> list[float]:
    found = value if isinstance(value, list) else [value]
    return [float(each) for each in found if isinstance(each, int | float)]
