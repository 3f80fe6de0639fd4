"""The issue event: the contract with the publisher, and its one parser."""

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import fastjsonschema

MAX_EVENT_BYTES = 262_144
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
    """A valid issue event. schema/issue-event.json explains the fields."""

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

    @property
    def name(self) -> str:
        """The event's name, such as `issue.created`."""
        return f"{self.resource}.{self.type}"


def parse(text: str) -> IssueEvent:
    """Read an issue event.

    Raises:
        MalformedEventError: `text` is not JSON, does not fit the schema, is too large, or UTF-8 cannot encode it.
    """
    document = _decode(text)
    _encodable(text, document)
    try:
        _validator()(document)
    except fastjsonschema.JsonSchemaValueException as error:
        raise _explain(error, _names(document)) from None
    return IssueEvent(**document)


def subscribed_name(event: str, listened: list[str]) -> str | None:
    """The name under which a hook that lists `listened` gets `event`, or None if it does not want it."""
    if event in listened:
        return event
    alias = _ALIASES.get(event)
    return alias if alias in listened else None


@cache
def _validator() -> Any:
    return fastjsonschema.compile(json.loads(SCHEMA_PATH.read_text()), use_default=False)


def _decode(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constants)
    except RecursionError:
        raise MalformedEventError("body", "is nested too deeply; the schema needs only a few levels") from None
    except ValueError as error:
        raise MalformedEventError("body", f"is not JSON: {error}") from None


def _no_constants(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


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
