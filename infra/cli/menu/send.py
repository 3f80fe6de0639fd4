"""What is sent: events, pings and deliveries."""
# ruff: noqa: PLC0415 - each command imports its own module when it is called, see main.py

from typing import Annotated

import typer

from infra.cli.options import AppId, Json, Rate, StackName

app = typer.Typer()


@app.command()
def publish(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The events. - is standard input.")],
    *,
    wait: Annotated[
        str | None, typer.Option(metavar="TIME", help="Show what becomes of each, for at most 30s, 5m, up to 1h.")
    ] = None,
    skip: Annotated[
        int, typer.Option(min=0, metavar="NUMBER", help="Leave out the first events, which are sent already.")
    ] = 0,
    as_json: Json = False,
    stack: StackName = "bellhop",
) -> None:
    """Publish issue events.

    All of them are sent, or none if one is malformed. FILE has a JSON object, an array of objects, or JSON lines.
    Warns of events that reach nobody now: the organisation is not registered, no installation wants them, or the
    app is off or paused. An interrupted run says how many were sent, and how to go on.
    """
    from infra.cli.commands import publish as command

    command.run(stack, file, wait=wait, skip=skip, as_json=as_json)


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
