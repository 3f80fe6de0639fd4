"""`make run`: the whole system at work on this machine.

In a terminal it stays up afterwards, until Ctrl-C. Otherwise it ends, with 0 if everything expected came true.
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
from infra.local.clean_env import clean_environment
from infra.local.demo_script import RETIRED, DemoScript, Expectation
from infra.local.processes import LocalError
from infra.local.stack import Stack, deployed_stack

BELLHOP = Path(sys.executable).with_name("bellhop")
PATIENCE_SECONDS = 75.0
TICK_SECONDS = 0.2
COMMAND_SECONDS = 60.0
INTERRUPTED = 130
EXAMPLE = Path(__file__).with_name("example-event.json")  # for the demo's organisation


def main() -> int:
    """Run the demo and return the exit code."""
    _handle_signals()
    clean_environment(os.environ)
    console = Console(highlight=False, soft_wrap=True)
    try:
        with ExitStack() as exit_stack:
            return _run(console, exit_stack)
    except LocalError as error:
        console.print(f"make run: {error}", markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("Interrupted; nothing is left running.")
        return INTERRUPTED


def _run(console: Console, exit_stack: ExitStack) -> int:
    directory = Path(exit_stack.enter_context(TemporaryDirectory(prefix="bellhop-demo-")))
    started = time.monotonic()

    def print_step(step: str) -> None:
        console.print(f"[dim]{time.monotonic() - started:5.1f} s[/]  {step}")

    stack = exit_stack.enter_context(deployed_stack(on_progress=print_step))
    registering.use_stack(stack, os.environ)
    script = DemoScript(stack, exit_stack)
    print_step(_bellhop("apply", str(script.write_registry(directory)), "--yes"))
    print_step(_bellhop("publish", str(script.write_events(directory))))
    expectations = script.expectations()
    succeeded = _watch(expectations, console) and _enable_again(
        script, expectations, directory, print_step, console
    )
    _summarise(script, expectations, console)
    if sys.stdin.isatty():
        _stay_up(stack, console)
    return 0 if succeeded else 1


def _enable_again(
    script: DemoScript,
    expectations: list[Expectation],
    directory: Path,
    print_step: Callable[[str], None],
    console: Console,
) -> bool:
    """Publish events while an app is off, then enable it. Whether everything expected came true."""
    print_step(_bellhop("publish", str(script.write_events_while_off(directory))))
    while_off, after_repair = script.expectations_while_off(), script.expectations_after_repair()
    expectations += [*while_off, *after_repair]
    if not _watch(while_off, console):
        return False
    script.repaired = True
    print_step(_bellhop("enable", RETIRED))
    return _watch(after_repair, console)


def _bellhop(*arguments: str) -> str:
    """Run the operator's command, and return the command line in a short form."""
    command = [str(BELLHOP), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
    if done.returncode:
        raise LocalError(f"{shlex.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return shlex.join(["bellhop", arguments[0], Path(arguments[1]).name, *arguments[2:]])


def _watch(expectations: Sequence[Expectation], console: Console) -> bool:
    """Show each expectation as it comes true. Whether all did in time."""
    started = time.monotonic()
    seconds: dict[int, float] = {}  # after which an expectation came true, by its number
    with Live(console=console, auto_refresh=False) if console.is_terminal else ExitStack() as live:
        while len(seconds) < len(expectations) and time.monotonic() - started < PATIENCE_SECONDS:
            for number, expectation in enumerate(expectations):
                if expectation.has_just_come_true():
                    seconds[number] = time.monotonic() - started
                    if not isinstance(live, Live):
                        seen = f"{expectation.app}: {expectation.promise}: {expectation.observation}"
                        console.print(f"{seconds[number]:5.1f} s  {seen}", markup=False)
            if isinstance(live, Live):
                live.update(_table(expectations, seconds), refresh=True)
            time.sleep(TICK_SECONDS)
    return len(seconds) == len(expectations)


def _table(expectations: Sequence[Expectation], seconds: dict[int, float]) -> Table:
    table = Table("App", "Promise", "Seen", "After")
    for number, expectation in enumerate(expectations):
        observation = expectation.observation
        seen = Text(observation, "green") if observation else Text("waiting", "yellow")
        after = f"{seconds[number]:.1f} s" if number in seconds else ""
        table.add_row(expectation.app, expectation.promise, seen, after)
    return table


def _summarise(script: DemoScript, expectations: Sequence[Expectation], console: Console) -> None:
    for mail in script.stack.mails():
        console.rule(f"the mail to {', '.join(mail['To'])}")
        console.print(f"Subject: {mail['Subject']}\n\n{mail['BodyText']}", markup=False)
    console.rule()
    received = script.received
    console.print(
        f"{sum(e.observation is not None for e in expectations)} of {len(expectations)} promises kept: "
        f"{len(received)} requests at {len(script.endpoints)} endpoints, "
        f"{sum(r.verified for r in received)} verified in both schemes, {len(script.stack.mails())} mail sent."
    )
    for expectation in expectations:
        if expectation.observation is None:
            console.print(f"[red]did not happen:[/] {expectation.app}: {expectation.promise}")
    if not sys.stdin.isatty():
        console.print("In a terminal, make run stays up for you to explore. README.md goes on from here.")


def _stay_up(stack: Stack, console: Console) -> None:
    console.print("\nIt stays up until Ctrl-C. In another terminal, in this directory:\n")
    settings = " ".join(f"{name}={shlex.quote(value)}" for name, value in stack.env.items())
    console.print(f"  unset AWS_PROFILE; export {settings}", markup=False)
    for command in (
        "status",
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


def _handle_signals() -> None:
    signal.signal(signal.SIGINT, _interrupt)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)


def _interrupt(*_: object) -> None:
    # A second signal must not disturb what the first one started: the end of every process of the demo.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
