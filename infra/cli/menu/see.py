"""What can be seen of a stack and its apps."""
# ruff: noqa: PLC0415 - each command imports its own module when it is called, see main.py

from typing import Annotated

import typer

from infra.cli.menu.menu import Menu
from infra.cli.options import AppId, Json, StackName

app = Menu()


@app.command()
def status(
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Look again every 2 seconds, until Ctrl-C.")] = False,
    as_json: Json = False,
    stack: StackName = "bellhop",
) -> None:
    """Show the whole stack on one screen.

    Shows the queues and the age of their oldest messages, dead letters and why they are there, what was delivered
    in the last minutes, what waits, which apps are off, paused, failing or slow, and mails that need somebody.
    """
    from infra.cli.commands import status as command

    command.run(stack, watch=watch, as_json=as_json)


@app.command()
def apps(
    *,
    failing: Annotated[bool, typer.Option("--failing", help="Only apps whose attempts fail.")] = False,
    paused: Annotated[bool, typer.Option("--paused", help="Only apps that are paused.")] = False,
    off: Annotated[bool, typer.Option("--off", help="Only apps that are switched off.")] = False,
    as_json: Json = False,
    stack: StackName = "bellhop",
) -> None:
    """List the apps and how each stands.

    An app is failing if its endpoint has strikes, or if today more attempts failed than succeeded in the
    organisation that it belongs to. Several options list the apps of each.
    """
    from infra.cli.commands import apps as command

    command.run(stack, failing=failing, paused=paused, off=off, as_json=as_json)


@app.command(name="app")
def show_app(app_id: AppId, *, as_json: Json = False, stack: StackName = "bellhop") -> None:
    """Show an app.

    Shows whether it is off or paused, since when, and its next trial; its strikes and limits, its installations,
    its last seven days, and its transitions. `bellhop apps` lists all apps.
    """
    from infra.cli.commands import app as command

    command.run(stack, app_id, as_json=as_json)


Since = Annotated[
    str,
    typer.Option(
        metavar="TIME",
        help="How far back to look: 15m, 2d, at most 30d, or a time in UTC: 12:00, 2026-01-31T12:00.",
    ),
]


@app.command()
def event(
    organization: Annotated[str, typer.Argument(metavar="ORGANISATION", help="Its slug.")],
    event_id: Annotated[str, typer.Argument(metavar="EVENT", help="The event's id.")],
    *,
    since: Since = "1d",
    as_json: Json = False,
    stack: StackName = "bellhop",
) -> None:
    """Show what became of an event.

    Shows who got it, with every attempt, who was skipped and why, and its dead letter if it is one. What failed or
    waits is found at once; --since is for what was delivered at the first attempt, and for notify's log. That log
    tells when the event was fanned out again; if a delivery failed, it is read for about two hours from the first.
    """
    from infra.cli.commands import event as command

    command.run(stack, organization, event_id, since=since, as_json=as_json)


@app.command()
def delivery(
    delivery_id: Annotated[str, typer.Argument(metavar="DELIVERY", help="Its webhook-id, msg_...")],
    *,
    app_id: Annotated[
        str | None,
        typer.Option("--app", metavar="APP", help="Its app. By default deliver's log is searched for it."),
    ] = None,
    since: Since = "1d",
    as_json: Json = False,
    stack: StackName = "bellhop",
) -> None:
    """Show a delivery and every attempt.

    Shows each request and response, and what comes next. Signatures, access tokens and the app's own headers are
    masked. --app and --since are for what was delivered at the first attempt: it has no record, and is looked for
    in the log.
    """
    from infra.cli.commands import delivery as command

    command.run(stack, delivery_id, app_id=app_id, since=since, as_json=as_json)


@app.command()
def log(
    app_ids: Annotated[list[str] | None, typer.Argument(metavar="APP", help="Their slugs.")] = None,
    *,
    organization_id: Annotated[
        str | None,
        typer.Option("--organization", metavar="SLUG", help="Only its deliveries; without APP of all its apps."),
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, max=10_000, metavar="NUMBER", help="At most this many attempts.")
    ] = 50,
    since: Since = "1h",
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only attempts before that; written as for --since.")
    ] = None,
    failures: Annotated[
        bool, typer.Option("--failures", help="Only attempts that failed and deliveries that wait.")
    ] = False,
    event_id: Annotated[
        str | None, typer.Option("--event", metavar="EVENT", help="Only this event, by its id or name.")
    ] = None,
    status: Annotated[
        str | None, typer.Option(metavar="STATUS", help="Only responses with this status: 503, or 5xx.")
    ] = None,
    error: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only failures whose result has this: timeout, dns, http_4.")
    ] = None,
    contains: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Only attempts with it in the body that was sent, or in the response."),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Also print what comes, until Ctrl-C.")] = False,
    as_json: Json = False,
    stack: StackName = "bellhop",
) -> None:
    """Show the attempts of apps, and when the next is due.

    The newest comes first; with --follow the oldest, and with --json a line for each. Each attempt has its own
    result; how its delivery stands now is said at the delivery's newest attempt. Times are UTC.

    --contains looks into at most 10,000 attempts, and says how far back that was. Of what succeeded at the first
    attempt bodies are kept for KeepDeliveredDays, of others for 30 days.
    """
    from infra.cli.body_search import read_text
    from infra.cli.commands import log as command
    from infra.cli.entries import Wanted, read_status

    wanted = Wanted(failures, event_id, read_status(status), error)
    apps = list(dict.fromkeys(app_ids or []))
    asked = command.Asked(apps, organization_id, limit, since, until, wanted, read_text(contains))
    command.run(stack, asked, follow=follow, as_json=as_json)


@app.command()
def tail(
    *,
    function: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Only notify, deliver or health; can be repeated.")
    ] = None,
    text: Annotated[str, typer.Option(metavar="TEXT", help="Only lines with it, such as an id.")] = "",
    level: Annotated[
        str, typer.Option(metavar="LEVEL", help="Only lines as severe: debug, info, warning, error.")
    ] = "info",
    since: Since = "10m",
    follow: Annotated[bool, typer.Option("--follow", help="Also print what comes, until Ctrl-C.")] = False,
    as_json: Json = False,
    stack: StackName = "bellhop",
) -> None:
    """Show what the functions log.

    Joins the logs of notify, deliver and health, the oldest line first. Of Lambda's own lines it shows only those
    about failures. With --json each line is JSON. Times are UTC.
    """
    from infra.cli.commands import tail as command

    asked = command.read_asked(function or [], text, level)
    command.run(stack, asked, since=since, follow=follow, as_json=as_json)


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
