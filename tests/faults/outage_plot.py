"""The outages as one picture."""

from pathlib import Path
from typing import Any

import matplotlib as mpl

from tests.faults.outage_account import BIN_SECONDS
from tests.faults.outage_parts import PARTS
from tests.faults.outage_report import Results

mpl.use("Agg")

from matplotlib import pyplot as plt  # after its backend is chosen

COLUMNS = 2
LINE, SHADE = "#1b4965", "#f4a261"


def draw(results: Results, path: Path) -> None:
    """Write the picture: for each part, the requests that arrived, with the outage shaded."""
    rows = -(-len(results) // COLUMNS)
    figure, axes = plt.subplots(rows, COLUMNS, figsize=(11, 2.1 * rows), layout="constrained", squeeze=False)
    for axis in axes.flat[len(results) :]:
        axis.set_visible(False)
    for axis, name in zip(axes.flat, results, strict=False):
        _panel(axis, PARTS[name].title, results[name])
    figure.supylabel("requests a second, all apps", fontsize=9)
    figure.supxlabel("minutes", fontsize=9)
    figure.savefig(path, dpi=90)
    plt.close(figure)


def _panel(axis: Any, title: str, result: dict[str, Any]) -> None:
    minutes = [number * BIN_SECONDS / 60 for number in range(len(result["arrivals"]))]
    axis.axvspan(*(each / 60 for each in result["outage"]), color=SHADE, alpha=0.35, linewidth=0)
    axis.step(minutes, result["arrivals"], where="post", color=LINE, linewidth=0.8)
    axis.axvline(result["traffic"] / 60, color=LINE, linewidth=0.6, linestyle=":")
    axis.set_title(title, fontsize=9)
    axis.set_ylim(bottom=0)
    axis.tick_params(labelsize=7)
