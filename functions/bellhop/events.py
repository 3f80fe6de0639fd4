"""The issue event: the contract with the publisher, and its one parser."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from typing import Any

import fastjsonschema

from bellhop.client import contract
from bellhop.client.contract import Fault
from bellhop.event_text import (
    MAX_DEPTH,
    MAX_EVENT_BYTES,
    MAX_ID,
    NESTED,
    SCHEMA_PATH,
    MalformedEventError,
    decode,
    names,
    texts,
)

__all__ = [
    "MAX_DEPTH",
    "MAX_EVENT_BYTES",
    "MAX_ID",
    "SCHEMA_PATH",
    "IssueEvent",
    "MalformedEventError",
    "parse",
]


NAMED = 5  # fields of a malformed event: a hostile one may have thousands, and its neighbours wait


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
    document = decode(text)
    try:
        _validator()(document)
    except fastjsonschema.JsonSchemaValueException as error:
        raise _explain(text, error, names(document)) from None
    found = texts("", text, document)
    for name in NESTED:
        if document.get(name):
            texts(f"{name}.", found[name], document)
    return IssueEvent(**document, texts=found)


@cache
def _validator() -> Any:
    return fastjsonschema.compile(json.loads(SCHEMA_PATH.read_text()), use_default=False)


def _explain(text: str, error: Any, names: dict[str, str]) -> MalformedEventError:
    # In the words of `bellhop publish`, but without values: what customers wrote stays out of the log.
    first, *others = [*islice(contract.faults(text), NAMED)] or [Fault(contract.BODY, error.message)]
    also = f" (also wrong: {', '.join(fault.field for fault in others)})" if others else ""
    return MalformedEventError(first.field[:200], f"{first.rule}{also}"[:500], names)
