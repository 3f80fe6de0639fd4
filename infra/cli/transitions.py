"""What `enable` and `disable` share: how an app came to its state, and what they say when nothing is to do."""

from typing import Any, NoReturn

from rich.console import Console

from bellhop.registry import DISABLED, App, AuditEntry, find
from health import transitions
from health.transitions import TransitionDependencies
from infra.cli import terminal
from infra.cli.errors import CommandError
from infra.cli.stack import Stack
from infra.cli.terminal import line
from infra.cli.text import stored_time
from infra.cli.views import Replayable, mail_states


def leave_as_it_is(app: App, found: Stack, deps: TransitionDependencies, *, as_json: bool) -> None:
    """Say that an app is in the wanted state already.

    Where the worker or operator who made the transition died before announcing it, it is announced now.
    """
    last = transitions.last_transition(app)
    resumed = last is not None and last.announced_at is None
    transitions.resume(last, deps)
    if as_json:
        terminal.print_json({"app_id": app.app_id, "changed": False, "state": app.state, "resumed": resumed})
        return
    console = terminal.console()
    since = f", since {stored_time(last.at)}, by {last.actor}" if last else ""
    line(console, f"{app.app_id} is {'off' if app.state == DISABLED else 'on'} already{since}.", "bold")
    if resumed:
        line(console, "What follows that had never been begun; health does it now.")
    line(console, found.next(f"explain {app.app_id}"))


def refuse_late(app: App, key: str) -> NoReturn:
    """Say who made the transition of that audit key first.

    Raises:
        CommandError: always.
    """
    winner = find(AuditEntry, app.app_id, key, consistent=True)
    who = f"{winner.actor} was quicker, at {winner.at}" if winner else "it was changed meanwhile by somebody else"
    raise CommandError(f"{app.app_id}: {who}; nothing was done: `bellhop explain {app.app_id}`")


def document(entry: AuditEntry, replayable: Replayable) -> dict[str, Any]:
    """That an app was switched, as JSON."""
    return {
        "app_id": entry.app_id,
        "changed": True,
        "transition_id": entry.transition_id,
        "action": entry.action,
        "actor": entry.actor,
        "at": entry.at,
        "mails": mail_states(entry),
        "replayable": replayable.document(),
    }


def print_switched(to: str, entry: AuditEntry, cache_seconds: int, console: Console) -> None:
    """Print that an app was switched "on" or "off"."""
    line(console, f"Switched {entry.app_id} {to}, as {entry.actor}.", "bold")
    line(console, f"Functions see it within {cache_seconds} s (CacheSeconds).")
