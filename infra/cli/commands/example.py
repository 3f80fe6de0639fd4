"""bellhop example: events to look at or to publish, one for each name."""

import uuid
from collections.abc import Sequence

from infra.cli import terminal
from infra.cli.errors import unknown
from infra.cli.example_events import example
from infra.cli.registry.events import events_of, expand
from infra.cli.terminal import line, table


def run(names: Sequence[str], *, organization: str, project: str, as_json: bool) -> None:
    """Print the examples, or without names which there are."""
    if names:
        _print(_wanted(names), organization, project, as_json=as_json)
    elif as_json:
        terminal.print_json([name for of_resource in events_of().values() for name in of_resource])
    else:
        console = terminal.console()
        table(console, ("resource", "events"), [(name, ", ".join(events)) for name, events in events_of().items()])
        line(console, "Next: bellhop example issue.created")


def _wanted(names: Sequence[str]) -> list[str]:
    """The names of the events, each once; a resource stands for all of its events."""
    wanted: dict[str, None] = {}
    for name in names:
        events = expand(name)
        if events is None:
            known = [*events_of(), *(each for of_resource in events_of().values() for each in of_resource)]
            raise unknown("event", name, known, "bellhop example")
        wanted |= dict.fromkeys(events)
    return list(wanted)


def _print(names: Sequence[str], organization: str, project: str, *, as_json: bool) -> None:
    # A new id each time, or receivers would take the second publication for a duplicate of the first.
    events = [example(name, f"example-{uuid.uuid4().hex[:12]}", organization, project) for name in names]
    if len(events) == 1:
        terminal.print_json(events[0])
    elif as_json:
        terminal.print_json(events)
    else:
        for event in events:
            terminal.print_json_line(event)
