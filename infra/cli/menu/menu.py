"""Commands whose help shows an argument as it is typed: APP, where typer has {APP} and APP <str>."""

import re
from collections.abc import Callable
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand

_TYPE = re.compile(r"^(  [A-Z]+)( <[\w\[\]]+>)", re.MULTILINE)

Function = TypeVar("Function", bound=Callable[..., Any])


class _Command(TyperCommand):
    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [piece.strip("{}") for piece in super().collect_usage_pieces(ctx)]

    def get_help(self, ctx: Any) -> str:
        return _TYPE.sub(lambda found: found[1] + " " * len(found[2]), super().get_help(ctx))


class Menu(typer.Typer):
    """Commands of one subject."""

    def command(self, name: str | None = None, **options: Any) -> Callable[[Function], Function]:
        """See typer.Typer."""
        return super().command(name, cls=_Command, **options)
