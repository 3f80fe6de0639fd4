"""Commands whose help writes an argument as the documents do: APP, where typer has {APP} and APP <str>."""

from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand


class _Command(TyperCommand):
    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [piece.strip("{}") for piece in super().collect_usage_pieces(ctx)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        rows: dict[str, list[tuple[str, str]]] = {"argument": [], "option": []}
        for parameter in self.get_params(ctx):
            if record := parameter.get_help_record(ctx):
                name, text = record
                rows[parameter.param_type_name].append((name.partition(" <")[0], text))
        for title, kind in (("Arguments", "argument"), ("Options", "option")):
            if rows[kind]:
                with formatter.section(title):
                    formatter.write_dl(rows[kind])


class Menu(typer.Typer):
    """What can be typed of one subject."""

    def command(self, name: str | None = None, **options: Any) -> Callable[..., Any]:
        """See typer.Typer."""
        return super().command(name, cls=_Command, **options)
