"""The directory of apps, and one app with its hooks, its seven days and its audit entries."""

from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches

from bellhop import outcomes
from bellhop.outcomes import OutcomeDay
from bellhop.registry import App, AuditEntry, Installation, find
from infra.console.errors import ConsoleError
from infra.console.registry_file import KINDS
from infra.console.text import printable

DAYS = 7
ENTRIES = 20  # of the audit, the newest


@dataclass(frozen=True, slots=True)
class AppView:
    """An app as an operator looks at it; `days` are by organisation, those with counts, oldest first."""

    app: App
    hooks: tuple[Installation, ...]
    days: dict[str, list[OutcomeDay]]
    audit: tuple[AuditEntry, ...]


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


def view(app_id: str, today: date) -> AppView:
    """All there is to see of an app. Raises like `app`."""
    found = app(app_id)
    hooks = tuple(Installation.by_app.query(app_id))
    organizations = dict.fromkeys(hook.organization_id for hook in hooks)
    if found.organization_id:
        organizations[found.organization_id] = None
    epoch = int(found.epoch)
    days = {name: outcomes.days(app_id, name, epoch, today, DAYS) for name in organizations}
    audit = AuditEntry.query(app_id, scan_index_forward=False, limit=ENTRIES)
    return AppView(found, hooks, days, tuple(audit))
