"""Checking a registry file against its JSON Schema, with messages that say what to do.

The schema, registry.schema.json, says what is allowed; editors use it too. Its `patternErrorMessage` continues a
sentence that begins with the value; editors show it as well. What no schema can say is checked in loading.py.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path as FilePath
from typing import Any, Self

from jsonschema import Draft202012Validator, ValidationError

from bellhop.client.contract import did_you_mean
from infra.cli.registry.document import Document, Path
from infra.cli.registry.events import events_of

SCHEMA_PATH = FilePath(__file__).with_name("registry.schema.json")

_EMPTY = "is empty; give it a value or remove it"

Finding = tuple[Path, str]


@dataclass(frozen=True, slots=True)
class _Refusal:
    """What the schema refuses: the `value` at `path` does not fit the `keyword` of a `schema`.

    `expected` is what the keyword demands. Where `of_key`, the value is a key of the mapping at `path`.
    """

    path: Path
    keyword: str
    expected: Any
    value: Any
    schema: Any
    of_key: bool

    @classmethod
    def of(cls, error: ValidationError) -> Self:
        of_key = "propertyNames" in error.absolute_schema_path
        path = tuple(error.absolute_path)
        return cls(path, str(error.validator), error.validator_value, error.instance, error.schema, of_key)


def check(document: Document) -> None:
    """Note everything that the schema refuses, and take away the values that cannot be used."""
    for refusal in [_Refusal.of(error) for error in _validator().iter_errors(document.root)]:
        if refusal.path in document.refused:
            continue
        for path, message in _EXPLAIN[refusal.keyword](refusal):
            if refusal.keyword in _UNUSABLE and not refusal.of_key:
                document.refuse(path, message)
            else:
                document.report(path, message)


@cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(json.loads(SCHEMA_PATH.read_text()))


def _wrong_type(refusal: _Refusal) -> Iterator[Finding]:
    types = [refusal.expected] if isinstance(refusal.expected, str) else refusal.expected
    if refusal.value is None:
        yield refusal.path, _EMPTY
    elif "object" in types:
        yield refusal.path, "must be a mapping (`key: value` lines, indented)"
    elif "array" in types:
        yield refusal.path, "must be a list (`[a, b]`, or lines that begin with `- `)"
    else:
        yield refusal.path, "must be one value, not a list or a mapping"


def _missing(refusal: _Refusal) -> Iterator[Finding]:
    for name in refusal.expected:
        if name in refusal.value:
            continue
        if name == "env":
            if not refusal.value:  # otherwise what stands there instead is refused
                yield refusal.path, "names no variable; write {env: NAME}"
        else:
            yield refusal.path, f"has no `{name}`; add it"


def _unknown(refusal: _Refusal) -> Iterator[Finding]:
    known = list(refusal.schema["properties"])
    if known == ["env"]:  # the value itself may stand there
        yield refusal.path, "must be one value, or {env: NAME} with nothing beside it"
        return
    for name in refusal.value:
        if name not in known:
            hint = did_you_mean(name, known)
            yield (*refusal.path, name), f"is not known here; known are {', '.join(known)}{hint}"


def _not_in_list(refusal: _Refusal) -> Iterator[Finding]:
    text = str(refusal.value)
    if not isinstance(refusal.value, str) or not text:
        return  # its type or its length was refused already
    if "events" in refusal.path:
        yield refusal.path, f"is {text!r}, which is no event; {_event_hint(text, refusal.expected)}"
    else:
        options = [option for option in refusal.expected if option]
        yield refusal.path, f"is {text!r}, which is none of {', '.join(options)}{did_you_mean(text, options)}"


def _event_hint(text: str, known: list[str]) -> str:
    siblings = events_of().get(text.partition(".")[0])
    if siblings:
        return f"use {', '.join(siblings)}"
    return f"resources are {', '.join(events_of())}{did_you_mean(text, known)}"


def _wrong_form(refusal: _Refusal) -> Iterator[Finding]:
    message = refusal.schema["patternErrorMessage"]
    if refusal.of_key and refusal.path[-1] == "headers":  # a whole line may stand there, with its secret value
        yield refusal.path, f"has a name that {message}"
    elif refusal.of_key:
        yield (*refusal.path, refusal.value), f"is keyed {refusal.value!r}, which {message}"
    elif refusal.value:
        yield refusal.path, f"is {refusal.value!r}, which {message}"


def _empty(refusal: _Refusal) -> Iterator[Finding]:
    yield refusal.path, _EMPTY


def _too_many(refusal: _Refusal) -> Iterator[Finding]:
    yield refusal.path, f"has {len(refusal.value):,} {refusal.path[-1]}; at most {refusal.expected:,} are possible"


def _too_long(refusal: _Refusal) -> Iterator[Finding]:
    yield refusal.path, f"has {len(refusal.value):,} characters; at most {refusal.expected:,} are possible"


def _both_secrets(refusal: _Refusal) -> Iterator[Finding]:
    yield (*refusal.path, "secret"), "stands beside `secret_env`; keep one"


_EXPLAIN: dict[str, Callable[[_Refusal], Iterator[Finding]]] = {
    "type": _wrong_type,
    "required": _missing,
    "additionalProperties": _unknown,
    "enum": _not_in_list,
    "pattern": _wrong_form,
    "minLength": _empty,
    "maxLength": _too_long,
    "maxItems": _too_many,
    "maxProperties": _too_many,
    "not": _both_secrets,
}
_UNUSABLE = {"type", "enum", "pattern", "minLength", "maxLength"}
