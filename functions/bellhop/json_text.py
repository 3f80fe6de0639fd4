"""JSON as text: an object's members and an array's elements as they were written, and how deep a text is nested.

To read a document and write it again changes it: `1e5` becomes `100000.0`, `\\u00e9` becomes `é`. What is passed
on as it was written is cut out of the text instead.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

_BLANK = re.compile(r"[ \t\n\r]*")
# Also one that never ends: to try each of its quotes anew as a beginning takes time that grows with their square.
_STRING = re.compile(r'"(?:[^"\\]|\\.?)*(?:"|\Z)', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")
_decode = json.JSONDecoder().raw_decode


@dataclass(frozen=True, slots=True)
class Member:
    """A member of an object: its name, and name and value as they were written."""

    name: str
    name_text: str
    value_text: str

    def __str__(self) -> str:
        return f"{self.name_text}:{self.value_text}"


def members(text: str) -> Iterator[Member]:
    """The members of the object that `text` is, in their order. `text` is valid JSON."""
    position = _skip(text, _skip(text, 0) + 1)
    while text[position] != "}":
        name, name_end = _decode(text, position)
        start = _skip(text, _skip(text, name_end) + 1)  # past the colon
        _, end = _decode(text, start)
        yield Member(name, text[position:name_end], text[start:end])
        position = _skip(text, end)
        if text[position] == ",":
            position = _skip(text, position + 1)


def elements(text: str) -> Iterator[tuple[int, str]]:
    """The elements of the array that `text` is, each with where it begins, as they were written.

    `text` is valid JSON.
    """
    position = _skip(text, _skip(text, 0) + 1)
    while text[position] != "]":
        _, end = _decode(text, position)
        yield position, text[position:end]
        position = _skip(text, end)
        if text[position] == ",":
            position = _skip(text, position + 1)


def deeper_than(text: str, limit: int) -> bool:
    """Whether more than `limit` arrays and objects of `text` are inside one another. Never recurses."""
    if text.count("[") + text.count("{") <= limit:  # every level opens with a bracket
        return False
    level = 0
    for bracket in _BRACKET.findall(_STRING.sub("", text)):
        level += 1 if bracket in "[{" else -1
        if level > limit:
            return True
    return False


def _skip(text: str, position: int) -> int:
    match = _BLANK.match(text, position)
    return match.end() if match else position
