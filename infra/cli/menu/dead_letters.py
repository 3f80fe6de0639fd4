"""Dead letters: messages that nothing could handle."""
# ruff: noqa: PLC0415 - each command imports its own module when it is called, see main.py

from typing import Annotated

import typer

from infra.cli.menu.menu import Menu
from infra.cli.options import Json, StackName, Yes

app = Menu()
dead_letters = Menu(help="Show, redrive, delete or export dead letters.", no_args_is_help=True)
app.add_typer(dead_letters, name="dead-letters")

QUEUES = ("IssueEvents", "Deliveries", "Retries", "Schedules", "Transitions")


def _queue_name(typed: str | None) -> str | None:
    if typed is None:
        return None
    for name in QUEUES:
        if name.lower() == typed.lower():
            return name
    raise typer.BadParameter(f"{typed!r} is none of {', '.join(QUEUES)}")


QueueName = Annotated[
    str | None,
    typer.Option(
        "--queue",
        callback=_queue_name,
        autocompletion=lambda: list(QUEUES),
        metavar="NAME",
        help="Only those of this work queue: IssueEvents, Deliveries, Retries, Schedules (scheduled retries that "
        "could not be sent), Transitions.",
    ),
]
MessageIds = Annotated[
    list[str] | None,
    typer.Argument(metavar="MESSAGE", help="Their ids, as `bellhop dead-letters list` shows them."),
]
Every = Annotated[bool, typer.Option("--all", help="Those of every queue.")]


@dead_letters.command("list")
def show_all(
    queue: QueueName = None,
    *,
    limit: Annotated[
        int, typer.Option(min=1, max=10_000, metavar="NUMBER", help="How many of each queue at most.")
    ] = 1000,
    as_json: Json = False,
    stack: StackName = "bellhop",
) -> None:
    """List dead letters, with what each is and why.

    They stay where they are. While the command runs, up to a few seconds, others cannot see them.
    """
    from infra.cli.commands import dead_letters as command

    command.show_all(stack, queue, limit=limit, as_json=as_json)


@dead_letters.command()
def show(
    message_id: Annotated[str, typer.Argument(metavar="MESSAGE", help="Its id.")],
    *,
    as_json: Json = False,
    stack: StackName = "bellhop",
) -> None:
    """Show a dead letter with its body.

    Of a long body it shows the beginning; --json has all of it.
    """
    from infra.cli.commands import dead_letters as command

    command.show(stack, message_id, as_json=as_json)


@dead_letters.command()
def redrive(
    message_ids: MessageIds = None,
    *,
    queue: QueueName = None,
    every: Every = False,
    as_json: Json = False,
    stack: StackName = "bellhop",
) -> None:
    """Send dead letters back to the queue that they came from.

    Remove the cause first. What would come straight back, such as a malformed event, is left and named. If the
    command is interrupted, run it again; at most a few are sent twice, which does no harm.
    """
    from infra.cli.commands import dead_letters as command

    command.redrive(stack, message_ids or [], queue, every=every, as_json=as_json)


@dead_letters.command()
def delete(
    message_ids: MessageIds = None,
    *,
    queue: QueueName = None,
    every: Every = False,
    yes: Yes = False,
    as_json: Json = False,
    stack: StackName = "bellhop",
) -> None:
    """Delete dead letters for good. `export` keeps a copy."""
    from infra.cli.commands import dead_letters as command

    command.delete(stack, message_ids or [], queue, every=every, yes=yes, as_json=as_json)


@dead_letters.command()
def export(queue: QueueName = None, *, stack: StackName = "bellhop") -> None:
    """Write dead letters to standard output, one JSON object a line. They stay where they are."""
    from infra.cli.commands import dead_letters as command

    command.export(stack, queue)
