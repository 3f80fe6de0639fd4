"""One word for one thing: the words that the glossary replaces are neither in the documents nor in the code."""

from pathlib import Path

import pytest

from tests.docs.pages import DOCS, ROOT, name, pages, rows
from tests.docs.vocabulary import ALLOWED, IN_DOCUMENTS, code_files, found_in_code, in_code, in_document

GLOSSARY = DOCS / "glossary.md"


def own_words(page: Path) -> str:
    """A document's text; of the glossary what comes before the words that are not used."""
    text = page.read_text()
    return text.partition("## Words we do not use")[0] if page == GLOSSARY else text


def test_the_glossary_lists_the_words_that_are_looked_for() -> None:
    listed = {word for row in rows(GLOSSARY, "not") for word in row[0].split(", ")}
    assert listed == set(IN_DOCUMENTS)


@pytest.mark.parametrize("page", pages(), ids=name)
def test_a_document_has_none_of_the_words_that_the_glossary_replaces(page: Path) -> None:
    assert [f"line {number}: {word}" for number, word in in_document(own_words(page))] == []


def test_the_code_has_none_of_the_words_that_mean_nothing_else() -> None:
    found = [str(word) for word in found_in_code(code_files())]
    assert not found, f"{len(found)} words that docs/glossary.md replaces:\n" + "\n".join(found)


def test_every_exception_is_still_needed() -> None:
    files = list(code_files())
    for allowed in ALLOWED:
        lines = [line for path in files if path.match(allowed.path) for line in path.read_text().splitlines()]
        assert any(allowed.line in line and list(in_code(line)) for line in lines), allowed


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("class NoAnswerError:", ["Answer"]),
        ("app_epoch = 1", ["epoch"]),
        ("half_open", ["half_open"]),
        ("# nobody probed it", ["probed"]),
        ("DeadLetters, aggregate, delegates, a problem, navigate", []),
    ],
)
def test_a_word_is_found_within_names_and_not_within_other_words(line: str, words: list[str]) -> None:
    assert [word for _, word in in_code(line)] == words


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("The dead-letter queue and its dead letters.", []),
        ("A letter was put off.", ["letter", "put off"]),
        ("It investigates a problem.", []),
    ],
)
def test_a_dead_letter_is_no_letter(line: str, words: list[str]) -> None:
    assert [word for _, word in in_document(line)] == words


def test_the_code_that_is_looked_through_is_the_projects() -> None:
    roots = {path.relative_to(ROOT).parts[0] for path in code_files()}
    assert roots == {"template.yaml", "functions", "infra", "tests"}
