"""What can be seen of a stack and its apps."""
# ruff: noqa: PLC0415 - each command imports its own module when it is called, see main.py

from typing import Annotated

import typer

from infra.cli.menu import Menu
from infra.cli.options import AppId, Json, StackName

app = Menu()


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
