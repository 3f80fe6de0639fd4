"""The issue event: the contract with the publisher, and its one parser."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import fastjsonschema

from bellhop import json_text

MAX_EVENT_BYTES = 262_144
MAX_DEPTH = 64  # arrays and objects inside one another; far below what the parser of any Python version takes
MAX_INTEGER_DIGITS = 308  # a longer integer is beyond a double, and so infinite to most receivers
MAX_ID = 64  # characters; a longer id, of a malformed event, is cut in the log
SCHEMA_PATH = Path(__file__).parent / "schema" / "issue-event.json"

# `archived` is the old name of `ignored`: an app that lists only one of them gets the event under that name.
_ALIASES = {"issue.ignored": "issue.archived", "issue.archived": "issue.ignored"}


class MalformedEventError(Exception):
    """The event breaks the contract: `field` says where, `reason` says how.

    `names` are the event's ids, as far as they can be read, for the log.
    """

    def __init__(self, field: str, reason: str, names: dict[str, str] | None = None) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason
        self.names = names or {}


@dataclass(frozen=True, slots=True)
class IssueEvent:
    """A valid issue event. schema/issue-event.json explains the fields.

    `texts` has each field as the publisher wrote it, in JSON.
    """

    event_id: str
    type: str
    organization_id: str
    resource: str = "issue"
    installation_id: str | None = None
    project_id: str | None = None
    user: dict[str, Any] | None = None
    issue: dict[str, Any] | None = None
    data: dict[str, Any] | None = field(default_factory=dict)
    occurred_at: str | None = None
    texts: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def name(self) -> str:
        """The event's name, such as `issue.created`."""
        return f"{self.resource}.{self.type}"


def parse(text: str) -> IssueEvent:
    """Read an issue event.

    Raises:
        MalformedEventError: `text` is not JSON, does not fit the schema, is too large or too deeply nested, has a
            field twice, or has what cannot be passed on as JSON.
    """
    document = _decode(text)
    _encodable(text, document)
    try:
        _validator()(document)
    except fastjsonschema.JsonSchemaValueException as error:
        raise _explain(error, _names(document)) from None
    texts = _texts("", text, document)
    for name in ("user", "issue", "data"):
        if document.get(name):
            _texts(f"{name}.", texts[name], document)
    return IssueEvent(**document, texts=texts)


def subscribed_name(event: str, listened: list[str]) -> str | None:
    """The name under which a hook that lists `listened` gets `event`, or None if it does not want it."""
    if event in listened:
        return event
    alias = _ALIASES.get(event)
    return alias if alias in listened else None


@cache
def _validator() -> Any:
    return fastjsonschema.compile(json.loads(SCHEMA_PATH.read_text()), use_default=False)


class _Real(float):
    """A number with a fraction or an exponent. No id may be one: some receivers would read 42.0 as 42."""

    def is_integer(self) -> bool:
        return False


def _decode(text: str) -> Any:
    if json_text.deeper_than(text, MAX_DEPTH):
        reason = f"is nested more than {MAX_DEPTH} deep; the schema needs only a few levels"
        raise MalformedEventError("body", reason)
    try:
        read_integer = _integer if _LONG_INTEGER.search(text) else None
        return json.loads(text, parse_constant=_constant, parse_float=_real, parse_int=read_integer)
    except ValueError as error:
        raise MalformedEventError("body", f"is not JSON: {error}") from None


_LONG_INTEGER = re.compile(rf"[0-9]{{{MAX_INTEGER_DIGITS + 1}}}")


def _constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _real(text: str) -> _Real:
    number = _Real(text)
    if math.isinf(number):
        raise ValueError(f"{text[:MAX_ID]} is beyond the numbers that receivers can read (IEEE 754 doubles)")
    return number


def _integer(text: str) -> int:
    if len(text.lstrip("-")) > MAX_INTEGER_DIGITS:
        raise ValueError(f"an integer has {len(text)} digits; receivers can read {MAX_INTEGER_DIGITS} at most")
    return int(text)


def _texts(path: str, text: str, document: dict[str, Any]) -> dict[str, str]:
    """Each member of an object as it was written; a name that is there twice would be read in two ways."""
    found: dict[str, str] = {}
    for member in json_text.members(text):
        if member.name in found:
            raise MalformedEventError(
                f"{path}{member.name}"[:200] or "body", "is there twice; write it once", _names(document)
            )
        found[member.name] = member.value_text
    return found


def _encodable(text: str, document: Any) -> None:
    # A lone surrogate comes from a \ud8xx escape or a broken decoder. Both are rare, so look for an escape first.
    try:
        size = len(text.encode())
        if "\\u" in text:
            json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise MalformedEventError(
            _unencodable_field(document), "has a character that UTF-8 cannot encode (a lone surrogate)"
        ) from None
    if size > MAX_EVENT_BYTES:
        raise MalformedEventError("body", f"has {size} bytes; at most {MAX_EVENT_BYTES} are allowed")


def _unencodable_field(document: Any) -> str:
    for key, value in document.items() if isinstance(document, dict) else ():
        try:
            json.dumps({key: value}, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            return ascii(key).strip("'")
    return "body"


def _names(document: Any) -> dict[str, str]:
    fields = document if isinstance(document, dict) else {}
    ids = {name: fields.get(name) for name in ("event_id", "organization_id")}
    return {name: value[:MAX_ID] for name, value in ids.items() if isinstance(value, str)}


def _explain(error: Any, names: dict[str, str]) -> MalformedEventError:
    # fastjsonschema says "data.project_id must be string", where "data" is the whole event, not the field `data`.
    place, _, reason = error.message.partition(" ")
    name = place.removeprefix("data").removeprefix(".") or "body"
    if error.rule == "additionalProperties":
        known = ", ".join(error.definition["properties"])
        reason = f"{reason}; known fields are {known}"
    return MalformedEventError(name[:200], reason[:500], names)
