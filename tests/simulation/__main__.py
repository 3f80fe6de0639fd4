"""`make simulate`: tells many stories at once, shows how far it is, and says which effect boundaries were met."""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

from tests.docs.pages import replace_section
from tests.simulation.effects import EFFECTS
from tests.simulation.faults import BOUNDARIES
from tests.simulation.story import tell
from tests.simulation.telling import shrunk, told

PAGE = Path(__file__).parents[2] / "docs" / "proof.md"
SHOWN_SECONDS = 10.0  # between two lines of progress


@dataclass
class Sum:
    """What all stories so far came to. `calls` are the steps: each is one that may fail, die or freeze."""

    stories: int = 0
    batches: int = 0
    webhooks: int = 0
    calls: Counter[str] = field(default_factory=Counter)
    met: Counter[tuple[str, str]] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)

    def add(self, other: "Sum") -> None:
        """Take in what another came to."""
        self.stories += other.stories
        self.batches += other.batches
        self.webhooks += other.webhooks
        self.calls.update(other.calls)
        self.met.update(other.met)
        self.failed += other.failed

    @property
    def steps(self) -> int:
        """How many calls were made."""
        return self.calls.total()

    def line(self) -> str:
        """How far it is, on one line."""
        return (
            f"{self.stories:,} stories, {self.steps:,} calls, {self.batches:,} batches, "
            f"{self.webhooks:,} webhooks, {self.met.total():,} faults, {len(self.failed)} stories failed"
        )

    def table(self) -> str:
        """Which boundaries of which effects a process died or froze at."""
        head = "| effect | calls | " + " | ".join(BOUNDARIES) + " |"
        rows = [head, "|---" * (2 + len(BOUNDARIES)) + "|"]
        for effect in self.effects:
            counts = " | ".join(f"{self.met[effect, kind]:,}" for kind in BOUNDARIES)
            rows.append(f"| {effect} | {self.calls[effect]:,} | {counts} |")
        return "\n".join(rows)

    @property
    def effects(self) -> list[str]:
        """Every effect, also one that no call was made to."""
        return sorted({*EFFECTS, *self.calls})

    def missed(self) -> list[str]:
        """The boundaries at which no process died, or froze."""
        return [f"{effect} {kind}" for effect in self.effects for kind in BOUNDARIES if not self.met[effect, kind]]


def one(number: int) -> Sum:
    """Tell the story of that number; one that fails is shrunk."""
    ended = told(tell(number))
    assert ended.world
    fleet = ended.world.fleet
    failed = [shrunk(ended).report()] if ended.findings else []
    return Sum(1, fleet.batches, len(fleet.posts), fleet.faults.calls, fleet.faults.met, failed)


def several(numbers: range, jobs: int) -> Iterator[Sum]:
    """Tell stories by several processes."""
    pool = ProcessPoolExecutor(jobs)
    try:
        for done in as_completed([pool.submit(one, number) for number in numbers]):
            yield done.result()
    finally:  # perhaps not all are wanted any more
        pool.shutdown(cancel_futures=True)


def main() -> int:
    """Tell `--stories` stories, or one; 1 if any failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--stories", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="the number of the first one")
    parser.add_argument("--story", type=int, help="only this one")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="no story begins after so many")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--write", action="store_true", help=f"write the report into {PAGE.name}")
    chosen = parser.parse_args()
    numbers = range(chosen.first, chosen.first + chosen.stories)
    if chosen.story is not None:
        numbers = range(chosen.story, chosen.story + 1)
    whole, began, shown = Sum(), time.monotonic(), time.monotonic()
    for each in several(numbers, chosen.jobs):
        whole.add(each)
        print(*each.failed, sep="\n", end="\n" if each.failed else "")
        now = time.monotonic()
        if now - shown >= SHOWN_SECONDS:
            shown = now
            print(f"{now - began:,.0f} s: {whole.line()}", flush=True)
        if now - began > chosen.seconds:
            break
    report(whole, f"python -m tests.simulation {' '.join(sys.argv[1:])}", write=chosen.write)
    return 1 if whole.failed else 0


def report(whole: Sum, command: str, *, write: bool) -> None:
    """Print the sums and the table, and write them into the documents if that is wanted."""
    missed = whole.missed()
    everywhere = f"Before and after each of the {len(whole.effects)} effects, processes died and froze."
    said = f"Nothing of this happened: {', '.join(missed)}." if missed else everywhere
    print(whole.table(), whole.line(), said, sep="\n")
    if write:
        text = f"`{command}`: {whole.line()}. {said}\n\n{whole.table()}"
        PAGE.write_text(replace_section(PAGE.read_text(), "simulation", text))


if __name__ == "__main__":
    sys.exit(main())
