"""The report: what was measured, beside its targets."""

from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench import cpu, isolation, prices, units
from tests.bench.rig import CERTIFICATE

OURS = "bellhop, batch 10"
Results = dict[str, Any]


def show(results: Results, console: Console) -> None:
    """Print everything."""
    for table in (*_cpu(results["cpu"]), *_isolation(results["isolation"]), *_units(results["units"])):
        console.print(table)
    for table in _cold(results["cold"]):
        console.print(table)
    console.print(_hostile(results["hostile"]))
    console.print(_targets(targets(results)))


def targets(results: Results) -> list[tuple[str, float, float]]:
    """Each target: its name, the measured number, and the highest number allowed."""
    new, reused = results["cpu"]["new HTTPS"], results["cpu"]["kept-alive HTTPS"]
    money, apart = results["units"], results["isolation"]["50 % to hanging endpoints"]

    def ratio(way: Results, other: str) -> float:
        return float(way[OURS]["cpu_us"] / way[other]["cpu_us"])

    def total(profile: str, kind: str) -> float:
        return float(sum(money[profile][kind].values()))

    return [
        ("new HTTPS, processor time over the straightforward Lambda's", ratio(new, "straightforward"), 0.1),
        ("kept-alive HTTPS, over the bare Session's", ratio(reused, "bare Session"), 1.0),
        ("an attempt beyond its deadline, ms, whatever the endpoint does", _beyond(results["hostile"]), 250),
        ("p99 with half the traffic hanging, over alone", apart["ratio"]["p99_ms"], 1.2),
        ("dollars per million, default, 150 ms", total("default", "dollars"), 1.10),
        ("dollars per million, throughput, 150 ms", total("throughput", "dollars"), 0.80),
        ("dollars per million, throughput, 5 s", total("throughput", "dollars_slow"), 1.50),
        ("notify's init over the bare clients'", results["cold"]["notify"]["ratio"]["cpu_ms"], 1.3),
        ("deliver's init over the bare clients'", results["cold"]["deliver"]["ratio"]["cpu_ms"], 1.3),
    ]


def _table(title: str, caption: str, *columns: str) -> Table:
    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    return table


def _cpu(results: Results) -> list[Table]:
    caption = (
        f"Medians of {cpu.ROUNDS} interleaved rounds; {cpu.APPS} apps by Zipf's law; {CERTIFICATE} "
        "certificates, new connections with full handshakes."
    )
    table = _table(
        "Processor time of one delivery", caption, "microseconds", *cpu.WAYS, "kept-alive: per s and core"
    )
    for name in results["kept-alive HTTPS"]:
        each = [f"{results[way][name]['cpu_us']:,.0f}" for way in cpu.WAYS]
        table.add_row(name, *each, f"{results['kept-alive HTTPS'][name]['per_second_and_core']:,.0f}")
    return [table]


def _isolation(results: Results) -> list[Table]:
    caption = (
        f"{isolation.WORKERS} workers, batches of up to {isolation.BATCH}, a deadline of "
        f"{isolation.DEADLINE_SECONDS} s; healthy endpoints take {isolation.HEALTHY_MS} ms and get 20 deliveries "
        f"a second (12 beside the app that sends 95 %, whose endpoint takes {isolation.LOADED_MS} ms: more than "
        f"the workers can do). Measured from second {isolation.SETTLE_SECONDS:.0f} on, with the pause from second "
        f"{isolation.LONG_SETTLE_SECONDS:.0f}. The queue and its fairness are modelled."
    )
    table = _table(
        "Delay from send to receipt at healthy endpoints",
        caption,
        "ms",
        "p50",
        "p99",
        "p50 ratio",
        "p99 ratio",
    )
    for name, each in results.items():
        ratio = each["ratio"]
        row = (each["p50_ms"], each["p99_ms"], ratio["p50_ms"], ratio["p99_ms"])
        table.add_row(name, *(f"{number:,.1f}" for number in row))
    return [table]


def _units(results: Results) -> list[Table]:
    counted = _table("Billed units per million deliveries, counted", "", "", *results)
    priced = _table(
        f"Dollars per million deliveries, {prices.REGION}, {prices.DATE}",
        f"Endpoints respond after {units.LATENCY_MS} ms, or {units.SLOW_MS} ms in the last line; egress and "
        "the publisher's own sends left out. A busy process fills its caches and writes its counts once a minute.",
        "",
        *results,
    )
    for kind in prices.PRICES:
        row = [f"{each['per_million'][kind]:,.0f}" for each in results.values()]
        counted.add_row(kind.replace("_", " "), *row)
        priced.add_row(kind.replace("_", " "), *(f"{each['dollars'][kind]:.3f}" for each in results.values()))
    priced.add_section()
    for label, kind in (("total", "dollars"), (f"total at {units.SLOW_MS} ms", "dollars_slow")):
        priced.add_row(label, *(f"{sum(each[kind].values()):.2f}" for each in results.values()))
    return [counted, priced]


def _cold(results: Results) -> list[Table]:
    caption = "Medians in a plain interpreter, from the built bundle with bytecode; init is import and clients."
    columns = ("import", "clients", "first invocation", "init", "bare clients", "ratio")
    table = _table("Cold start, processor time", caption, "ms", *columns)
    for name, each in results.items():
        steps = [step["cpu_ms"] for step in each["steps"].values()]
        numbers = [*steps, each["init"]["cpu_ms"], each["bare"]["cpu_ms"]]
        table.add_row(name, *(f"{number:,.0f}" for number in numbers), f"{each['ratio']['cpu_ms']:.2f}")
    return [table]


def _targets(all_targets: list[tuple[str, float, float]]) -> Table:
    table = _table("Targets", "", "", "measured", "at most", "")
    for name, number, most in all_targets:
        table.add_row(name, f"{number:.2f}", f"{most:.2f}", "met" if number <= most else "missed")
    return table


def _beyond(hostile: Results) -> float:
    return max(float(outcome["beyond_ms"]) for outcome in hostile.values())


def _hostile(hostile: Results) -> Table:
    table = Table("an endpoint that", "result of the attempt", "ms beyond its deadline", title="Hostile endpoints")
    for name, outcome in hostile.items():
        table.add_row(name, outcome["result"], f"{outcome['beyond_ms']:.1f}")
    return table
