"""The directory of apps, and one app with its hooks, its seven days and its audit entries."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches

from bellhop import circuits, outcomes
from bellhop.circuits import Circuit
from bellhop.outcomes import OutcomeDay
from bellhop.registry import App, AuditEntry, Installation, find
from bellhop.secrets import SigningSecret
from deliver.circuit.rate import start_rate
from infra.console import held
from infra.console.errors import ConsoleError
from infra.console.held import Held
from infra.console.registry_file import KINDS
from infra.console.text import printable

DAYS = 7
ENTRIES = 20  # of the audit, the newest


@dataclass(frozen=True, slots=True)
class AppView:
    """An app as an operator looks at it at a moment, `now`.

    `days` are by organisation, those with counts, oldest first. `rotating_until` (Unix seconds) is the end of
    the overlap of two signing secrets, None when there is one.
    """

    app: App
    hooks: tuple[Installation, ...]
    days: dict[str, list[OutcomeDay]]
    audit: tuple[AuditEntry, ...]
    gate: Circuit
    held: Held
    rotating_until: float | None
    now: float

    @property
    def paused_since(self) -> float | None:
        """Since when deliveries wait, in Unix seconds; None when they do not."""
        return circuits.paused_since(self.gate, int(self.app.generation))

    @property
    def start_rate(self) -> float | None:
        """Deliveries a second that the slow start after a pause allows; None when there is none."""
        recovered = self.gate.closed_at
        rate = start_rate(None if recovered is None else float(recovered), self.now)
        return None if rate == math.inf else rate


def directory() -> list[App]:
    """Every app by kind and name, with what the index holds of it."""
    return [app for kind in KINDS for app in App.directory.query(kind)]


def app(app_id: str) -> App:
    """The app of that name.

    Raises:
        ConsoleError: there is none.
    """
    found = find(App, app_id, consistent=True)
    if found is None:
        close = get_close_matches(app_id, [known.app_id for known in directory()], n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise ConsoleError(f"no app {printable(app_id)!r}: {hint}`bellhop app` lists them")
    return found


def view(app_id: str, now: datetime) -> AppView:
    """All there is to see of an app. Raises like `app`."""
    found = app(app_id)
    hooks = tuple(Installation.by_app.query(app_id))
    generation = int(found.generation)
    days = {
        name: outcomes.days(app_id, name, generation, now.date(), DAYS) for name in _organizations(found, hooks)
    }
    audit = AuditEntry.query(app_id, scan_index_forward=False, limit=ENTRIES)
    time = now.timestamp()
    gate, kept = circuits.load(app_id), held.count(app_id)
    return AppView(found, hooks, days, tuple(audit), gate, kept, _rotating_until(app_id, time), time)


def organizations(app: App) -> list[str]:
    """Those in which an app's outcomes are counted."""
    return _organizations(app, Installation.by_app.query(app.app_id))


def _organizations(app: App, hooks: Iterable[Installation]) -> list[str]:
    found = dict.fromkeys(hook.organization_id for hook in hooks)
    return list(found | {app.organization_id: None} if app.organization_id else found)


def _rotating_until(app_id: str, now: float) -> float | None:
    try:  # the secrets themselves are not asked for
        row = SigningSecret.get(app_id, consistent_read=True, attributes_to_get=["app_id", "previous_until"])
    except SigningSecret.DoesNotExist:
        return None
    until = float(row.previous_until or 0)
    return until if until > now else None
