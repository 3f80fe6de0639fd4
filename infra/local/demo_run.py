"""What `make run` does and shows: the stack, the demo's apps and events, and what came of them."""

import os
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from infra.local import registering, running
from infra.local.build import ROOT
from infra.local.demo_script import RETIRED, DemoScript, Expectation
from infra.local.processes import LocalError
from infra.local.progress import Steps
from infra.local.running import AlreadyRunningError
from infra.local.stack import Stack, deployed_stack

BELLHOP = Path(sys.executable).with_name("bellhop")
PATIENCE_SECONDS = 75.0
TICK_SECONDS = 0.2
COMMAND_SECONDS = 60.0
EXAMPLE = Path(__file__).with_name("example-event.json").relative_to(ROOT)  # for the demo's organisation
# The template's retries, over three days: on a stack that stays up nothing is exhausted because it waited.
PARAMETERS = {"RetryDelaysSeconds": None}

NEXT = (
    ("bellhop status", "the whole stack on one screen"),
    ("bellhop app retired-bot", "who switched it off and on, and why"),
    ("bellhop mail show retired-bot", "the mail to its owner"),
    ("bellhop log sleepy-bot", "its attempts, and when the next is due"),
    ("bellhop receive", "your own webhooks; and in a third terminal"),
    (f"bellhop publish {EXAMPLE}", ""),
)


def run() -> int:
    """Run the demo and return the exit code."""
    console = Console(highlight=False, soft_wrap=True)
    try:
        with ExitStack() as exit_stack:
            steps = exit_stack.enter_context(Steps(console))
            return _run(console, steps, exit_stack)
    except AlreadyRunningError:
        console.print("make run is up already in this directory. Use it, or end it with Ctrl-C where it runs.")
    except LocalError as error:
        console.print(f"make run: {error}", markup=False)
    return 1


def _run(console: Console, steps: Steps, exit_stack: ExitStack) -> int:
    stays_up = sys.stdin.isatty()
    if stays_up:
        exit_stack.enter_context(running.reserved())
    directory = Path(exit_stack.enter_context(TemporaryDirectory(prefix="bellhop-demo-")))
    stack = exit_stack.enter_context(deployed_stack(PARAMETERS, on_progress=steps.begin))
    registering.use_stack(stack, os.environ)
    demo = Demo(DemoScript(stack, exit_stack), directory, steps, console)
    succeeded = demo.run()
    steps.end()
    if not stays_up:
        print_mails(stack, console)
    demo.summarise()
    if stays_up:
        running.announce(stack.env)
        _stay_up(console)
    else:
        console.print("In a terminal, make run stays up for you to explore. README.md goes on from here.")
    return 0 if succeeded else 1


@dataclass
class Demo:
    """A run of the script, and what came true of it. `seconds` are those after which it did, by its number."""

    script: DemoScript
    directory: Path
    steps: Steps
    console: Console
    expectations: list[Expectation] = field(default_factory=list)
    seconds: dict[int, float] = field(default_factory=dict)

    def run(self) -> bool:
        """Publish, then publish while an app is off, then enable it. Whether everything expected came true."""
        script, directory = self.script, self.directory
        self._bellhop("apply", str(script.write_registry(directory)), "--yes")
        self._bellhop("publish", str(script.write_events(directory)))
        if not self._watch(script.expectations()):
            return False
        self._bellhop("publish", str(script.write_events_while_off(directory)))
        if not self._watch(script.expectations_while_off()):
            return False
        script.repaired = True
        self._bellhop("enable", RETIRED)
        return self._watch(script.expectations_after_repair())

    def summarise(self) -> None:
        """Print what came true, and what did not."""
        received, mails = self.script.received, self.script.stack.mails()
        if self.console.is_terminal:
            self.console.print(self._table())
        kept = sum(e.observation is not None for e in self.expectations)
        self.console.print(
            f"{kept} of {len(self.expectations)} promises kept: {len(received)} webhooks, "
            f"{sum(r.verified for r in received)} verified in both schemes, {len(mails)} mail."
        )
        for expectation in self.expectations:
            if expectation.observation is None:
                self.console.print(f"[red]did not happen:[/] {expectation.app}: {expectation.promise}")

    def _bellhop(self, *arguments: str) -> None:
        """Run the operator's command."""
        command = [str(BELLHOP), *arguments]
        self.steps.begin(shlex.join(["bellhop", arguments[0], Path(arguments[1]).name, *arguments[2:]]))
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
        if done.returncode:
            raise LocalError(f"{shlex.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        self.steps.end()

    def _watch(self, expectations: Sequence[Expectation]) -> bool:
        """Show each expectation as it comes true. Whether all did in time."""
        self.expectations += expectations
        started = time.monotonic()
        with Live(console=self.console, auto_refresh=False, transient=True) as live:
            while len(self.seconds) < len(self.expectations) and time.monotonic() - started < PATIENCE_SECONDS:
                for number, expectation in enumerate(self.expectations):
                    if expectation.has_just_come_true():
                        self.seconds[number] = time.monotonic() - started
                        self._print_unless_live(expectation, self.seconds[number])
                if self.console.is_terminal:
                    live.update(self._table(), refresh=True)
                time.sleep(TICK_SECONDS)
        return len(self.seconds) == len(self.expectations)

    def _print_unless_live(self, expectation: Expectation, seconds: float) -> None:
        if not self.console.is_terminal:
            seen = f"{expectation.app}: {expectation.promise}: {expectation.observation}"
            self.console.print(f"{seconds:5.1f} s  {seen}", markup=False)

    def _table(self) -> Table:
        """Ten rows of less than 80 columns, so that the whole result is on one screen."""
        table = Table("App", "Promise", "Seen", "After", box=None, pad_edge=False, header_style="bold")
        for number, expectation in enumerate(self.expectations):
            observation = expectation.observation
            seen = Text(observation, "green") if observation else Text("waiting", "yellow")
            after = f"{self.seconds[number]:.1f} s" if number in self.seconds else ""
            table.add_row(expectation.app, expectation.promise, seen, after)
        return table


def print_mails(stack: Stack, console: Console) -> None:
    """Print the mails in full."""
    for mail in stack.mails():
        console.rule(f"the mail to {', '.join(mail['To'])}")
        console.print(f"Subject: {mail['Subject']}\n\n{mail['BodyText']}", markup=False)
    console.rule()


def _stay_up(console: Console) -> None:
    console.print("\nIt stays up until Ctrl-C. Go on in another terminal, in this directory:\n")
    console.print('  export PATH="$PWD/.venv/bin:$PATH" BELLHOP_STACK=local', style="bold")
    for command, meaning in NEXT:
        console.print(f"  {command:<31}[dim]{meaning}[/]" if meaning else f"  {command}")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        console.print("\nEnding.")
