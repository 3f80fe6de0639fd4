"""Whether an installation's hook wants an event: asked when an event is fanned out, and again before a retry."""

from bellhop.registry import INSTALLED, App, Installation

# `archived` is the old name of `ignored`: an app that lists only one of them gets the event under that name.
_ALIASES = {"issue.ignored": "issue.archived", "issue.archived": "issue.ignored"}
ABOUT_INSTALLATIONS = "installation"  # the resource of events that reach an installation whatever its status


def refusal(event: str, project_id: str | None, installation: Installation | None, app: App | None) -> str | None:
    """Why the hook does not want the event `event`, such as "issue.created"; None when it does."""
    if installation is None:
        return "missing_installation"
    if app is None:
        return "missing_app"
    if installation.status != INSTALLED and event.partition(".")[0] != ABOUT_INSTALLATIONS:
        return f"installation_{installation.status}"
    return _not_listed(event, installation, app) or _foreign_project(project_id, installation)


def subscribed_name(event: str, listened: list[str]) -> str | None:
    """The name under which a hook that lists `listened` gets `event`, or None if it does not want it."""
    if event in listened:
        return event
    alias = _ALIASES.get(event)
    return alias if alias in listened else None


def _not_listed(event: str, installation: Installation, app: App) -> str | None:
    if subscribed_name(event, app.events) is None:
        return "event_not_in_app"
    if subscribed_name(event, installation.events) is None:
        return "event_not_in_hook"
    return None


def _foreign_project(project_id: str | None, installation: Installation) -> str | None:
    if installation.projects is not None and project_id not in installation.projects:
        return "project_not_allowed"
    return None
