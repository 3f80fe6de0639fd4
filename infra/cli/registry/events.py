"""Which events there are, by the published schema of the issue event."""

import json
from collections.abc import Iterable
from difflib import get_close_matches
from functools import cache
from typing import Any

from bellhop import pings
from bellhop.events import SCHEMA_PATH


@cache
def events_of() -> dict[str, tuple[str, ...]]:
    """The event names of each resource, such as `issue` -> `issue.created`, ..."""
    schema = json.loads(SCHEMA_PATH.read_text())
    return {resource: _names(resource, schema["allOf"]) for resource in _resources(schema)}


def expand(name: str) -> tuple[str, ...] | None:
    """The events that `name` stands for: all of a resource, or one event itself; None when it is neither."""
    resource = name.partition(".")[0]
    names = events_of().get(resource, ())
    if name == resource:
        return names or None
    return (name,) if name in names else None


def unknown_name(text: str) -> str | None:
    """What is wrong with a text that may name an event, or be the id of one; None where nothing is."""
    if "." not in text or expand(text) or text == pings.EVENT:  # no event's id has a dot
        return None
    known = [name for names in events_of().values() for name in names]
    near = get_close_matches(text, known, 1)
    return f"{text!r} is no event's name{f'; did you mean {near[0]}?' if near else ''}"


def collapse(names: Iterable[str]) -> tuple[str, ...]:
    """The inverse of `expand`: the resource instead of its events, where all of them are there."""
    left = dict.fromkeys(names)
    for resource, events in events_of().items():
        if left.keys() >= set(events):
            left = {name: None for name in left if name not in events} | {resource: None}
    return tuple(sorted(left))


def _resources(schema: dict[str, Any]) -> list[str]:
    resources: list[str] = schema["properties"]["resource"]["enum"]
    return resources


def _names(resource: str, branches: list[dict[str, Any]]) -> tuple[str, ...]:
    return tuple(
        f"{resource}.{kind}"
        for branch in branches
        if branch["if"]["properties"]["resource"].get("const") == resource
        for kind in branch["then"]["properties"]["type"]["enum"]
    )
