"""Commands whose help shows an argument as typed, APP for typer's {APP} and APP <str>, and breaks no word."""

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

_HYPHEN = "\N{NON-BREAKING HYPHEN}"  # at which no line is broken: --token-endpoint could not be copied
_HelpFormatter: Any = typer.Context.formatter_class  # typer exports no class of it
_TYPE = re.compile(r"^(  [A-Z]+)( <[\w\[\]]+>)", re.MULTILINE)

Function = TypeVar("Function", bound=Callable[..., Any])


class _Formatter(_HelpFormatter):  # type: ignore[misc]
    def write_text(self, text: str) -> None:
        super().write_text(text.replace("-", _HYPHEN))

    def write_dl(self, rows: Sequence[tuple[str, str]], **options: Any) -> None:
        super().write_dl([(name, text.replace("-", _HYPHEN)) for name, text in rows], **options)

    def getvalue(self) -> str:
        return str(super().getvalue()).replace(_HYPHEN, "-")


class _Context(typer.Context):
    formatter_class = _Formatter


class Group(TyperGroup):
    """Commands below a name."""

    context_class = _Context


class _Command(TyperCommand):
    context_class = _Context

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [piece.strip("{}") for piece in super().collect_usage_pieces(ctx)]

    def get_help(self, ctx: Any) -> str:
        return _TYPE.sub(lambda found: found[1] + " " * len(found[2]), super().get_help(ctx))


class Menu(typer.Typer):
    """Commands of one subject."""

    def __init__(self, **options: Any) -> None:
        super().__init__(cls=Group, **options)

    def command(self, name: str | None = None, **options: Any) -> Callable[[Function], Function]:
        """See typer.Typer."""
        return super().command(name, cls=_Command, **options)
