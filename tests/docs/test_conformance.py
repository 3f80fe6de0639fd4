"""docs/conformance.md: each case of the reference once, with tests that exist, or why there is none."""

import re

from tests.docs.pages import DOCS, ROOT, rows

PAGE = DOCS / "conformance.md"
CASES = 139
WITHOUT_TEST = ("cannot happen", "the publisher decides")
_TEST = re.compile(r"^def (test_\w+)", re.MULTILINE)


def cases(cell: str) -> list[int]:
    """The numbers that a cell such as `1, 3-5` stands for."""
    found: list[int] = []
    for part in cell.split(", "):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def test_each_case_of_the_reference_stands_there_once() -> None:
    found = [number for row in rows(PAGE, "case") for number in cases(row[0])]
    assert sorted(found) == list(range(1, CASES + 1))


def test_each_test_that_is_named_exists() -> None:
    known = {name for file in (ROOT / "tests").rglob("test_*.py") for name in _TEST.findall(file.read_text())}
    named = {name for row in rows(PAGE, "case") for name in re.findall(r"`(test_\w+)`", row[3])}
    assert named - known == set()


def test_only_what_cannot_be_tested_has_no_test() -> None:
    without = [row for row in rows(PAGE, "case") if not row[3]]
    assert [row for row in without if not any(reason in row[2] for reason in WITHOUT_TEST)] == []
