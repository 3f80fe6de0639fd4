"""What was true of each app and its installation, and when: what a webhook may be sent for is judged by it."""

from bisect import bisect_right
from dataclasses import dataclass, field

from bellhop.registry import ENABLED, INSTALLED
from tests.support.memory_dynamodb import Table

WANTED = "issue.created"  # what every event of a story is


@dataclass(frozen=True, slots=True)
class Facts:
    """Whether an app was on, and its hook wanted what is published; its `url`, None where it is not registered."""

    on: bool
    wanted: bool
    url: str | None


@dataclass
class History:
    """For each app the moments (Unix seconds) at which something changed, in order."""

    apps: Table
    installations: Table
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
        found, hook = self.apps.items.get((app_id, None)), self.installations.items.get(("acme", f"in-{app_id}"))
        if found is None or hook is None:
            return Facts(on=False, wanted=False, url=None)
        listed = {"S": WANTED} in hook.get("events", {}).get("L", [])
        wanted = hook.get("status", {}).get("S") == INSTALLED and listed
        return Facts(found.get("state", {}).get("S") == ENABLED, wanted, found.get("url", {}).get("S"))
