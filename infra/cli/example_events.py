"""Examples of events: for each name that the schema knows an event that can be published. Pure."""

import json
from functools import cache
from pathlib import Path
from typing import Any

_FILE = Path(__file__).with_name("example_events.json")


def example(name: str, event_id: str, organization_id: str, project_id: str | None) -> dict[str, Any]:
    """An event of that name, such as `issue.resolved`.

    What is about no project, such as an installation, gets none.

    Raises:
        KeyError: no resource is called so.
    """
    resource, _, kind = name.partition(".")
    names = {"event_id": event_id, "resource": resource, "type": kind, "organization_id": organization_id}
    content = _contents()[resource]
    if "project_id" in content:
        content = content | {"project_id": project_id}
    return names | content


@cache
def _contents() -> dict[str, dict[str, Any]]:
    """What the events of each resource have, beside their names."""
    loaded: dict[str, dict[str, Any]] = json.loads(_FILE.read_text(encoding="utf-8"))
    return loaded
