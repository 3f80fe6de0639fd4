"""The outages as tables."""

from pathlib import Path
from typing import Any

from tests.faults.outage_parts import PARTS

STORED = Path(__file__).with_name("outages.json")  # the newest figures of each part

Results = dict[str, dict[str, Any]]


def tables(results: Results) -> str:
    """What became of the deliveries, how long they took, and what owners and apps noticed, in Markdown."""
    return "\n\n".join([_table(results, _deliveries), _table(results, _times), _table(results, _charged)])


def _table(results: Results, row: Any) -> str:
    rows = [{"what is down": PARTS[name].title} | row(results[name]) for name in results]
    head = list(rows[0])
    lines = [head, ["---"] * len(head), *(list(each.values()) for each in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _deliveries(result: dict[str, Any]) -> dict[str, str]:
    ends, retired = result["ends"], result["ends_retired"]
    return {
        "minutes": f"{result['seconds'] / 60:.3g}",
        "events": f"{result['events']:,}",
        "deliveries": f"{sum(ends.values()) + sum(retired.values()):,}",
        "calls failed": f"{result['calls_failed']:,}",
        "delivered, to apps that stay": f"{ends.get('delivered', 0):,} of {sum(ends.values()):,}",
        "to apps that retire": ", ".join(f"{number:,} {end}" for end, number in sorted(retired.items())),
        "lost": f"{ends.get('lost', 0) + retired.get('lost', 0):,}",
        "redriven": f"{result['redriven']:,}",
        "duplicates": f"{result['duplicates']:,}",
    }


def _times(result: dict[str, Any]) -> dict[str, str]:
    return {
        "published during it: p50, p99, longest": _delays(result["during"]),
        "after it": _delays(result["after"]),
        "recovered after": "never" if result["recovery"] is None else _duration(result["recovery"]),
        "busiest second of an app: before, after": _busiest(result, "1 s"),
        "busiest ten seconds, a second": _busiest(result, "10 s"),
    }


def _charged(result: dict[str, Any]) -> dict[str, str]:
    counted, given, mails = result["counted"], result["given"], result["mails"]
    return {
        "successes counted": f"{counted['success']:,} of {given['success']:,}",
        "failures counted": f"{counted['failure']:,} of {given['failure']:,}",
        "apps that stay: paused, warned, off": f"{result['paused']}, {result['warned']}, {result['off']}",
        "apps that retire: off": str(result["retired_off"]),
        "mails due, sent, twice, never": ", ".join(f"{mails[name]}" for name in ("due", "got", "twice", "never")),
        "of these resent": str(mails["resent"]),
        "follow-ups finished by hand": str(result["follow_ups_finished"]),
    }


def _delays(found: dict[str, float]) -> str:
    return ", ".join(_duration(found[name]) for name in ("p50", "p99", "longest")) if found["number"] else "-"


def _duration(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:,.0f} s"


def _busiest(result: dict[str, Any], span: str) -> str:
    return f"{result['busiest_before'][span]:g}, {result['busiest_after'][span]:g}"
