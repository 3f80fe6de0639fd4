"""`make mutants`: plants each defect in a copy of the tree, runs the tests that are to notice, and reports.

A defect is caught if a test fails by itself. A run that has to be stopped, because no test ends it, is none.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.docs.pages import replace_section
from tests.mutants.defect import ROOT, Defect, load
from tests.mutants.run import failure

SURVIVED = "survived"
SCHEDULES = 60  # of the simulation
SIMULATION = "tests/simulation/test_accounting.py"
PAGE = ROOT / "docs" / "proof.md"
RESULTS = ROOT / "tests" / "mutants" / "results.json"
COPIED = ("functions", "infra", "tests", "docs")
FILES = ("pyproject.toml", "template.yaml", "Makefile")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Which of the nearest tests failed, None where none did; and of the simulation, None if that was not run."""

    unit: str | None
    simulation: str | None

    def caught(self, defect: Defect) -> bool:
        """Whether everything that is expected to notice the defect did."""
        return self.unit is not None and (self.simulation not in {None, SURVIVED} or not defect.simulated)

    def has(self, only: str | None) -> bool:
        """Whether what is asked for is known: the one, or both."""
        return bool((self.unit or only == "simulation") and (self.simulation or only == "unit"))


UNKNOWN = Verdict(None, None)


def judge(defect: Defect, known: Verdict, only: str | None) -> Verdict:
    """Plant a defect in a copy of the tree and run its tests; what is not run keeps its verdict."""
    unit, simulation = known.unit, known.simulation
    with tempfile.TemporaryDirectory(prefix="bellhop-mutant-") as name:
        tree = Path(name)
        for folder in COPIED:
            shutil.copytree(ROOT / folder, tree / folder)
        for file in FILES:
            shutil.copy2(ROOT / file, tree / file)
        defect.plant(tree)
        if only != "simulation":
            unit = next(filter(None, (failure(tree, [file]) for file in defect.caught_by)), None)
        if only != "unit":
            simulation = failure(tree, [SIMULATION, f"--schedules={SCHEDULES}", "--unshrunk"]) or SURVIVED
    return Verdict(unit, simulation)


def table(defects: Sequence[Defect], verdicts: Mapping[str, Verdict]) -> str:
    """The report: each defect, its file, and what caught it."""
    known = [verdicts.get(defect.name, UNKNOWN) for defect in defects]
    tried = [each.simulation for each in known if each.simulation]
    of_tests, of_simulation = sum(each.unit is not None for each in known), len(tried) - tried.count(SURVIVED)
    rows = [
        f"Tests catch {of_tests} of {len(defects)} defects.",
        f"The simulation was run with {len(tried)} of them, and catches {of_simulation}.",
        "",
        "| planted defect | in | caught by | and by the simulation |",
        "|---|---|---|---|",
    ]
    for defect in defects:
        verdict = verdicts.get(defect.name, UNKNOWN)
        unit = _shown(verdict.unit) if verdict.unit else "**nothing**"
        simulation = _simulated(defect, verdict)
        place = defect.file.removeprefix("functions/")
        rows.append(f"| {defect.name} | `{place}` | {unit} | {simulation} |")
    return "\n".join(rows)


def _simulated(defect: Defect, verdict: Verdict) -> str:
    if verdict.simulation not in {None, SURVIVED}:
        return _shown(str(verdict.simulation))
    tried = "no" if verdict.simulation else "not tried"
    return f"{tried}: {defect.unseen}" if defect.unseen else tried


def _shown(test: str) -> str:
    file, _, name = test.partition("::")
    plain = name.partition("[")[0].removeprefix("test_").replace("_", " ")
    seed = name.partition("[")[2].rstrip("]")
    return f"story {seed}" if file == SIMULATION and seed.isdigit() else f"{plain} (`{Path(file).name}`)"


def _read() -> dict[str, Verdict]:
    return (
        {name: Verdict(**each) for name, each in json.loads(RESULTS.read_text()).items()}
        if RESULTS.exists()
        else {}
    )


def _write(verdicts: dict[str, Verdict]) -> None:
    defects = load()
    kept = {each.name: asdict(verdicts[each.name]) for each in defects if each.name in verdicts}
    RESULTS.write_text(json.dumps(kept, indent=1) + "\n")
    PAGE.write_text(replace_section(PAGE.read_text(), "mutants", table(defects, verdicts)))


def main() -> int:
    """Judge every defect, or those whose name contains a text; 1 if any of them survived."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants")
    parser.add_argument("text", nargs="?", default="", help="only defects whose name contains this")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", choices=("unit", "simulation"), help="the one, without the other")
    parser.add_argument("--missing", action="store_true", help="only defects of which that is not known yet")
    chosen = parser.parse_args()
    verdicts, survived = _read(), 0
    defects = [each for each in load() if chosen.text in each.name]
    if chosen.missing:
        known = {name for name, verdict in verdicts.items() if verdict.has(chosen.only)}
        defects = [each for each in defects if each.name not in known]
    defects.sort(key=lambda defect: not defect.simulated)  # first what both must catch
    with ThreadPoolExecutor(chosen.jobs) as pool:
        running = {
            pool.submit(judge, each, verdicts.get(each.name, UNKNOWN), chosen.only): each for each in defects
        }
        for number, done in enumerate(as_completed(running), 1):
            defect, verdict = running[done], done.result()
            verdicts[defect.name] = verdict
            survived += not verdict.caught(defect)
            simulation = verdict.simulation or "simulation not tried"
            print(f"{number}/{len(defects)} {defect.name}: {verdict.unit or 'NOTHING'}, {simulation}", flush=True)
            _write(verdicts)
    print(f"{len(defects) - survived} of {len(defects)} defects were caught")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
