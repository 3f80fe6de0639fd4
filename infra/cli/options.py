"""The arguments and options that several commands take."""

from typing import Annotated

import typer

StackName = Annotated[
    str,
    typer.Option(
        "--stack",
        envvar="BELLHOP_STACK",
        help="The CloudFormation stack; local is that of `make run`.",
        metavar="NAME",
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
