"""What the commands have in common: their options, and how they end when something cannot be done."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Annotated

import typer

StackName = Annotated[
    str, typer.Option("--stack", envvar="BELLHOP_STACK", help="The CloudFormation stack.", metavar="NAME")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do it without asking.")]
AppId = Annotated[str, typer.Argument(metavar="APP", help="The app's slug.")]
EntryKey = Annotated[
    str | None,
    typer.Argument(metavar="[ENTRY]", help="From `bellhop app APP`; without it, the newest with mails."),
]


@contextmanager
def running(name: str) -> Iterator[ModuleType]:
    """The module of that name, imported only now; what it raises becomes a message to the operator."""
    try:
        yield import_module(f"infra.console.{name}")
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:  # noqa: BLE001 - fail() raises again what the operator cannot mend
        import_module("infra.console.commands").fail(error)
