"""The webhook's body, frozen as bytes once, so that every attempt sends the same.

`issue`, `data` and `user` are the publisher's: numbers, strings and order go into the body as they were written.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from bellhop.clock import rfc3339
from bellhop.deliveries import SharedTail
from bellhop.events import IssueEvent
from bellhop.json_text import members

SYSTEM = {"type": "application", "id": "sentry", "name": "Sentry"}


class Payload:
    """What the bodies of one event's deliveries have in common. `published_at` is in Unix seconds."""

    def __init__(self, event: IssueEvent, published_at: float) -> None:
        self._event = event
        self._published_at = published_at

    def body(self, action: str, installation_id: str) -> bytes:
        """The body as UTF-8 JSON: `action` and `installation`, then what all bodies share.

        That is `data` with the issue in it, `actor`, `event_id`, `resource`, `occurred_at`, `organization_id` and
        `project_id`. Every field is always there; without a project `project_id` is null.
        """
        own = json.dumps(_own(action, installation_id), separators=(",", ":"))
        return own[:-1].encode() + self.shared.tail

    def values(self, action: str, installation_id: str) -> Mapping[str, Any]:
        """What a receiver reads in the body; what is the event's is shared with it."""
        return _own(action, installation_id) | self._shared_values

    @cached_property
    def _shared_values(self) -> dict[str, Any]:
        event, others = self._event, json.loads(_object(self._but_data))
        data = {name: value for name, value in (event.data or {}).items() if name != "issue" or not event.issue}
        if event.issue:
            data["issue"] = event.issue | _id_as_text(event.issue, event.texts["issue"])
        return {"data": data, **others}

    @cached_property
    def shared(self) -> SharedTail:
        """What every body ends with: all that does not depend on the installation."""
        fields = {"data": self._data} | self._but_data
        return SharedTail(("," + _object(fields)[1:]).encode())

    @property
    def _but_data(self) -> dict[str, str]:
        event = self._event
        return {
            "actor": self._actor,
            "event_id": json.dumps(event.event_id),
            "resource": json.dumps(event.resource),
            "occurred_at": self._occurred_at,
            "organization_id": json.dumps(event.organization_id),
            "project_id": event.texts["project_id"] if event.project_id else "null",
        }

    @property
    def _occurred_at(self) -> str:
        """The publisher's time as it was written; where there is none, the time of the publishing."""
        if self._event.occurred_at:
            return self._event.texts["occurred_at"]
        return json.dumps(rfc3339(datetime.fromtimestamp(self._published_at, UTC)))

    @property
    def _data(self) -> str:
        event = self._event
        written = members(event.texts["data"]) if event.data else ()
        parts = [str(m) for m in written if m.name != "issue" or not event.issue]
        if event.issue:
            parts.append(f'"issue":{_with_id_as_text(event.texts["issue"])}')
        return "{" + ",".join(parts) + "}"

    @property
    def _actor(self) -> str:
        if self._event.user is None:
            return json.dumps(SYSTEM, separators=(",", ":"))
        written = {m.name: m.value_text for m in members(self._event.texts["user"])}
        return _object({"type": written.get("type", '"user"'), "id": written["id"], "name": written["name"]})


def _own(action: str, installation_id: str) -> dict[str, Any]:
    return {"action": action, "installation": {"uuid": installation_id}}


def _id_as_text(issue: Mapping[str, Any], text: str) -> dict[str, str]:
    """What `_with_id_as_text` changes in an issue."""
    if isinstance(issue.get("id", ""), str):
        return {}
    return {"id": next(m.value_text for m in members(text) if m.name == "id")}


def _with_id_as_text(issue: str) -> str:
    """The issue with its id as a string, which is what receivers expect."""
    parts = [f"{m.name_text}:{_quoted(m.value_text)}" if m.name == "id" else str(m) for m in members(issue)]
    return "{" + ",".join(parts) + "}"


def _quoted(value: str) -> str:
    return value if value.startswith('"') else f'"{value}"'


def _object(fields: dict[str, str]) -> str:
    return "{" + ",".join(f'"{name}":{value}' for name, value in fields.items()) + "}"
