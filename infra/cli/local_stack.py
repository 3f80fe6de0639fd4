"""The stack of `make run`, which commands use only when they are told so by its name."""

from collections.abc import MutableMapping

import typer

from infra.cli.errors import CommandError
from infra.local import running
from infra.local.clean_env import clean_environment

NAME = "local"  # no stack on AWS is found under it


def enter(environ: MutableMapping[str, str]) -> str:
    """Make this process use the local stack, whatever its environment says of AWS; the stack's own name.

    Raises:
        CommandError: none is up.
    """
    env = running.find()
    if env is None:
        raise CommandError("no local stack is up: type `make run` in another terminal and leave it running")
    clean_environment(environ)
    running.use(environ, env)
    typer.echo(f"local stack, at {env['AWS_ENDPOINT_URL']}", err=True)
    return environ["BELLHOP_STACK"]
