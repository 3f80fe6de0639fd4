"""Switching apps off and on, and the mails about it."""
# ruff: noqa: PLC0415 - each command imports its own module when it is called, see main.py

from typing import Annotated

import typer

from infra.cli.menu import Menu
from infra.cli.options import AppId, EntryKey, Json, Rate, Recipient, StackName, Yes

app = Menu()
mail = Menu(help="Show or resend the mails about an app.", no_args_is_help=True)
app.add_typer(mail, name="mail")


@app.command()
def enable(
    app_id: AppId,
    *,
    force: Annotated[bool, typer.Option("--force", help="Do not ping first.")] = False,
    replay: Annotated[
        bool, typer.Option("--replay/--no-replay", help="Whether to send what was parked meanwhile.")
    ] = True,
    rate: Rate = None,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Why; stored in the audit entry.")] = None,
    as_json: Json = False,
    stack: StackName = "bellhop",
) -> None:
    """Switch an app on again.

    Its endpoint is pinged first, and must respond with 2xx. What was parked is sent, the oldest first. If the app
    is on already, the command finishes what an earlier run left undone.
    """
    from infra.cli.commands import enable as command

    command.run(stack, app_id, force=force, replay=replay, rate=rate, reason=reason, as_json=as_json)


@app.command()
def disable(
    app_id: AppId,
    *,
    reason: Annotated[
        str, typer.Option(metavar="TEXT", help="Why; stored in the audit entry, and told to the owners.")
    ],
    yes: Yes = False,
    as_json: Json = False,
    stack: StackName = "bellhop",
) -> None:
    """Switch an app off.

    Its deliveries are parked, and its owners get mail. This works for every kind of app, also for those that
    health never switches off.
    """
    from infra.cli.commands import disable as command

    command.run(stack, app_id, reason=reason, yes=yes, as_json=as_json)


@mail.command()
def show(
    app_id: AppId,
    entry: EntryKey = None,
    *,
    to: Recipient = None,
    html: Annotated[bool, typer.Option("--html", help="Write the HTML, and nothing else.")] = False,
    as_json: Json = False,
    stack: StackName = "bellhop",
) -> None:
    """Show a mail, and what became of it for each owner.

    It is composed as health composes it, from the audit entry and from what is registered now. Without --to it is
    the mail to the first owner.
    """
    from infra.cli.commands import mail as command

    command.show(stack, app_id, entry, to=to, html=html, as_json=as_json)


@mail.command()
def resend(
    app_id: AppId,
    entry: EntryKey = None,
    *,
    to: Recipient = None,
    yes: Yes = False,
    as_json: Json = False,
    stack: StackName = "bellhop",
) -> None:
    """Send mails again.

    Without --to these are the mails that may not have arrived: pending, unknown, skipped, bounced, complained,
    rejected.
    """
    from infra.cli.commands import mail as command

    command.resend(stack, app_id, entry, to=to, yes=yes, as_json=as_json)
