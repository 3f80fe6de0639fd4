"""What every command prints with, and how it asks."""

import json
import sys
from typing import Any

import typer
from rich.console import Console

from infra.console.errors import ConsoleError

_PIPED_WIDTH = 240  # a pipe has no width: rows stay on their line


def console() -> Console:
    """Where lines and tables go."""
    return Console(width=None if sys.stdout.isatty() else _PIPED_WIDTH, highlight=False)


def print_json(document: Any) -> None:
    """A document for a program."""
    typer.echo(json.dumps(document, indent=2, default=_as_json))


def confirm(question: str, refusal: str, *, as_json: bool) -> None:
    """Ask; where nobody can respond, refuse.

    Raises:
        ConsoleError: with `refusal`.
        Abort: the answer is no.
    """
    if as_json or not sys.stdin.isatty():
        raise ConsoleError(refusal)
    typer.confirm(question, abort=True, err=True)


def _as_json(value: Any) -> Any:
    return value.as_dict() if hasattr(value, "as_dict") else str(value)
