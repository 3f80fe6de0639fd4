"""Reading the project's documents: their links, code blocks, code spans and tables."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
RUNBOOK = ROOT / "infra" / "RUNBOOK.md"

_LABEL = re.compile(r"<!-- example: (\S+) -->")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_SPAN = re.compile(r"`([^`\n]+(?:\n[^`\n]+)?)`")
_PIPE = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced code block; `label` is the name in the comment before it."""

    label: str
    language: str
    text: str


def pages() -> list[Path]:
    """Every document, in order."""
    return sorted({*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "infra").rglob("*.md")})


def name(page: Path) -> str:
    """The path from the root, for messages."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    """The fenced code blocks of a page."""
    found: list[Block] = []
    label, opened, lines = "", None, list[str]()
    for line in page.read_text().splitlines():
        fence = line.strip()
        if opened is None and fence.startswith("```"):
            opened, lines = fence[3:], []
        elif fence == "```" and opened is not None:
            found.append(Block(label, opened, "\n".join(lines) + "\n" if lines else ""))
            opened, label = None, ""
        elif opened is not None:
            lines.append(line)
        elif mark := _LABEL.fullmatch(fence):
            label = mark[1]
    return found


def example(page: Path, label: str) -> str:
    """The code block of that label."""
    [found] = [block.text for block in blocks(page) if block.label == label]
    return found


def prose(page: Path) -> str:
    """A page without its fenced code blocks."""
    return re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def links(page: Path) -> list[str]:
    """Where a page's links lead to."""
    return _LINK.findall(prose(page))


def spans(page: Path) -> list[str]:
    """The code spans of a page, each on one line."""
    return [" ".join(span.split()) for span in _SPAN.findall(prose(page))]


def rows(page: Path, first_column: str) -> Iterator[list[str]]:
    """The rows of every table whose first column has that title."""
    within = False
    for line in prose(page).splitlines():
        if not line.startswith("|"):
            within = False
            continue
        cells = [cell.strip().replace("\\|", "|") for cell in _PIPE.split(line)[1:-1]]
        if cells[0] == first_column:
            within = True
        elif within and not set(cells[0]) <= set("-:"):
            yield cells


def headings(page: Path) -> list[str]:
    """The titles of a page's sections."""
    return [line.lstrip("#").strip() for line in prose(page).splitlines() if line.startswith("#")]


def anchors(page: Path) -> set[str]:
    """What a link to a section of the page may name, as GitHub makes it."""
    titles = (re.sub(r"[^\w\- ]", "", title.lower()) for title in headings(page))
    return {title.replace(" ", "-") for title in titles}


def replace_section(page: str, label: str, content: str) -> str:
    """The text of a page with other content between the comments `label` and `end of label`."""
    marks = re.compile(rf"(?s)(<!-- {label} -->\n).*?(<!-- end of {label} -->)")
    if not marks.search(page):
        raise ValueError(f"the page has no section {label}")
    return marks.sub(lambda found: f"{found[1]}\n{content}\n\n{found[2]}", page)
