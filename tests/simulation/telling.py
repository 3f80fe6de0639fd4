"""Telling a story: one world from its beginning to its end, and a shorter story that fails in the same way."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from bellhop import tables
from tests.conftest import MODELS, NAMES
from tests.simulation.faulty_tables import FaultyTables
from tests.simulation.invariants import broken
from tests.simulation.story import Story, live, settle
from tests.simulation.world import World, begin
from tests.support.memory_dynamodb import MemoryConnection

MOST_TELLINGS = 60  # of shorter stories, while one is shrunk


@dataclass(frozen=True, slots=True)
class Told:
    """How a story ended: the rules that were broken, and the world, for what happened in it."""

    story: Story
    findings: tuple[str, ...]
    world: World | None = field(repr=False)

    def report(self) -> str:
        """The story in words, with what was broken."""
        steps = [f"  {number}. {step}" for number, step in enumerate(self.story.steps, 1)]
        head = f"story {self.story.number}, at a rate of {self.story.rate}, in {len(steps)} steps:"
        again = f"to tell it again: .venv/bin/python -m tests.simulation --story {self.story.number}"
        return "\n".join([head, *steps, "what is broken:", *(f"  {each}" for each in self.findings[:10]), again])


@contextmanager
def tables_in_memory() -> Iterator[FaultyTables]:
    """Empty tables, which all models use for the length of the block."""
    memory = FaultyTables()
    tables.bind(MemoryConnection(memory), NAMES)
    for model in MODELS:
        memory.add(model)
    try:
        yield memory
    finally:
        for model in NAMES:
            model._connection = None


def told(story: Story) -> Told:
    """Tell a story. What no boundary in the functions caught is broken too."""
    with tables_in_memory() as memory:
        world = begin(memory, story.parameters)
        try:
            live(world, story)
            settle(world)
            findings = tuple(broken(world, story))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            findings = (f"{type(error).__name__}: {error}",)
    return Told(story, findings, world)


def shrunk(failed: Told, tell: Callable[[Story], Told] = told) -> Told:
    """A story with as few of the steps as possible that still breaks something."""
    best, size, left = failed, max(1, len(failed.story.steps) // 2), MOST_TELLINGS
    while size and left:
        start = 0
        while start < len(best.story.steps) and left:
            steps = best.story.steps[:start] + best.story.steps[start + size :]
            left -= 1
            shorter = tell(replace(best.story, steps=steps))
            if shorter.findings:
                best = shorter
            else:
                start += size
        size //= 2
    return best
