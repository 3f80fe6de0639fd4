"""bellhop resend --watch, --stop and --go-on: a resend in the background, watched, stopped, and gone on with."""

import time
from collections.abc import Mapping

import typer
from rich.console import Console

from bellhop.clock import utc_now
from infra.cli import identity, stack, terminal
from infra.cli.errors import CommandError
from infra.cli.resending import jobs, parking
from infra.cli.stack import Stack
from infra.cli.terminal import line


def watch(stack_name: str, job_id: str, *, as_json: bool) -> None:
    """Show how far a resend is, until it is over."""
    found = stack.find(stack_name)
    stack.bind(found)
    shown: jobs.Progress | None = None
    apps = parking.apps_of_job(job_id)
    for shown in jobs.follow(job_id, utc_now, time.sleep):
        if as_json:
            terminal.print_json_line(shown.document() | {"paused_apps": list(parking.pauses(apps, utc_now()))})
        else:
            line(terminal.console(), shown.text(found))
    if shown and not as_json:
        print_left(shown.left, terminal.console())
        parking.tell(apps if shown.sent else (), utc_now(), as_json=as_json)
    if shown is None or not shown.is_done:
        raise typer.Exit(1)


def stop(stack_name: str, job_id: str, *, as_json: bool) -> None:
    """Stop a resend."""
    found = stack.find(stack_name)
    stack.bind(found)
    now = utc_now()
    if not jobs.stop(job_id, now.timestamp()):
        raise CommandError(f"resend {job_id} is over already: `bellhop resend --watch {job_id}`")
    progress = jobs.progress(jobs.load(job_id), now)
    if as_json:
        terminal.print_json(progress.document())
        return
    console = terminal.console()
    line(console, f"Stopped: {progress.text(found)}", "bold")
    line(console, "What the retry queue has already is sent. The rest stays as it was.")
    line(console, f"To go on: {found.command(f'resend --go-on {job_id}')}")


def go_on(stack_name: str, job_id: str, *, rate: float | None, as_json: bool) -> None:
    """Go on with a resend that was stopped."""
    found = stack.find(stack_name)
    stack.bind(found)
    now = utc_now()
    jobs.go_on(job_id, rate, identity.transitions_queue(found), now.timestamp())
    progress = jobs.progress(jobs.load(job_id), now)
    if as_json:
        terminal.print_json(progress.document())
        return
    line(terminal.console(), f"Resend {job_id} goes on: {progress.text(found)}", "bold")
    line(terminal.console(), next_text(job_id, found))


def next_text(job_id: str, found: Stack) -> str:
    """What to type then about a job that goes on."""
    return found.next(f"resend --watch {job_id}", f"resend --stop {job_id}")


def print_left(left: Mapping[str, int], console: Console) -> None:
    """Print how many deliveries were left, by reason."""
    for reason, number in sorted(left.items(), key=lambda each: -each[1]):
        line(console, f"{number:,} not resent: {reason}", "yellow")
