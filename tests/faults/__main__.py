"""python -m tests.faults outages: ten minutes without each part in turn, under traffic, and what became of it."""

import argparse
import json
import sys
import time
from typing import Any

from tests.docs.pages import DOCS, replace_section
from tests.faults import outage_plot, outage_report, outages
from tests.faults.outage_parts import PARTS
from tests.faults.outage_report import STORED

PAGE, PICTURE = DOCS / "proof.md", DOCS / "outages.png"


def main() -> int:
    """Measure one part or all; 1 if a delivery was lost."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("what", choices=["outages"])
    parser.add_argument("--seconds", type=float, default=600.0, help="how long each outage lasts")
    parser.add_argument("--part", choices=PARTS, action="append", help="only this one; may be given again")
    parser.add_argument("--write", action="store_true", help=f"store the figures, and write them into {PAGE.name}")
    chosen = parser.parse_args()
    began, results = time.monotonic(), dict[str, Any]()
    for name in chosen.part or PARTS:
        results[name] = outages.measure(
            name, chosen.seconds, lambda step: print(f"{time.monotonic() - began:6,.0f} s  {step}", flush=True)
        )
        print(json.dumps(results[name] | {"arrivals": "left out"}, indent=1), flush=True)
        if chosen.write:
            store(name, results[name])
    print(outage_report.tables(results))
    return int(any("lost" in each["ends"] | each["ends_retired"] for each in results.values()))


def store(name: str, result: dict[str, Any]) -> None:
    """Keep a part's figures, and write the page and the picture anew."""
    stored = json.loads(STORED.read_text()) if STORED.exists() else {}
    stored[name] = _rounded(result)
    stored = {part: stored[part] for part in PARTS if part in stored}
    lines = [f"{json.dumps(part)}: {json.dumps(each)}" for part, each in stored.items()]
    STORED.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    PAGE.write_text(replace_section(PAGE.read_text(), "outages", outage_report.tables(stored)))
    outage_plot.draw(stored, PICTURE)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


if __name__ == "__main__":
    sys.exit(main())
