"""Reading a file of issue events: one JSON object, an array of them, or JSON lines. Pure."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bellhop import json_text
from bellhop.client import Fault, check
from bellhop.event_text import MAX_DEPTH
from bellhop.events import IssueEvent, parse
from health.mail.wording import counted
from infra.cli.errors import CommandError

MOST_FAULTS = 100  # lines of an error; what is wrong with hundreds of events is mended by a program

_ONLY_LINE = re.compile(r"line 1 (column \d+) \(char \d+\)")


@dataclass(frozen=True, slots=True)
class FileEvent:
    """A valid event of a file, with its text as it stands there."""

    text: str
    event: IssueEvent


@dataclass(frozen=True, slots=True)
class Place:
    """Where an event stands: its number in the file, from 0, its line, from 1; `text` says it to a person."""

    number: int
    line: int
    text: str = ""


@dataclass(frozen=True, slots=True)
class Malformed:
    """What is wrong with a field of an event."""

    place: Place
    field: str
    reason: str

    def __str__(self) -> str:
        return f"{self.place.text}{self.field}: {self.reason}"

    def document(self) -> dict[str, Any]:
        """As JSON."""
        where = {"event": self.place.number, "line": self.place.line}
        return {**where, "field": self.field, "reason": self.reason}


class MalformedFileError(CommandError):
    """Some events of a file are malformed, or there twice: here is all that is wrong with them."""

    def __init__(self, malformed: Sequence[Malformed]) -> None:
        super().__init__(*_bounded(list(map(str, malformed))))
        self.malformed = malformed


def read(text: str) -> list[FileEvent]:
    """The events of a file, in its order.

    Raises:
        MalformedFileError: some are malformed, or there twice.
        CommandError: there is none.
    """
    malformed: list[Malformed] = []
    valid: list[tuple[Place, FileEvent]] = []
    for place, content in _split(text):
        wrong = [Malformed(place, fault.field, _reason(fault, content)) for fault in check(content)]
        malformed += wrong
        if not wrong:
            valid.append((place, FileEvent(content, parse(content))))
    malformed += _repeated([(place, each.event) for place, each in valid])
    if malformed:
        raise MalformedFileError(malformed)
    if not valid:
        raise CommandError("there is no event in it; see functions/bellhop/schema/issue-event.json")
    return [each for _, each in valid]


def _reason(fault: Fault, content: str) -> str:
    if "\n" not in content:  # an event of JSON lines is one line: that it is its line 1 misleads
        return _ONLY_LINE.sub(r"\1", fault.reason)
    if _begins_several(content):
        return (
            "is several objects on many lines; write each on a line of its own, or all as an array: [{...}, {...}]"
        )
    return fault.reason


def _begins_several(content: str) -> bool:
    """Whether another object follows a first one, as where a program printed several, indented."""
    try:
        first, end = json.JSONDecoder().raw_decode(content.lstrip())
    except (ValueError, RecursionError):
        return False
    return isinstance(first, dict) and content.lstrip()[end:].lstrip().startswith("{")


def _repeated(events: list[tuple[Place, IssueEvent]]) -> list[Malformed]:
    first: dict[tuple[str, str], Place] = {}
    found = []
    for place, event in events:
        before = first.setdefault((event.organization_id, event.event_id), place)
        if before != place:
            which = before.text.rstrip(": ")
            told = f'is "{event.event_id}", which {which} has too; give each event of an organisation its own'
            found.append(Malformed(place, "event_id", told))
    return found


def _bounded(faults: list[str]) -> list[str]:
    more = len(faults) - MOST_FAULTS
    return faults[:MOST_FAULTS] + ([f"and {counted(more, 'more fault')}"] if more > 0 else [])


def _split(text: str) -> Iterator[tuple[Place, str]]:
    """Where each event stands, and its text. What is not JSON at all is passed on, to be refused."""
    if not text.strip():
        return
    document = _json(text)
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if isinstance(document, list):
        for number, (begin, content) in enumerate(json_text.elements(text)):
            at = text.count(chr(10), 0, begin) + 1
            yield Place(number, at, f"event [{number}], line {at}: "), content
    elif document is None and len(lines) > 1 and isinstance(_json(lines[0][1]), dict):
        for number, (at, content) in enumerate(lines):
            yield Place(number, at, f"line {at}: "), content
    else:
        yield Place(0, 1), text


def _json(text: str) -> Any:
    if json_text.deeper_than(text, MAX_DEPTH + 1):  # the array of the events is one level
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None
