"""What is sent: events, pings and deliveries."""
# ruff: noqa: PLC0415 - each command imports its own module when it is called, see main.py

from typing import Annotated

import typer

from infra.cli.menu import Menu
from infra.cli.options import AppId, Json, Rate, StackName

app = Menu()


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
def receive(
    *,
    app_id: Annotated[
        str, typer.Option("--app", metavar="APP", help="The slug that it registers itself under.")
    ] = "my-app",
    organization: Annotated[
        str, typer.Option("--organization", metavar="ID", help="Whose events it gets; made if it is new.")
    ] = "acme",
    port: Annotated[
        int, typer.Option(min=0, max=65_535, metavar="PORT", help="Where it listens, on 127.0.0.1; 0 is any.")
    ] = 8765,
    forward: Annotated[
        str | None, typer.Option(metavar="URL", help="Send each webhook on, and respond as it responds.")
    ] = None,
    status: Annotated[
        str, typer.Option(metavar="STATUS", help="Respond with this; or in turn: 200,200,500.")
    ] = "204",
    delay: Annotated[
        float, typer.Option(min=0, max=3600, metavar="SECONDS", help="Respond after so many seconds.")
    ] = 0,
    secret_env: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Verify by the secret in this variable, and use no stack."),
    ] = None,
    as_json: Json = False,
    stack: Annotated[
        str, typer.Option("--stack", metavar="NAME", help="Only the local one, which `make run` keeps up.")
    ] = "local",
) -> None:
    """Receive webhooks on this machine, verify and print them.

    With the stack of `make run` it registers itself as an app and shows the app's secret. For an app on AWS have
    the webhooks forwarded to this machine, and name the app's secret with --secret-env. What does not verify gets
    401. Ctrl-C ends it; the app stays registered.
    """
    from infra.cli.commands import receive as command

    command.run(
        stack,
        app_id,
        organization,
        port=port,
        secret_env=secret_env,
        statuses=status,
        delay=delay,
        forward=forward,
        as_json=as_json,
    )
