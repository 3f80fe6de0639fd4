"""The command line of `bellhop`: what can be typed, and its help.

Only what `--help` needs is imported at the top. Each command imports its own module when it is called, because the
AWS libraries take most of a second. These are plain imports, so that the type checker sees every call.
"""
# ruff: noqa: PLC0415 - see above

from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from infra.cli.options import AppId, EntryKey, Json, Rate, Recipient, StackName, Yes


class _Commands(TyperGroup):
    """Turns the errors of every command into messages for the operator."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (TyperException, typer.Exit, typer.Abort):
            raise
        except Exception as error:  # noqa: BLE001 - fail() raises again what the operator cannot mend
            from infra.cli.errors import fail

            fail(error)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    if wanted:
        from importlib.metadata import version

        typer.echo(f"bellhop {version('bellhop')}")
        raise typer.Exit


app = typer.Typer(
    cls=_Commands,
    epilog="The stack is found by its CloudFormation outputs, with the AWS credentials and region of the "
    "environment, or at AWS_ENDPOINT_URL.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,  # its tracebacks would show local variables, which may be secrets
)
mail = typer.Typer(help="Show or resend the mails about an app.", no_args_is_help=True)
app.add_typer(mail, name="mail")


@app.callback()
def bellhop(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Operate a Bellhop stack: its registry, its deliveries, and which apps are switched off."""


@app.command()
def apply(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The registry file. - is standard input.")],
    *,
    yes: Yes = False,
    allow_http: Annotated[bool, typer.Option("--allow-http", help="Accept http URLs.")] = False,
    allow_private_addresses: Annotated[
        bool, typer.Option("--allow-private-addresses", help="Accept private and loopback addresses.")
    ] = False,
    any_port: Annotated[bool, typer.Option("--any-port", help="Accept any port.")] = False,
    as_json: Json = False,
    stack: StackName = "bellhop",
) -> None:
    """Make the registry match FILE.

    FILE has organisations, apps and installations. Shows what will change and asks first. Applying the same file
    again changes nothing. Never deletes: what FILE does not name stays, and `status: uninstalled` switches an
    installation off. Never changes whether an app is on (`bellhop enable` and `bellhop disable` do that), and
    never replaces a stored secret.

    A new app's signing secret is shown once, just before it is stored. If the run ends with an error, apply again:
    only apps that `bellhop app` does not list get another secret.

    The parameters of the stack decide which URLs are accepted. --allow-http, --allow-private-addresses and
    --any-port accept more. For an example with every field, see infra/cli/registry/example-registry.yaml
    """
    from infra.cli.commands import apply as command

    command.run(
        stack,
        file,
        allow_http=allow_http,
        allow_private_addresses=allow_private_addresses,
        any_port=any_port,
        yes=yes,
        as_json=as_json,
    )


@app.command()
def publish(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The events. - is standard input.")],
    *,
    as_json: Json = False,
    stack: StackName = "bellhop",
) -> None:
    """Publish issue events.

    All of them are sent, or none if one is malformed. FILE has a JSON object, an array of objects, or JSON lines.
    """
    from infra.cli.commands import publish as command

    command.run(stack, file, as_json=as_json)


@app.command()
def log(
    app_id: AppId,
    *,
    limit: Annotated[
        int, typer.Option(min=1, max=10_000, metavar="NUMBER", help="At most this many attempts.")
    ] = 50,
    since: Annotated[
        str, typer.Option(metavar="TIME", help="How far back: 90s, 15m, 1h, 2d, at most 30d.")
    ] = "1h",
    failures: Annotated[
        bool, typer.Option("--failures", help="Only attempts that failed and deliveries that wait.")
    ] = False,
    as_json: Json = False,
    stack: StackName = "bellhop",
) -> None:
    """Show an app's attempts, and when the next is due.

    The newest comes first. Times are UTC.
    """
    from infra.cli.commands import log as command

    command.run(stack, app_id, limit=limit, since=since, failures=failures, as_json=as_json)


@app.command(name="app")
def show_app(
    app_id: Annotated[
        str | None, typer.Argument(metavar="APP", help="The app's slug. By default every app is listed.")
    ] = None,
    *,
    as_json: Json = False,
    stack: StackName = "bellhop",
) -> None:
    """Show an app, or list all apps.

    Shows its state, its limits and whether it is paused, its installations, its last seven days, and who switched
    it off and why.
    """
    from infra.cli.commands import app as command

    command.run(stack, app_id, as_json=as_json)


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
            help="With --dry-run: another threshold. NAME is timeouts, error_days or pause_hours.",
        ),
    ] = None,
    as_json: Json = False,
    stack: StackName = "bellhop",
) -> None:
    """Show why an app is off, or how close it is to that.

    With --dry-run it shows what the stack's thresholds would have done on every recorded day, up to forty, and
    beside them what those of --set would have done. Changes nothing.
    """
    if dry_run:
        from infra.cli.commands import explain_dry_run

        explain_dry_run.run(stack, app_id, settings=settings or [], as_json=as_json)
    else:
        from infra.cli.commands import explain as command
        from infra.cli.commands.explain_dry_run import refuse_settings

        refuse_settings(settings or [])
        command.run(stack, app_id, as_json=as_json)


@app.command()
def ping(
    app_id: AppId,
    *,
    wait: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="How long to wait: 90s, 5m. By default the deadline and 30 s."),
    ] = None,
    as_json: Json = False,
    stack: StackName = "bellhop",
) -> None:
    """Ping an app's endpoint, and show its response.

    The ping is a signed webhook, the event ping.test. It is sent even while the app is switched off or paused, and
    does not count towards the app's health. The exit status is 0 when the endpoint responds with 2xx, otherwise 1.
    """
    from infra.cli.commands import ping as command

    command.run(stack, app_id, wait=wait, as_json=as_json)


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


@app.command()
def replay(
    app_id: AppId,
    *,
    exhausted: Annotated[
        bool, typer.Option("--exhausted", help="Also send deliveries whose retries all failed.")
    ] = False,
    rate: Rate = None,
    as_json: Json = False,
    stack: StackName = "bellhop",
) -> None:
    """Send an app's parked deliveries.

    The app must be on. The oldest delivery goes first. `bellhop enable` does this by itself. For one delivery
    there is `bellhop retry`.
    """
    from infra.cli.commands import replay as command

    command.run(stack, app_id, exhausted=exhausted, rate=rate, as_json=as_json)


@app.command()
def retry(
    delivery_id: Annotated[str, typer.Argument(metavar="DELIVERY", help="Its webhook-id, msg_...")],
    *,
    force: Annotated[bool, typer.Option("--force", help="Send it even if it is delivered already.")] = False,
    as_json: Json = False,
    stack: StackName = "bellhop",
) -> None:
    """Make the next attempt of a delivery now.

    The delivery may wait for its next attempt, be exhausted or stopped, or have been parked before its app was
    switched on. Its webhook-id stays the same. If the attempt fails, the delivery goes on by its schedule; after
    the last attempt it is exhausted.
    """
    from infra.cli.commands import retry as command

    command.run(stack, delivery_id, force=force, as_json=as_json)


@app.command()
def policy(*, as_json: Json = False, stack: StackName = "bellhop") -> None:
    """Show when failed deliveries are tried again.

    Also shows what can defer an attempt, such as a pause of its app.
    """
    from infra.cli.commands import policy as command

    command.run(stack, as_json=as_json)


@app.command()
def doctor(
    *,
    ring: Annotated[
        bool, typer.Option("--ring", help="Also raise an alarm for a try, to see whether it reaches somebody.")
    ] = False,
    as_json: Json = False,
    stack: StackName = "bellhop",
) -> None:
    """Check the stack, its account and its alarms.

    Prints a line for each check: ok, problem with what to type, or could not look with the reason. Changes
    nothing; --ring raises one alarm, which takes itself back. The exit status is 1 if there is a problem,
    otherwise 0.
    """
    from infra.cli.commands import doctor as command

    command.run(stack, ring=ring, as_json=as_json)


@app.command()
def rotate_secret(
    app_id: AppId,
    *,
    overlap: Annotated[
        str, typer.Option(metavar="TIME", help="How long both secrets sign: 0, 30m, 24h, at most 7d.")
    ] = "24h",
    secret_env: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Import the secret in this variable. By default a new one is made."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Rotate even during an overlap; drops its older secret.")
    ] = False,
    as_json: Json = False,
    stack: StackName = "bellhop",
) -> None:
    """Give an app a new signing secret.

    It is shown once, just before it is stored. Until the overlap ends, webhook-signature has a signature of each
    secret. Sentry-Hook-Signature has room for one, and uses the old secret. Functions see the new secret within
    the stack's CacheSeconds.
    """
    from infra.cli.commands import rotate_secret as command

    command.run(stack, app_id, overlap=overlap, secret_env=secret_env, force=force, as_json=as_json)


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


if __name__ == "__main__":
    app()
