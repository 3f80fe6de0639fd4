"""Runs all parts in turn, and stores the results as JSON and as a picture."""

import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from infra.local.build import ROOT
from tests.bench import cold, cpu, hostile, isolation, plot, report, units
from tests.bench.rig import Rig, rig

STORED = ROOT / ".local" / "bench"
LATEST = Path(__file__).with_name("results.json")  # what README quotes

Part = Callable[[Rig, Callable[[str], None]], dict[str, Any]]
PARTS: dict[str, Part] = {
    "hostile": hostile.measure,
    "cpu": cpu.measure,
    "units": units.measure,
    "cold": cold.measure,
    "isolation": isolation.measure,  # last, because it leaves deferred messages on the Retries queue
}


def main(names: Sequence[str] = ()) -> None:
    """Measure all parts, or those that are named; store, print. What is not measured stays as it is stored."""
    console = Console(width=None if os.isatty(1) else 160)
    started = time.monotonic()

    def on_progress(step: str) -> None:
        console.print(f"[dim]{time.monotonic() - started:5.0f} s  {step}[/dim]")

    on_progress("starting the embedded AWS and the endpoints")
    results: dict[str, Any] = json.loads(LATEST.read_text())
    with (
        tempfile.TemporaryDirectory(prefix="bellhop-", ignore_cleanup_errors=True) as directory,
        rig(Path(directory)) as shared_rig,
    ):
        for name in names or PARTS:
            results[name] = PARTS[name](shared_rig, on_progress)
            results["at"][name] = _moment()
    _store(results)
    report.show(results, console)
    console.print(f"Stored in {STORED.relative_to(ROOT)} and {LATEST.relative_to(ROOT)}.")


def _store(results: dict[str, Any]) -> None:
    STORED.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_rounded(results), indent=1) + "\n"
    for path in (STORED / "results.json", LATEST):
        path.write_text(text)
    plot.draw(results, STORED / "results.png")


def _moment() -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "processors": os.cpu_count(),
    }


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value
