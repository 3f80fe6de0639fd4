"""The commands about an app's health: why it is off, and the way back. Imports are light, as in main."""

from typing import Annotated

import typer

from infra.console.options import AppId, EntryKey, Json, StackName, Yes, running

app = typer.Typer()
mail = typer.Typer(help="The mails that owners get about an app: show one, send one again.", no_args_is_help=True)
app.add_typer(mail, name="mail")

Rate = Annotated[
    float | None, typer.Option(min=0.01, max=1000, help="Replay so many a second; without it, ReplayPerSecond.")
]
Recipient = Annotated[str | None, typer.Option("--to", metavar="ADDRESS", help="The mail to that owner.")]


@app.command()
def explain(
    app_id: AppId,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what thresholds would have done on the recorded days.")
    ] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=NUMBER",
            help="With --dry-run: timeouts, error_days or pause_hours.",
        ),
    ] = None,
    as_json: Json = False,
    stack: StackName = "bellhop",
) -> None:
    """Show why an app is off, or how near it is to that.

    With --dry-run: what the stack's thresholds, and others beside them, would have done on every day that is
    recorded, up to forty. Changes nothing.
    """
    with running("health_commands") as commands:
        if dry_run:
            commands.dry_run(stack, app_id, settings or [], as_json=as_json)
        else:
            commands.refuse_settings(settings or [])
            commands.explain_app(stack, app_id, as_json=as_json)


@app.command()
def ping(
    app_id: AppId,
    *,
    wait: Annotated[
        str | None, typer.Option(help="How long to wait: 90s, 5m; without it, the deadline and 30 s.")
    ] = None,
    as_json: Json = False,
    stack: StackName = "bellhop",
) -> None:
    """Have an app's endpoint sent a ping, and show its whole response.

    A signed webhook, the event ping.test, made by deliver like every other, also while the app is switched off. It
    counts for nothing. Ends with 0 when the endpoint answers 2xx, otherwise with 1.
    """
    with running("health_commands") as commands:
        commands.ping_app(stack, app_id, wait, as_json=as_json)


@app.command()
def enable(
    app_id: AppId,
    *,
    force: Annotated[bool, typer.Option("--force", help="Without a ping first.")] = False,
    replay: Annotated[bool, typer.Option("--replay/--no-replay", help="Send what was parked meanwhile.")] = True,
    rate: Rate = None,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Why; kept in the audit.")] = None,
    as_json: Json = False,
    stack: StackName = "bellhop",
) -> None:
    """Switch an app on again, if its endpoint answers a ping well.

    What was parked is sent, oldest first. Where the app is on already, what an earlier run left undone is done.
    """
    with running("health_commands") as commands:
        commands.enable(stack, app_id, rate, reason, force=force, replayed=replay, as_json=as_json)


@app.command()
def disable(
    app_id: AppId,
    *,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; kept in the audit, and told to the owners.")],
    yes: Yes = False,
    as_json: Json = False,
    stack: StackName = "bellhop",
) -> None:
    """Switch an app off: its deliveries are parked, its owners get mail.

    Any kind of app, also one that health never switches off.
    """
    with running("health_commands") as commands:
        commands.disable(stack, app_id, reason, yes=yes, as_json=as_json)


@app.command()
def replay(
    app_id: AppId,
    *,
    exhausted: Annotated[bool, typer.Option("--exhausted", help="Also what all retries failed for.")] = False,
    rate: Rate = None,
    as_json: Json = False,
    stack: StackName = "bellhop",
) -> None:
    """Send what is kept of an app that is on: parked deliveries, oldest first.

    `bellhop enable` does this by itself. One delivery: `bellhop retry`.
    """
    with running("health_commands") as commands:
        commands.start_replay(stack, app_id, rate, exhausted=exhausted, as_json=as_json)


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
    """Show a mail, and what became of each owner's.

    It is composed as health composes it, from the audit entry and from what is registered now. Without --to it is
    that of the first owner.
    """
    with running("mail_commands") as commands:
        commands.show_mail(stack, app_id, entry, to, html=html, as_json=as_json)


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

    Without --to those that may not have arrived: pending, unknown, skipped, bounced, complained, rejected.
    """
    with running("mail_commands") as commands:
        commands.resend_mail(stack, app_id, entry, to, yes=yes, as_json=as_json)
