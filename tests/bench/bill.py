"""What a run used, collected invocation by invocation, and its price."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.bench import prices
from tests.bench.cloud import memory
from tests.bench.prices import Units

Seconds = tuple[float, float]  # of an invocation: wall, processor

KINDS = ("sqs_requests", "write_units", "read_units", "schedules")


@dataclass
class Bill:
    """The seconds of the invocations of each function, and everything that the meter counted."""

    units: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    calls: Counter[str] = field(default_factory=Counter)
    written: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    invocations: dict[str, list[Seconds]] = field(default_factory=dict)
    log_bytes: Counter[str] = field(default_factory=Counter)
    failures: list[Any] = field(default_factory=list)

    def add(self, function: str, seen: dict[str, Any]) -> None:
        """One invocation."""
        if not seen["calls"] and not self.calls:
            raise RuntimeError("the meter saw no call to AWS: were the clients created before it?")
        _add(self.units, {f"{function}.{name}": number for name, number in seen["units"].items()})
        self.calls.update({f"{function}.{name}": number for name, number in seen["calls"].items()})
        _add(self.written, seen["written"])
        self.invocations.setdefault(function, []).append((seen["wall"], seen["cpu"]))
        self.log_bytes[function] += seen["printed"] + seen["lines"] * prices.EVENT_OVERHEAD
        self.log_bytes["platform"] += prices.platform_bytes()
        self.failures += seen["failures"]

    def add_share(self, filling: "Bill", settled: dict[str, Any], times: float) -> None:
        """What each process does once a minute: fill its caches, write the counts that it buffers."""
        for name, number in filling.units.items():
            if name.endswith(".read_units"):
                self.units[name] += number * times
        self.units["buffered.write_units"] += settled["units"].get("write_units", 0) * times
        self.written["Outcomes buffered"] += settled["units"].get("write_units", 0) * times

    def add_hourly(self, listing: "Bill", times: float) -> None:
        """What each process writes once an hour: its page, in the list of each app."""
        self.units["listed.write_units"] += listing.written["Delivered list"] * times
        self.written["Delivered list"] += listing.written["Delivered list"] * times

    def total(self, deliveries: int) -> Units:
        """The sums that are priced."""
        sums = {kind: sum(n for name, n in self.units.items() if name.endswith(f".{kind}")) for kind in KINDS}
        return Units(
            deliveries,
            **sums,
            invocations=sum(map(len, self.invocations.values())),
            gb_seconds=sum(gb_seconds(function, each) for function, each in self.invocations.items()),
            log_bytes=sum(self.log_bytes.values()),
        )

    def detail(self, deliveries: int) -> dict[str, Any]:
        """Where the units come from, for each delivery."""

        def each(numbers: dict[str, float]) -> dict[str, float]:
            return {name: round(number / deliveries, 5) for name, number in sorted(numbers.items())}

        return {
            "units": each(dict(self.units)),
            "calls": each(dict(self.calls)),
            "write_units": each(dict(self.written)),
            "log_bytes": each(dict(self.log_bytes)),
            "invocations": each({name: len(all_) for name, all_ in self.invocations.items()}),
            "gb_seconds": each({name: gb_seconds(name, all_) for name, all_ in self.invocations.items()}),
        }


def _add(sums: defaultdict[str, float], numbers: Mapping[str, float]) -> None:
    for name, number in numbers.items():
        sums[name] += number


def gb_seconds(function: str, invocations: Sequence[Seconds]) -> float:
    """Billed memory time of a function's invocations."""
    size = memory(function)
    return sum(prices.gb_seconds(prices.billed_seconds(wall, cpu, size), size) for wall, cpu in invocations)


def median_wall(invocations: Sequence[Seconds]) -> float:
    """In milliseconds."""
    return statistics.median(wall for wall, _ in invocations) * 1000


def longest_wall(invocations: Sequence[Seconds]) -> float:
    """In milliseconds."""
    return max(wall for wall, _ in invocations) * 1000
