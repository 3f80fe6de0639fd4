"""The arguments and options that several commands take."""

import os
import re
import shlex
from typing import Annotated

import typer

DEFAULT_STACK = "bellhop"


def stack_option(name: str) -> str:
    """What commands need to find that stack, typed in the same shell: empty where they do by themselves."""
    unnamed = os.environ.get("BELLHOP_STACK") or DEFAULT_STACK
    return "" if name == unnamed else f" --stack {shlex.quote(name)}"


def naming_stack(text: str, option: str) -> str:
    """The same text, in which the commands in backquotes that need a stack have the option."""
    return re.sub(r"`(bellhop (?!example)[^`]+)`", lambda found: f"`{found[1]}{option}`", text)


def _remember(context: typer.Context, name: str) -> str:
    context.find_root().obj = stack_option(name)  # for the errors, which do not know the stack
    return name


StackName = Annotated[
    str,
    typer.Option(
        "--stack",
        envvar="BELLHOP_STACK",
        help="The CloudFormation stack; local is that of `make run`.",
        metavar="NAME",
        callback=_remember,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
AppId = Annotated[str, typer.Argument(metavar="APP", help="The app's slug.")]
EntryKey = Annotated[
    str | None,
    typer.Argument(
        metavar="TRANSITION", help="Its id, as `bellhop app APP` shows it. By default the newest with mails."
    ),
]
Rate = Annotated[
    float | None,
    typer.Option(min=0.01, max=1000, metavar="NUMBER", help="Deliveries a second. By default ReplayPerSecond."),
]
Recipient = Annotated[str | None, typer.Option("--to", metavar="ADDRESS", help="Only the mail to this owner.")]
