"""What is sent: events, pings and deliveries."""
# ruff: noqa: PLC0415 - each command imports its own module when it is called, see main.py

from enum import StrEnum
from typing import Annotated

import typer

from infra.cli.menu.menu import Menu
from infra.cli.options import AppId, Json, Rate, StackName, Yes

app = Menu()


class Outcome(StrEnum):
    """What became of a delivery."""

    DELIVERED = "delivered"
    EXHAUSTED = "exhausted"
    STOPPED = "stopped"
    PARKED = "parked"
    RETRYING = "retrying"


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
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Send nothing; check, and show which apps would get something.")
    ] = False,
    as_json: Json = False,
    stack: StackName = "bellhop",
) -> None:
    """Publish issue events.

    All of them are sent, or none if one is malformed. FILE has a JSON object, an array of objects, or JSON lines.
    Warns of events that reach nobody now: the organisation is not registered, no installation wants them, or the
    app is off or paused. An interrupted run says how many were sent, and how to go on.
    """
    from infra.cli.commands import publish as command

    if dry_run and wait:
        raise typer.BadParameter("--dry-run sends nothing: there is nothing to --wait for")
    command.run(stack, file, wait=wait, skip=skip, dry_run=dry_run, as_json=as_json)


@app.command()
def example(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="EVENT", help="Names, such as issue.resolved, or issue for all of these."),
    ] = None,
    *,
    organization: Annotated[
        str, typer.Option("--organization", metavar="ID", help="Whose events they are.")
    ] = "acme",
    project: Annotated[
        str, typer.Option("--project", metavar="ID", help="The project of those that have one.")
    ] = "frontend",
    as_json: Json = False,
) -> None:
    """Print example events, which can be published.

    One is a JSON object, several are JSON lines; with --json an array. Each has a new event_id. Without
    names it lists which there are. It asks no stack. `bellhop publish -` publishes what it reads.
    """
    from infra.cli.commands import example as command

    command.run(names or [], organization=organization, project=project, as_json=as_json)


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
def resend(
    delivery_ids: Annotated[
        list[str] | None, typer.Argument(metavar="DELIVERY", help="Their webhook-ids, msg_...")
    ] = None,
    *,
    app_ids: Annotated[
        list[str] | None,
        typer.Option("--app", metavar="APP", help="Of this app; with --since, its deliveries. May be repeated."),
    ] = None,
    event_id: Annotated[
        str | None, typer.Option("--event", metavar="EVENT", help="Those of this event, to all who got it.")
    ] = None,
    organization_id: Annotated[
        str | None,
        typer.Option("--organization", metavar="SLUG", help="The event's; with --since, its deliveries."),
    ] = None,
    installation_id: Annotated[
        str | None, typer.Option("--installation", metavar="ID", help="Of the event only this one's.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="First attempted then or later: 2026-11-23T12:00 in UTC, or 2d ago."),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="First attempted before then. By default now.")
    ] = None,
    outcomes: Annotated[
        list[Outcome] | None,
        typer.Option(
            "--outcome",
            metavar="OUTCOME",
            help="delivered, exhausted, stopped, parked or retrying. May be repeated. By default all but "
            "retrying, which goes on by itself.",
        ),
    ] = None,
    statuses: Annotated[
        list[int] | None,
        typer.Option("--status", metavar="NUMBER", help="The last HTTP status that came back. May be repeated."),
    ] = None,
    events: Annotated[
        list[str] | None,
        typer.Option("--name", metavar="NAME", help="The event's name, such as issue.created. May be repeated."),
    ] = None,
    rate: Rate = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    watch: Annotated[
        str | None, typer.Option(metavar="JOB", help="Begin nothing; show how far a resend is, to its end.")
    ] = None,
    stop: Annotated[
        str | None, typer.Option(metavar="JOB", help="Begin nothing; stop a resend. The rest stays as it is.")
    ] = None,
    go_on: Annotated[
        str | None, typer.Option(metavar="JOB", help="Go on with a resend that was stopped or is lost.")
    ] = None,
    yes: Yes = False,
    as_json: Json = False,
    stack: StackName = "bellhop",
) -> None:
    """Send deliveries once more, whatever became of them.

    The webhook-id and the body stay the same. One that succeeded at the first attempt is kept for
    KeepDeliveredDays, and its id needs --app beside it; others are kept for 30 days. If the attempt fails, the
    delivery goes on by its retry schedule. An app that is off gets nothing; of one that is paused, it is parked.

    With --since, they are counted first, and sent in the background. Several apps take turns, each with its oldest
    delivery. --organization takes only what is of that organisation, of all apps that are installed there or of
    those that are named.
    """
    from infra.cli.commands import resend as command

    options = command.Options(
        delivery_ids=delivery_ids or [],
        app_ids=list(dict.fromkeys(app_ids or [])),
        event_id=event_id,
        organization_id=organization_id,
        installation_id=installation_id,
        since=since,
        until=until,
        outcomes=outcomes or [],
        statuses=statuses or [],
        events=events or [],
        rate=rate,
        dry_run=dry_run,
        yes=yes,
    )
    if watch is None and stop is None and go_on is None:
        command.run(stack, options, as_json=as_json)
        return
    alone = sum(job is not None for job in (watch, stop, go_on)) == 1
    if not alone or options.chosen or (rate is not None and go_on is None):
        raise typer.BadParameter(
            "--watch, --stop and --go-on each take a job and nothing else; --go-on also takes --rate"
        )
    from infra.cli.commands import resend_job

    if watch is not None:
        resend_job.watch(stack, watch, as_json=as_json)
    elif stop is not None:
        resend_job.stop(stack, stop, as_json=as_json)
    elif go_on is not None:
        resend_job.go_on(stack, go_on, rate=rate, as_json=as_json)


@app.command()
def replay(
    app_id: AppId,
    *,
    exhausted: Annotated[
        bool, typer.Option("--exhausted", help="Also send deliveries whose retries all failed.")
    ] = False,
    rate: Rate = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Begin nothing; show how far a replay is, to its end.")
    ] = False,
    stop: Annotated[
        bool, typer.Option("--stop", help="Begin nothing; stop a replay. The rest stays parked.")
    ] = False,
    as_json: Json = False,
    stack: StackName = "bellhop",
) -> None:
    """Send an app's parked deliveries, in the background.

    The app must be on. The oldest delivery goes first. This also happens by itself, after `bellhop enable`
    and when a pause ends. To go on after a stop, run it again. `bellhop resend` sends chosen deliveries.
    """
    from infra.cli.commands import replay as command

    if (watch and stop) or ((watch or stop) and (exhausted or rate is not None)):
        raise typer.BadParameter("--watch and --stop each stand alone: they begin nothing")
    if watch:
        command.watch(stack, app_id, as_json=as_json)
        return
    if stop:
        command.stop(stack, app_id, as_json=as_json)
        return
    command.run(stack, app_id, exhausted=exhausted, rate=rate, as_json=as_json)


@app.command()
def relay(
    app_id: AppId,
    *,
    to: Annotated[str, typer.Option("--to", metavar="URL", help="Where, such as http://localhost:3000/webhooks.")],
    event: Annotated[str | None, typer.Option(metavar="EVENT", help="Only this event, by its name or id.")] = None,
    organization: Annotated[
        str | None, typer.Option(metavar="SLUG", help="Only deliveries of this organisation.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Also what was attempted since: 15m, 2d, 12:00. At most 30d."),
    ] = None,
    secret_env: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Sign by the secret in this variable. By default a new one is made."),
    ] = None,
    signature: Annotated[
        str, typer.Option(metavar="KIND", help="What the new one is for: hmac, or ed25519 with a public key.")
    ] = "hmac",
    as_json: Json = False,
    stack: StackName = "bellhop",
) -> None:
    """Relay an app's deliveries to this machine.

    Posts a copy of each to a URL, soon after it was attempted or parked, until Ctrl-C. The body and the webhook-id
    are the same; the timestamp is new, and so are the signatures, by a secret of the relay's own: it does not read
    the app's. The delivery itself is left as it is. A resend is one copy more, retries are not. --json prints a
    line for each.
    """
    from infra.cli.commands import relay as command

    options = command.Options(app_id, to, event, organization, since, secret_env, signature)
    command.run(stack, options, as_json=as_json)


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
        typer.Option(metavar="NAME", help="Verify by the secret or public key in this variable; use no stack."),
    ] = None,
    signature: Annotated[
        str, typer.Option(metavar="KIND", help="What a new app's secret is for: hmac, or ed25519.")
    ] = "hmac",
    token_endpoint: Annotated[
        bool,
        typer.Option(
            "--token-endpoint",
            help="Be a token endpoint too, at /token, and want its access token with each webhook.",
        ),
    ] = False,
    as_json: Json = False,
    stack: Annotated[
        str, typer.Option("--stack", metavar="NAME", help="Only the local one, which `make run` keeps up.")
    ] = "local",
) -> None:
    """Receive webhooks on this machine, verify and print them.

    With the stack of `make run` it registers itself as an app and shows the app's secret. For an app on AWS have
    the webhooks forwarded to this machine, and name the app's secret, or its public key, with --secret-env. What
    does not verify gets 401. Ctrl-C ends it; the app stays registered. With --token-endpoint it wants an access
    token too, which Bellhop gets from it at /token.
    """
    from infra.cli.commands import receive as command

    command.run(
        stack,
        app_id,
        organization,
        port=port,
        secret_env=secret_env,
        signature=signature,
        token_endpoint=token_endpoint,
        statuses=status,
        delay=delay,
        forward=forward,
        as_json=as_json,
    )
