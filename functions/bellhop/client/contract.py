"""What is wrong with an issue event, in plain words, all of it at once. Pure; needs the standard library only.

The contract is the published JSON Schema, of which this understands the keywords that it has. notify decides by
`bellhop.events.parse`, which asks here what is wrong; both agree on which events are valid.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from itertools import chain
from typing import Any

from bellhop.event_text import NESTED, SCHEMA_PATH, MalformedEventError, decode
from bellhop.json_text import members
from bellhop.text import cut, printable

SHOWN = 60  # characters of a value in a message
BODY = "body"  # the field, where the whole event is meant

_TYPES: Mapping[str, tuple[str, tuple[type, ...]]] = {
    "string": ("a text", (str,)),
    "integer": ("a whole number", (int,)),
    "object": ("an object ({...})", (dict,)),
    "null": ("null", (type(None),)),
}
# The day must exist in its month, and 29 February only in a leap year.
_LONG_MONTH = r"(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])"
_SHORT_MONTH = r"(?:0[469]|11)-(?:0[1-9]|[12]\d|30)|02-(?:0[1-9]|1\d|2[0-8])"
_DATE = rf"\d{{4}}-(?:{_LONG_MONTH}|{_SHORT_MONTH})"
_LEAP_DAY = r"(?:\d\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29"
_HOUR_MINUTE = r"(?:[01]\d|2[0-3]):?[0-5]\d"
_DATE_TIME = re.compile(
    rf"(?:{_DATE}|{_LEAP_DAY})[tT](?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d+)?(?:[+-]{_HOUR_MINUTE}|[zZ])"
)
_MISSING = {
    "event_id": "add an id that is unique within the organisation",
    "organization_id": "add the id of the organisation whose apps get it",
    "type": "add what happened, such as created",
    "issue": "add the issue, with its id",
}

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one field: the `rule` that it breaks, with what to do; `value`: what is there now."""

    field: str
    rule: str
    value: str | None = None

    @property
    def reason(self) -> str:
        """What goes on after the field's name, with its value."""
        return self.rule if self.value is None else f"is {self.value}, which {self.rule}"

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}"


def check(event: Mapping[str, Any] | str) -> list[Fault]:
    """Everything that is wrong with an event, given as a mapping or as JSON; nothing for a valid one."""
    return list(faults(event))


def faults(event: Mapping[str, Any] | str) -> Iterator[Fault]:
    """The same, found one by one: a hostile event may have tens of thousands."""
    try:
        text = encode(event)
        document = decode(text)
    except MalformedEventError as error:
        yield Fault(error.field, error.reason)
        return
    if not isinstance(document, dict):
        yield Fault(BODY, "is not an object; write each event as {...}", _shown(document))
        return
    found = set[str]()
    for fault in chain(_repeated(text), _faults(document, _schema(), "")):
        if fault.field not in found:  # further ones of a field follow from its first
            found.add(fault.field)
            yield fault


def encode(event: Mapping[str, Any] | str) -> str:
    """The event as JSON, which is the body of its queue message; a text is one already.

    Raises:
        MalformedEventError: it has a value that JSON does not know.
    """
    if isinstance(event, str):
        return event
    try:
        return json.dumps(event, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise MalformedEventError(BODY, f"cannot be written as JSON: {cut(printable(error), SHOWN)}") from None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint at the nearest of the known words, or nothing."""
    close = get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


@cache
def _schema() -> Schema:
    loaded: Schema = json.loads(SCHEMA_PATH.read_text(encoding="utf-8"))
    return loaded


def _repeated(text: str) -> Iterator[Fault]:
    """The fields that are there twice: of each, JSON readers take another one."""
    seen = set[str]()
    for member in members(text):
        if member.name in seen:
            yield _twice(member.name)
        elif member.name in NESTED and member.value_text.startswith("{"):
            counts = Counter(inner.name for inner in members(member.value_text))
            yield from (_twice(f"{member.name}.{name}") for name, count in counts.items() if count > 1)
        seen.add(member.name)


def _twice(field: str) -> Fault:
    return Fault(_bounded(field) or BODY, "is there twice; write it once")


def _faults(value: Any, schema: Schema, path: str) -> Iterator[Fault]:
    types = schema.get("type", [])
    allowed = [types] if isinstance(types, str) else types
    if allowed and not any(_is(value, name) for name in allowed):
        words = " or ".join(_TYPES[name][0] for name in allowed)
        yield Fault(path or BODY, f"is not {words}{_number_hint(value, allowed)}", _shown(value))
    elif isinstance(value, dict):
        yield from _object_faults(value, schema, path)
    else:
        yield from _value_faults(value, schema, path)


def _object_faults(value: dict[str, Any], schema: Schema, path: str) -> Iterator[Fault]:
    properties: Schema = schema.get("properties", {})
    for name in schema.get("required", []):
        if name not in value:
            yield Fault(_within(path, name), f"is missing; {_MISSING.get(name, 'add it')}")
    for name, inner in value.items():
        if name in properties:
            yield from _faults(inner, properties[name], _within(path, name))
        elif schema.get("additionalProperties", True) is False:
            hint = did_you_mean(name, [known for known in properties if known not in value])
            yield Fault(
                _bounded(_within(path, name)) or BODY,
                f"is not known; known are {', '.join(properties)}{hint or '; further fields go into `data`'}",
            )
    for rule in schema.get("allOf", []):
        if not any(_faults(value, rule["if"], path)):
            yield from _faults(value, rule["then"], path)


def _value_faults(value: Any, schema: Schema, path: str) -> Iterator[Fault]:
    options = [schema["const"]] if "const" in schema else schema.get("enum", [])
    if options and value not in options:
        hint = did_you_mean(value, options) if isinstance(value, str) else ""
        yield Fault(path, f"is none of {', '.join(options)}{hint}", _shown(value))
    if isinstance(value, str):
        yield from (Fault(path, rule, _shown(value)) for rule in _text_faults(value, schema))


def _text_faults(value: str, schema: Schema) -> Iterator[str]:
    if "pattern" in schema and not re.search(schema["pattern"].replace("$", r"\Z"), value):
        yield schema["patternErrorMessage"]
    elif not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
        yield f"has {len(value)} characters; use {schema['minLength']} to {schema['maxLength']}"
    elif schema.get("format") == "date-time" and not _DATE_TIME.fullmatch(value):
        yield "is no time with a time zone; write it as 2026-11-23T12:00:00Z"


def _is(value: Any, name: str) -> bool:
    return isinstance(value, _TYPES[name][1]) and not isinstance(value, bool)


def _number_hint(value: Any, allowed: Sequence[str]) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return "; write it in quotes" if is_number and "string" in allowed else ""


def _within(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _bounded(field: str) -> str:
    return cut(printable(field), SHOWN)


def _shown(value: Any) -> str:
    """A value as it is written in JSON, bounded, without what a terminal would obey."""
    return cut(printable(json.dumps(value, ensure_ascii=False)), SHOWN)
