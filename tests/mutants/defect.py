"""A planted defect: one change of one file, with the tests that are expected to notice it."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DEFECTS = Path(__file__).parent / "defects.toml"


class DriftError(Exception):
    """The text that a defect replaces does not stand in its file, or not exactly once."""


@dataclass(frozen=True, slots=True)
class Defect:
    """`simulated`: the simulation is expected to find it too; `unseen`: why it is not. See defects.toml."""

    name: str
    file: str
    search: str
    replace: str
    caught_by: tuple[str, ...]
    simulated: bool = False
    unseen: str = ""

    def planted_in(self, text: str) -> str:
        """The text of the file with the defect.

        Raises:
            DriftError: the file has changed, and the defect must follow it.
        """
        found = text.count(self.search)
        if found != 1:
            raise DriftError(f"{self.name}: {self.file} has {found} times what is to be replaced, not once")
        return text.replace(self.search, self.replace)

    def plant(self, tree: Path) -> None:
        """Make the change in a copy of the repository."""
        file = tree / self.file
        file.write_text(self.planted_in(file.read_text()))


def load() -> list[Defect]:
    """Every defect, in the order of the file."""
    entries = tomllib.loads(DEFECTS.read_text())["defect"]
    return [Defect(**{**each, "caught_by": tuple(each["caught_by"])}) for each in entries]
