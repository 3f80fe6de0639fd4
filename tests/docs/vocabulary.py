"""The words that the glossary replaces by others, and how to find them."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.docs.pages import ROOT

# As the glossary lists them, with the forms in which they occur in prose. A dead-letter queue is AWS's own name.
IN_DOCUMENTS = {
    "answer": r"(?:un)?answer\w*",
    "desk": r"desks?",
    "office": r"offices?",
    "epoch": r"epochs?",
    "fate": r"fates?",
    "gate": r"gates?",
    "half-open": r"half[- ]open",
    "probe": r"prob(?:e|es|ed|ing)",
    "goes round": r"(?:go|goes|going|went) round",
    "put off": r"put(?:s|ting)? off",
    "held": r"held",
    "ledger": r"ledgers?",
    "tally": r"tall(?:y|ies)",
    "letter": r"(?<!dead-)(?<!dead )letters?",
    "no answer": r"no answer",
    "reminder": r"reminders?",
}

# In code only those that mean nothing else there, compared with the words that a name is made of.
IN_CODE = re.compile(
    r"epochs?|desks?|tall(?:y|ies)|ledgers?|fates?|gates?|prob(?:e|es|ed|er|ers|ing)|reminders?|(?:un)?answer(?:s|ed|ing)?"
)
HALF_OPEN = re.compile(r"half[-_ ]?open", re.IGNORECASE)
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")

SOURCES = ("functions", "infra", "tests")
SUFFIXES = {".py", ".yaml", ".yml", ".json", ".html", ".txt", ".toml", ".md"}


@dataclass(frozen=True, slots=True)
class Allowed:
    """A line that may have one of the words, because it is not ours to choose."""

    path: str  # a pattern as of Path.match
    line: str  # a part of the line
    reason: str


ALLOWED = [
    Allowed("tests/docs/vocabulary.py", "", "the list itself"),
    Allowed("tests/docs/test_vocabulary.py", "", "the test of the list"),
]


@dataclass(frozen=True, slots=True)
class Found:
    """A word where it should not be."""

    path: str
    number: int
    word: str
    line: str

    def __str__(self) -> str:
        return f"{self.path}:{self.number}: {self.word}: {self.line.strip()[:100]}"


def in_document(text: str) -> Iterator[tuple[int, str]]:
    """The line numbers and words of a document that the glossary replaces."""
    pattern = re.compile("|".join(rf"\b(?:{form})\b" for form in IN_DOCUMENTS.values()), re.IGNORECASE)
    for number, line in enumerate(text.splitlines(), 1):
        for found in pattern.finditer(line):
            yield number, found[0]


def in_code(text: str) -> Iterator[tuple[int, str]]:
    """The same of code: in names, strings and comments alike."""
    for number, line in enumerate(text.splitlines(), 1):
        yield from ((number, word) for word in WORD.findall(line) if IN_CODE.fullmatch(word.lower()))
        yield from ((number, found[0]) for found in HALF_OPEN.finditer(line))


def code_files() -> Iterator[Path]:
    """Every file of code, and the template."""
    yield ROOT / "template.yaml"
    for source in SOURCES:
        for path in sorted((ROOT / source).rglob("*")):
            if path.suffix in SUFFIXES and path.is_file() and "__pycache__" not in path.parts:
                yield path


def found_in_code(files: Iterable[Path]) -> Iterator[Found]:
    """Every word that is not allowed, in file names too (line 0)."""
    for path in files:
        shown = path.relative_to(ROOT).as_posix()
        lines = [path.stem, *path.read_text().splitlines()]
        for number, word in [*((0, word) for _, word in in_code(path.stem)), *in_code(path.read_text())]:
            found = Found(shown, number, word, lines[number])
            if not any(path.match(allowed.path) and allowed.line in found.line for allowed in ALLOWED):
                yield found
