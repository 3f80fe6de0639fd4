"""The command line of `bellhop`.

Only what `--help` needs is imported here: the AWS libraries take most of a second.
"""

from typing import Annotated

import typer

from infra.console import main_health
from infra.console.options import AppId, Json, StackName, running

app = typer.Typer(
    help="Operate a Bellhop stack: what is registered, what is delivered, what is switched off.",
    epilog="The stack is found by its CloudFormation outputs, with the AWS credentials and region of the "
    "environment, or at AWS_ENDPOINT_URL.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,  # its tracebacks would show local variables, and those hold secrets
)


@app.command()
def apply(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The registry file; - reads standard input.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Apply without asking.")] = False,
    allow_http: Annotated[bool, typer.Option("--allow-http", help="Accept http URLs.")] = False,
    allow_private_addresses: Annotated[
        bool, typer.Option("--allow-private-addresses", help="Accept private and loopback addresses.")
    ] = False,
    any_port: Annotated[bool, typer.Option("--any-port", help="Accept any port.")] = False,
    as_json: Json = False,
    stack: StackName = "bellhop",
) -> None:
    """Bring organisations, apps and installations to what FILE says.

    Shows what will change and asks first; a second time changes nothing. Never deletes: what FILE does not
    name stays, and `status: uninstalled` switches an installation off. Never touches an app's state (`bellhop
    enable` and `bellhop disable` do), nor a stored secret. A new app's signing secret is shown once, just
    before it is written; if the run ends with an error, apply again: only what `bellhop app` does not list gets
    another secret.

    URLs must be what the stack's parameters allow; --allow-http and its like accept more. An example, every
    field explained: infra/console/example-registry.yaml
    """
    with running("commands") as commands:
        ports = None if any_port else frozenset[int]()
        widened = commands.EndpointPolicy(http=allow_http, private=allow_private_addresses, ports=ports)
        commands.apply(stack, file, widened, yes=yes, as_json=as_json)


@app.command()
def publish(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The events; - reads standard input.")],
    *,
    as_json: Json = False,
    stack: StackName = "bellhop",
) -> None:
    """Publish issue events, all or, when one is malformed, none.

    FILE holds a JSON object, an array of them, or JSON lines.
    """
    with running("commands") as commands:
        commands.publish_events(stack, file, as_json=as_json)


@app.command()
def log(
    app_id: AppId,
    *,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most that many attempts.")] = 50,
    since: Annotated[str, typer.Option(help="How far back: 90s, 15m, 1h, 2d, at most 30d.")] = "1h",
    failures: Annotated[bool, typer.Option("--failures", help="Only what failed or waits.")] = False,
    as_json: Json = False,
    stack: StackName = "bellhop",
) -> None:
    """Show an app's attempts and when the next is due.

    Newest first; times are UTC.
    """
    with running("commands") as commands:
        commands.show_log(stack, app_id, limit, since, failures=failures, as_json=as_json)


@app.command(name="app")
def show_app(
    app_id: Annotated[str | None, typer.Argument(metavar="[APP]", help="Without it: every app.")] = None,
    *,
    as_json: Json = False,
    stack: StackName = "bellhop",
) -> None:
    """Show an app: its state, pause and limits, its hooks, its last seven days, who switched it off and why."""
    with running("commands") as commands:
        commands.show_app(stack, app_id, as_json=as_json)


@app.command()
def rotate_secret(
    app_id: AppId,
    *,
    overlap: Annotated[str, typer.Option(help="How long both secrets sign: 0, 30m, 24h, at most 7d.")] = "24h",
    secret_env: Annotated[
        str | None, typer.Option(metavar="NAME", help="Import the secret in this variable; without it, a new one.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Even while an overlap runs: drop its older secret.")
    ] = False,
    as_json: Json = False,
    stack: StackName = "bellhop",
) -> None:
    """Give an app a new signing secret.

    It is shown once, just before it is written. Until the overlap ends, webhook-signature has a signature of each
    secret, and Sentry-Hook-Signature, which has room for one, uses the old. Functions see the new secret within
    the stack's CacheSeconds.
    """
    with running("commands") as commands:
        commands.rotate_secret(stack, app_id, overlap, secret_env, force=force, as_json=as_json)


@app.command()
def policy(*, as_json: Json = False, stack: StackName = "bellhop") -> None:
    """Show when failed deliveries are tried again.

    Also what can put an attempt off, such as a pause of its app.
    """
    with running("commands") as commands:
        commands.show_policy(stack, as_json=as_json)


@app.command()
def retry(
    delivery_id: Annotated[str, typer.Argument(metavar="DELIVERY", help="Its webhook-id, msg_...")],
    *,
    force: Annotated[bool, typer.Option("--force", help="Even where it is delivered already.")] = False,
    as_json: Json = False,
    stack: StackName = "bellhop",
) -> None:
    """Try a delivery again now.

    One that waits for its next attempt, is exhausted, was stopped, or was parked before its app was switched on.
    It is the delivery's next attempt, under the same webhook-id. One that fails goes on by the schedule, and is
    exhausted after its last.
    """
    with running("commands") as commands:
        commands.retry(stack, delivery_id, force=force, as_json=as_json)


app.add_typer(main_health.app)


if __name__ == "__main__":
    app()
