"""Reading a file of issue events: one JSON object, an array of them, or JSON lines. Pure."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bellhop import json_text
from bellhop.client import check
from bellhop.event_text import MAX_DEPTH
from bellhop.events import IssueEvent, parse
from infra.cli.errors import CommandError

MOST_FAULTS = 100  # lines of an error; what is wrong with hundreds of events is mended by a program

_ONLY_LINE = re.compile(r"line 1 (column \d+) \(char \d+\)")


@dataclass(frozen=True, slots=True)
class FileEvent:
    """A valid event of a file, with its text as it stands there."""

    text: str
    event: IssueEvent


def read(text: str) -> list[FileEvent]:
    """The events of a file, in its order.

    Raises:
        CommandError: some are malformed, or there twice. It has every fault, each with its line, field and value.
    """
    faults: list[str] = []
    valid: list[tuple[str, FileEvent]] = []
    for place, content in _split(text):
        wrong = [f"{place}{fault}" for fault in _faults(content)]
        faults += wrong
        if not wrong:
            valid.append((place, FileEvent(content, parse(content))))
    faults += _repeated([(place, each.event) for place, each in valid])
    if faults:
        raise CommandError(*_bounded(faults))
    if not valid:
        raise CommandError("there is no event in it; see functions/bellhop/schema/issue-event.json")
    return [each for _, each in valid]


def _faults(content: str) -> Iterator[str]:
    for fault in check(content):
        # An event of JSON lines is one line: that it is its line 1 misleads.
        yield _ONLY_LINE.sub(r"\1", str(fault)) if "\n" not in content else str(fault)


def _repeated(events: list[tuple[str, IssueEvent]]) -> list[str]:
    first: dict[tuple[str, str], str] = {}
    found = []
    for place, event in events:
        before = first.setdefault((event.organization_id, event.event_id), place)
        if before != place:
            found.append(
                f'{place}event_id: is "{event.event_id}", which {before.rstrip(": ")} has too; '
                "give each event of an organisation its own"
            )
    return found


def _bounded(faults: list[str]) -> list[str]:
    more = len(faults) - MOST_FAULTS
    return faults[:MOST_FAULTS] + ([f"and {more:,} more faults"] if more > 0 else [])


def _split(text: str) -> Iterator[tuple[str, str]]:
    """Where each event stands, and its text. What is not JSON at all is passed on, to be refused."""
    if not text.strip():
        return
    document = _json(text)
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if isinstance(document, list):
        for number, (begin, content) in enumerate(json_text.elements(text)):
            yield f"event [{number}], line {text.count(chr(10), 0, begin) + 1}: ", content
    elif document is None and len(lines) > 1 and isinstance(_json(lines[0][1]), dict):
        for number, content in lines:
            yield f"line {number}: ", content
    else:
        yield "", text


def _json(text: str) -> Any:
    if json_text.deeper_than(text, MAX_DEPTH + 1):  # the array of the events is one level
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None
