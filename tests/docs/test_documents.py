"""What the documents name exists: pages, files, commands, parameters, alarms, log lines, metrics."""

import ast
import re
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.core import TyperGroup

from infra.cli.main import app as command_line
from infra.deploy.templates import parsed
from tests.docs.pages import DOCS, ROOT, RUNBOOK, anchors, blocks, headings, links, name, pages, rows, spans
from tests.support.monitoring import alarms, composites, queries

README = ROOT / "README.md"
OPERATORS = DOCS / "operators.md"
DECISIONS = DOCS / "decisions"
MOST_README_LINES = 130

PATH = re.compile(r"(?<![\w./-])(?:functions|infra|tests|docs)/[\w./-]*")
COMMAND = re.compile(r"\bbellhop ([a-z][a-z-]*)(?: ([a-z]+))?")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


def template() -> dict[str, Any]:
    return parsed(ROOT / "template.yaml")


@cache
def commands() -> dict[str, set[str]]:
    """The options of every command of the command line, by its full name."""
    group = typer.main.get_command(command_line)
    assert isinstance(group, TyperGroup)
    found: dict[str, set[str]] = {}
    for title, command in group.commands.items():
        if isinstance(command, TyperGroup):
            found |= {f"{title} {inner}": options(below) for inner, below in command.commands.items()}
        else:
            found[title] = options(command)
    return found


def options(command: Any) -> set[str]:
    return {flag for option in command.params for flag in (*option.opts, *option.secondary_opts)}


def groups() -> set[str]:
    """The first words of the commands that have two."""
    return {title.partition(" ")[0] for title in commands() if " " in title}


def code(page: Path) -> list[str]:
    """What a page shows as code: its spans, and the lines of its blocks."""
    return [*spans(page), *(line for block in blocks(page) for line in block.text.splitlines())]


def named_commands(text: str) -> list[str]:
    """The full names of the commands in a piece of code."""
    return [f"{first} {second}" if first in groups() else first for first, second in COMMAND.findall(text)]


@cache
def texts_of_functions() -> str:
    """Every string constant of the functions' code, one a line."""
    sources = sorted((ROOT / "functions").rglob("*.py"))
    nodes = [node for path in sources for node in ast.walk(ast.parse(path.read_text()))]
    texts = [node.value for node in nodes if isinstance(node, ast.Constant)]
    return "\n".join(text for text in texts if isinstance(text, str))


@pytest.mark.parametrize("page", pages(), ids=name)
def test_every_relative_link_leads_to_a_page_and_a_section(page: Path) -> None:
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", pages(), ids=name)
def test_every_path_that_is_named_exists(page: Path) -> None:
    text = re.sub(r"\]\([^)]*\)|https?://\S+", "", page.read_text())
    for path in PATH.findall(text):
        assert (ROOT / path.rstrip(".")).exists(), path


def test_every_document_is_reached_from_the_readme() -> None:
    reached, waiting = set[Path](), [README]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        targets = (link.partition("#")[0] for link in links(page) if not re.match(r"[a-z]+:", link))
        waiting += [(page.parent / target).resolve() for target in targets if target]
    assert {page for page in pages() if page.is_relative_to(DOCS)} | {RUNBOOK} <= reached


def test_the_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) <= MOST_README_LINES


def test_every_target_of_make_that_is_named_exists() -> None:
    targets = re.findall(r"^([a-z][a-z%-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    patterns = [target.replace("%", "*") for target in targets]
    for page in pages():
        for target in {found for text in code(page) for found in re.findall(r"^make ([a-z][\w.-]*)", text)}:
            assert any(fnmatch(target, pattern) for pattern in patterns), f"{name(page)}: {target}"


def test_every_parameter_of_the_template_is_explained_with_its_default() -> None:
    explained = {row[0].strip("`"): row[1] for row in rows(OPERATORS, "parameter")}
    shown = {"": "(empty)", None: "(asked)"}
    declared = {n: shown.get(p.get("Default"), str(p.get("Default"))) for n, p in template()["Parameters"].items()}
    assert explained == declared


def test_every_command_is_explained_and_no_other() -> None:
    explained = [named_commands(row[0])[0] for row in rows(OPERATORS, "command")]
    assert sorted(explained) == sorted(commands())


def test_every_option_that_is_explained_is_one_of_its_command() -> None:
    for row in rows(OPERATORS, "command"):
        command = commands()[named_commands(row[0])[0]]
        assert set(OPTION.findall(" ".join(row))) <= command, row[0]


@pytest.mark.parametrize("page", pages(), ids=name)
def test_every_command_that_is_named_exists(page: Path) -> None:
    for text in code(page):
        if text.startswith(("bellhop ", ".venv/bin/bellhop ")):
            found = named_commands(text)
            assert set(found) <= {*commands(), *(f"{group} " for group in groups())}, text
            for title in set(found) & set(commands()):
                assert set(OPTION.findall(text)) <= commands()[title], text


def test_every_alarm_has_its_section_in_the_runbook_and_every_section_an_alarm() -> None:
    found = (alarms() | composites()).values()
    named = {re.findall(r'"([^"]+)" in infra/RUNBOOK.md', alarm["AlarmDescription"])[0] for alarm in found}
    of_alarms, _, _ = RUNBOOK.read_text().partition("\n# Questions that people ask")
    assert set(re.findall(r"^## (.+)$", of_alarms, re.MULTILINE)) == named
    assert "Questions that people ask" in headings(RUNBOOK)


@pytest.mark.parametrize("section", ["Meaning", "Where to look", "What to do"])
def test_every_section_of_an_alarm_says_the_same_three_things(section: str) -> None:
    of_alarms, _, _ = RUNBOOK.read_text().partition("\n# Questions that people ask")
    for text in of_alarms.split("\n## ")[1:]:
        assert f"**{section}.**" in text, text.partition("\n")[0]


def test_every_log_line_of_the_runbook_is_one_of_the_code() -> None:
    quoted = [span for span in spans(RUNBOOK) if re.fullmatch(r"[a-z][a-z,:;_ -]* [a-z,:;_ -]+", span)]
    other = ("bellhop ", "aws ", "make ", "filter ", "warnings: ")
    lines = [span for span in quoted if not span.startswith(other)]
    assert len(lines) > 10
    missing = [line for line in lines if line not in texts_of_functions() and line not in texts_of_the_command()]
    assert missing == []


@cache
def texts_of_the_command() -> str:
    """The source of the command: what it prints, some of it within formatted text."""
    return "\n".join(path.read_text() for path in (ROOT / "infra").rglob("*.py"))


def test_every_saved_query_is_named_in_the_runbook() -> None:
    text = " ".join(RUNBOOK.read_text().split())
    for query in queries().values():
        title = re.sub(r" \(.*\)$", "", query["Name"].partition("/")[2])
        assert title in text


def test_every_composite_alarm_is_named_in_the_runbook() -> None:
    assert set(composites()) <= set(spans(RUNBOOK))


def test_every_metric_that_is_named_is_counted() -> None:
    for page in pages():
        for metric in re.findall(r"\bmetric\s+`(\w+)`", page.read_text()):
            assert metric in texts_of_functions().splitlines(), f"{name(page)}: {metric}"


def test_every_stack_output_that_is_named_exists() -> None:
    outputs = set(template()["Outputs"])
    for page in pages():
        named = {span for span in spans(page) if re.fullmatch(r"[A-Z]\w+(QueueUrl|QueueArn|LogGroup|Table)", span)}
        assert named <= outputs, name(page)


def test_every_event_on_the_bus_is_published_by_the_code() -> None:
    explained = [row[0].strip("`") for row in rows(OPERATORS, "event")]
    published = texts_of_functions()
    for event in explained:
        assert event in published or event.removeprefix("bellhop.") in published.splitlines(), event


def test_the_decisions_are_numbered_and_indexed() -> None:
    records = sorted(path for path in DECISIONS.glob("*.md") if path.name != "README.md")
    numbers = [int(path.name[:4]) for path in records]
    assert len(set(numbers)) == len(numbers)  # one that was given to work that ended otherwise may be missing
    assert links(DECISIONS / "README.md") == [path.name for path in records]
    for number, path in zip(numbers, records, strict=True):
        title, *sections = headings(path)
        assert title.startswith(f"{number}. ")
        assert sections == ["Context", "Choice", "Price"]
        assert f"[{title}]({path.name})" in (DECISIONS / "README.md").read_text()
        assert "\nStatus: " in path.read_text()
