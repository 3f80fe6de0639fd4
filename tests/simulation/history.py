"""What was true of each app and its installation, and when: what was done to it is judged by that."""

import math
from bisect import bisect_right
from dataclasses import dataclass, field

from bellhop.registry import ENABLED, INSTALLED, INTERNAL
from tests.simulation import expressions
from tests.support.expressions import Item
from tests.support.memory_dynamodb import Table

WANTED = ("issue.created", "event_alert.triggered")  # what every event of a story is one of
NOTED = {"apps", "installations", "secrets", "circuits", "several"}  # tables: a change of one may change the facts


@dataclass(frozen=True, slots=True)
class Facts:
    """Whether an app was on, its hook wanted what is published, and it was `internal`.

    `filter` and `transform` decide beside that which events it gets, and as what.

    Its `url` and `owner`, an organisation, are None where it is not registered. `secrets`: each that counts, with
    when that ends. `paused_since`, and the time of its last replay, None where there was none so far. Times are
    Unix seconds.
    """

    on: bool
    wanted: bool
    filter: str | None
    transform: str | None
    internal: bool
    url: str | None
    owner: str | None
    secrets: tuple[tuple[str, float], ...]
    paused_since: float | None
    replayed: float | None

    def makes(self, event_id: str) -> bool:
        """Whether an event leads to a webhook, as far as the filter and the transform say."""
        return expressions.chooses(self.filter, event_id) and expressions.makes(self.transform, event_id)


@dataclass
class History:
    """For each app the moments (Unix seconds) at which something changed, in order."""

    tables: dict[str, Table]
    _moments: dict[str, list[tuple[float, Facts]]] = field(default_factory=dict)

    def note(self, at: float, app_id: str) -> None:
        """Note how an app is now, as the tables have it."""
        moments, now = self._moments.setdefault(app_id, []), self._now(app_id)
        if not moments or moments[-1][1] != now:
            moments.append((at, now))

    def between(self, app_id: str, since: float, until: float) -> list[Facts]:
        """What was true at some time of that span."""
        moments = self._moments[app_id]
        first = max(0, bisect_right(moments, since, key=lambda each: each[0]) - 1)
        return [facts for at, facts in moments[first:] if at <= until]

    def _now(self, app_id: str) -> Facts:
        found, hook = self._item("apps", app_id), self._item("installations", "acme", f"in-{app_id}")
        circuit = self._item("circuits", app_id)
        listed = {each["S"] for each in hook.get("events", {}).get("L", [])}
        wanted = hook.get("status", {}).get("S") == INSTALLED and listed.issuperset(WANTED)
        return Facts(
            on=found.get("state", {}).get("S") == ENABLED,
            wanted=bool(found) and wanted and "L" not in hook.get("projects", {}),
            filter=hook.get("filter", {}).get("S"),
            transform=found.get("transform", {}).get("S"),
            internal=found.get("kind", {}).get("S") == INTERNAL,
            url=found.get("url", {}).get("S"),
            owner=found.get("organization_id", {}).get("S"),
            secrets=_secrets(self._item("secrets", app_id)),
            paused_since=_number(circuit, "paused_since") if _same(circuit, found, "generation") else None,
            replayed=_number(circuit, "replay_began"),
        )

    def _item(self, table: str, key: str, range_key: str | None = None) -> Item:
        return self.tables[table].items.get((key, range_key), {})


def _same(one: Item, other: Item, name: str) -> bool:
    return one.get(name) == other.get(name)


def _number(item: Item, name: str) -> float | None:
    return float(item[name]["N"]) if "N" in item.get(name, {}) else None


def _secrets(row: Item) -> tuple[tuple[str, float], ...]:
    current = [(row["secret"]["S"], math.inf)] if row else []
    until = _number(row, "previous_until")
    return (*current, (row["previous"]["S"], until)) if until is not None else (*current,)
