"""`make run`: the whole system on this machine, shown at work.

With a terminal it stays up afterwards, until Ctrl-C; without one it ends with 0 if everything shown held.
"""

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from infra.local import registering
from infra.local.build import ROOT
from infra.local.clean_env import shield
from infra.local.demo_script import RETIRED, Line, Story
from infra.local.processes import LocalError
from infra.local.stack import Stack, running

BELLHOP = Path(sys.executable).with_name("bellhop")
PATIENCE_SECONDS = 75.0
TICK_SECONDS = 0.2
COMMAND_SECONDS = 60.0
INTERRUPTED = 130
EXAMPLE = Path(__file__).with_name("example-event.json")  # for the demo's organisation


def main() -> int:
    """Show it; the exit code."""
    _mind_signals()
    shield(os.environ)
    console = Console(highlight=False, soft_wrap=True)
    try:
        with ExitStack() as rooms:
            return _show(console, rooms)
    except LocalError as error:
        console.print(f"make run: {error}", markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("Interrupted; nothing is left running.")
        return INTERRUPTED


def _show(console: Console, rooms: ExitStack) -> int:
    directory = Path(rooms.enter_context(TemporaryDirectory(prefix="bellhop-demo-")))
    begun = time.monotonic()

    def tell(what: str) -> None:
        console.print(f"[dim]{time.monotonic() - begun:5.1f} s[/]  {what}")

    stack = rooms.enter_context(running(tell=tell))
    registering.reach(stack, os.environ)
    story = Story(stack, rooms)
    tell(_bellhop("apply", str(story.write_registry(directory)), "--yes"))
    tell(_bellhop("publish", str(story.write_events(directory))))
    lines = story.lines()
    held = _watch(lines, console) and _way_back(story, lines, directory, tell, console)
    _summarise(story, lines, console)
    if sys.stdin.isatty():
        _stay(stack, console)
    return 0 if held else 1


def _way_back(
    story: Story, lines: list[Line], directory: Path, tell: Callable[[str], None], console: Console
) -> bool:
    """What comes while an app is off, and how it comes on again; whether everything held."""
    tell(_bellhop("publish", str(story.write_events_while_off(directory))))
    kept, back = story.lines_while_off(), story.lines_afterwards()
    lines += [*kept, *back]
    if not _watch(kept, console):
        return False
    story.repaired = True
    tell(_bellhop("enable", RETIRED))
    return _watch(back, console)


def _bellhop(*arguments: str) -> str:
    """Run the operator's command, as anybody would; how it was called."""
    command = [str(BELLHOP), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
    if done.returncode:
        raise LocalError(f"{shlex.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return shlex.join(["bellhop", arguments[0], Path(arguments[1]).name, *arguments[2:]])


def _watch(lines: Sequence[Line], console: Console) -> bool:
    """Show what comes true while it does; whether everything did."""
    begun = time.monotonic()
    came: dict[int, float] = {}
    with Live(console=console, auto_refresh=False) if console.is_terminal else ExitStack() as live:
        while len(came) < len(lines) and time.monotonic() - begun < PATIENCE_SECONDS:
            for number, line in enumerate(lines):
                if line.look():
                    came[number] = time.monotonic() - begun
                    if not isinstance(live, Live):
                        console.print(
                            f"{came[number]:5.1f} s  {line.app}: {line.promise}: {line.held}", markup=False
                        )
            if isinstance(live, Live):
                live.update(_table(lines, came), refresh=True)
            time.sleep(TICK_SECONDS)
    return len(came) == len(lines)


def _table(lines: Sequence[Line], came: dict[int, float]) -> Table:
    table = Table("App", "Promise", "Seen", "After")
    for number, line in enumerate(lines):
        seen = Text(line.held, "green") if line.held else Text("waiting", "yellow")
        table.add_row(line.app, line.promise, seen, f"{came[number]:.1f} s" if number in came else "")
    return table


def _summarise(story: Story, lines: Sequence[Line], console: Console) -> None:
    for mail in story.stack.mails():
        console.rule(f"the mail to {', '.join(mail['To'])}")
        console.print(f"Subject: {mail['Subject']}\n\n{mail['BodyText']}", markup=False)
    console.rule()
    received = story.received
    console.print(
        f"{sum(line.held is not None for line in lines)} of {len(lines)} promises held: "
        f"{len(received)} requests at {len(story.endpoints)} endpoints, "
        f"{sum(r.verified for r in received)} verified in both schemes, {len(story.stack.mails())} mail sent."
    )
    for line in lines:
        if line.held is None:
            console.print(f"[red]did not happen:[/] {line.app}: {line.promise}")
    if not sys.stdin.isatty():
        console.print("In a terminal make run stays up to be looked at. README.md goes on from here.")


def _stay(stack: Stack, console: Console) -> None:
    console.print("\nIt stays up until Ctrl-C. In another terminal, from here:\n")
    settings = " ".join(f"{name}={shlex.quote(value)}" for name, value in stack.env.items())
    console.print(f"  unset AWS_PROFILE; export {settings}", markup=False)
    for command in (
        "app",
        "app retired-bot",
        "log pager",
        "log sleepy-bot",
        f"publish {EXAMPLE.relative_to(ROOT)}",
    ):
        console.print(f"  .venv/bin/bellhop {command}", markup=False)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        console.print("\nEnding.")


def _mind_signals() -> None:
    signal.signal(signal.SIGINT, _interrupt)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)


def _interrupt(*_: object) -> None:
    # The second one must not disturb what the first one began: ending every process that was started.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
