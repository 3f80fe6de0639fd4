"""bellhop export: the registry as a file that `bellhop apply` takes."""

import typer

from bellhop.text import printable
from infra.cli import stack, terminal
from infra.cli.registry import exporting
from infra.cli.registry.registered import RegisteredTables


def run(stack_name: str, *, as_json: bool) -> None:
    """Write everything that is registered; what cannot be in a file is named on the error stream."""
    stack.bind(stack.find(stack_name))
    tables = RegisteredTables()
    specs = tables.everything()
    exported = exporting.export(specs, tables.signatures)
    for problem in exported.problems:
        typer.echo(f"note: {printable(problem)}", err=True)
    if as_json:
        terminal.print_json(exported.document)
    else:
        typer.echo(exporting.text(exported.document), nl=False)
