"""The webhook's body, frozen as bytes once, so that every attempt sends the same."""

import json
from typing import Any

from bellhop.events import IssueEvent

SYSTEM = {"type": "application", "id": "sentry", "name": "Sentry"}


def freeze(event: IssueEvent, action: str, installation_id: str) -> bytes:
    """The body as UTF-8 JSON: `action`, `installation`, `data` with the issue in it, `actor`, `occurred_at`.

    `occurred_at` is there only if the event has one.
    """
    body: dict[str, Any] = {
        "action": action,
        "installation": {"uuid": installation_id},
        "data": _data(event),
        "actor": _actor(event),
    }
    if event.occurred_at:
        body["occurred_at"] = event.occurred_at
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _data(event: IssueEvent) -> dict[str, Any]:
    data = dict(event.data or {})
    if event.issue:
        data["issue"] = event.issue | {"id": str(event.issue["id"])}  # receivers expect issue ids as strings
    return data


def _actor(event: IssueEvent) -> dict[str, Any]:
    if event.user is None:
        return SYSTEM
    return {"type": event.user.get("type", "user"), "id": event.user["id"], "name": event.user["name"]}
