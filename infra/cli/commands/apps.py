"""bellhop apps: every app and how it stands."""

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.text import Text

from health.mail.wording import counted
from infra.cli import stack, terminal
from infra.cli.condition import FAILING, OFF, ON, PAUSED
from infra.cli.stack import Stack
from infra.cli.status import fleet
from infra.cli.status.fleet import AppStatus, Fleet
from infra.cli.terminal import line, state, table


def run(stack_name: str, *, failing: bool, paused: bool, off: bool, as_json: bool) -> None:
    """Read the apps, and print those that are asked for."""
    found_stack = stack.find(stack_name)
    stack.bind(found_stack)
    asked = [name for name, wanted in ((FAILING, failing), (PAUSED, paused), (OFF, off)) if wanted]
    found = fleet.read(datetime.now(UTC))
    shown = found.in_condition(*asked) if asked else found.apps
    if as_json:
        terminal.print_json([each.document() for each in shown])
    else:
        _print(shown, found, asked, found_stack, terminal.console())


def _print(shown: Sequence[AppStatus], found: Fleet, asked: Sequence[str], of: Stack, console: Console) -> None:
    named = any(each.app.name != each.app.app_id for each in shown)
    columns = ("app", "stands", "kind", "organisation", *(["name"] if named else []), "")
    table(console, columns, [_row(each, named=named) for each in shown])
    if not found.apps:
        line(console, f"No apps. {of.next('apply FILE')}")
        return
    everything = counted(len(found.apps), "app")
    number = f"{len(shown)} of {everything} {' or '.join(asked)}" if asked else everything
    line(console, f"{number}. {of.next('app APP')}", "bold")


def _row(each: AppStatus, *, named: bool) -> tuple[str | Text, ...]:
    app = each.app
    name = [app.name if app.name != app.app_id else ""] if named else []
    because = "" if each.name == ON else each.text()
    return app.app_id, state(each.name), app.kind, app.organization_id or "", *name, because
