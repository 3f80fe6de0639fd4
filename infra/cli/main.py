"""The command line of `bellhop`: what can be typed, and its help.

Only what `--help` needs is imported at the top. Each command imports its own module when it is called, because the
AWS libraries take most of a second. These are plain imports, so that the type checker sees every call.
"""
# ruff: noqa: PLC0415 - see above

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Annotated, Any, Protocol, runtime_checkable

import typer
from typer.exceptions import TyperException

from infra.cli.menu import dead_letters, registry, see, send, switch
from infra.cli.menu.menu import Group
from infra.cli.text import fitted

_NEAR = 0.75  # how alike a misspelt option and the right one are at least; 1 is the same


@runtime_checkable
class _NoSuchOption(Protocol):
    """Typer's error of that name, known by what it holds: typer exports no class of it."""

    option_name: str
    possibilities: Sequence[str] | None


class _Commands(Group):
    """Turns the errors of every command into messages for the operator."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (TyperException, typer.Exit, typer.Abort) as error:
            _clarify(error)
            raise
        except Exception as error:  # noqa: BLE001 - fail() raises again what the operator cannot mend
            from infra.cli.errors import fail

            fail(error, ctx.obj or "")


def _clarify(error: Exception) -> None:
    """Take out of typer's message what is about its insides, or leads astray."""
    if isinstance(error, typer.BadParameter):
        error.message = error.message.removeprefix("Value error, ")
    if isinstance(error, _NoSuchOption):
        near = get_close_matches(error.option_name, error.possibilities or (), cutoff=_NEAR)
        error.possibilities = near  # for --yes it would be --reason
    if isinstance(error, TyperException) and error.message and "\n" not in error.message:
        before, _, after = f"Error: {error.format_message()}".rpartition(error.message)
        whole = fitted(f"{before}{error.message}{after}")
        error.message = whole[len(before) : len(whole) - len(after)]


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    if wanted:
        from importlib.metadata import version

        typer.echo(f"bellhop {version('bellhop')}")
        raise typer.Exit


app = typer.Typer(
    cls=_Commands,
    epilog="The stack is found by its CloudFormation outputs, with the AWS credentials and region of the "
    "environment, or at AWS_ENDPOINT_URL; --stack local is that of `make run`. Exit status: 0 done, 1 not done or "
    "not well, 2 not understood.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,  # its tracebacks would show local variables, which may be secrets
)
for group in (see, send, dead_letters, switch, registry):
    app.add_typer(group.app)


@app.callback()
def bellhop(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Operate a Bellhop stack: its registry, its deliveries, and which apps are switched off."""


if __name__ == "__main__":
    app()
