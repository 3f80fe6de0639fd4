"""The report as one picture."""

from pathlib import Path
from typing import Any

import matplotlib as mpl

from tests.bench import cpu, prices

mpl.use("Agg")

from matplotlib import pyplot as plt  # after its backend is chosen

COLOURS = ["#1b4965", "#5fa8d3", "#bee9e8", "#e76f51", "#f4a261", "#e9c46a", "#8d99ae"]


def draw(results: dict[str, Any], path: Path) -> None:
    """Write the picture."""
    figure, axes = plt.subplots(2, 2, figsize=(15, 9), layout="constrained")
    _cpu(axes[0][0], results["cpu"])
    _isolation(axes[0][1], results["isolation"])
    _money(axes[1][0], results["units"])
    _cold(axes[1][1], results["cold"])
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _cpu(axis: Any, results: dict[str, Any]) -> None:
    names = list(results["kept-alive HTTPS"])
    width = 0.8 / len(names)
    for number, name in enumerate(names):
        places = [place + number * width for place in range(len(cpu.WAYS))]
        heights = [results[way][name]["cpu_us"] for way in cpu.WAYS]
        axis.bar(places, heights, width, label=name, color=COLOURS[number])
    axis.set_xticks([place + 0.3 for place in range(len(cpu.WAYS))], list(cpu.WAYS))
    axis.set_yscale("log")
    axis.set_title("Processor time of one delivery, microseconds")
    axis.legend(fontsize=7)


def _isolation(axis: Any, results: dict[str, Any]) -> None:
    names = list(results)
    for number, percentile in enumerate(("p50_ms", "p99_ms")):
        places = [place + number * 0.4 for place in range(len(names))]
        values = [results[name][percentile] for name in names]
        axis.barh(places, values, 0.4, label=percentile[:3], color=COLOURS[number])
    labels = [name.replace(", without", ",\nwithout").replace(", pause", ",\npause") for name in names]
    axis.set_yticks([place + 0.2 for place in range(len(names))], labels, fontsize=8)
    axis.invert_yaxis()
    axis.set_xscale("log")
    axis.set_title("Delay at healthy endpoints, ms (queue modelled)")
    axis.legend(fontsize=8)


def _money(axis: Any, results: dict[str, Any]) -> None:
    names = [name for name in results if name != "batch of one"]
    labels = [name.replace(", every", ",\nevery") for name in names]
    below = [0.0] * len(names)
    for number, kind in enumerate(prices.PRICES):
        values = [results[name]["dollars"][kind] for name in names]
        axis.barh(labels, values, left=below, label=kind.replace("_", " "), color=COLOURS[number])
        below = [base + value for base, value in zip(below, values, strict=True)]
    axis.invert_yaxis()
    axis.tick_params(axis="y", labelsize=8)
    axis.set_title("Dollars per million deliveries, endpoints at 150 ms")
    axis.set_xlim(0, 1.3 * max(below))  # beside the bars there is room for the legend
    axis.legend(fontsize=7, loc="center right")


def _cold(axis: Any, results: dict[str, Any]) -> None:
    for number, kind in enumerate(("init", "bare")):
        places = [place + number * 0.4 for place in range(len(results))]
        values = [each[kind]["cpu_ms"] for each in results.values()]
        label = "function" if kind == "init" else "only its clients"
        axis.bar(places, values, 0.4, label=label, color=COLOURS[number])
    axis.set_xticks([place + 0.2 for place in range(len(results))], list(results))
    axis.set_title("Cold start: import and clients, ms of processor time")
    axis.legend(fontsize=8)
