"""bellhop apps: every app and how it stands."""

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console

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
    rows = [
        (
            each.app.app_id,
            state(each.name),
            each.app.kind,
            each.app.organization_id or "",
            each.app.name,
            "" if each.name == ON else each.text(),
        )
        for each in shown
    ]
    table(console, ("app", "stands", "kind", "organisation", "name", ""), rows)
    if not found.apps:
        line(console, f"No apps. {of.next('apply FILE')}")
        return
    number = f"{len(shown)} of {len(found.apps)} apps {' or '.join(asked)}" if asked else f"{len(shown)} apps"
    line(console, f"{number}. {of.next('app APP')}", "bold")
