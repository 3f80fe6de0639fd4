"""How long each of bellhop's commands takes on a stack with 200 apps and 50,000 deliveries of the last day.

python -m tests.bench commands

The embedded AWS is one process that shares this machine's processors, so a command that makes many calls takes
longer than on AWS. Its own processor time does not depend on that.
"""

import json
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bellhop import attempts, circuits
from bellhop.attempts import DELIVERED, EXHAUSTED, PARKED, RETRYING, Attempt, NextState
from bellhop.deliveries import Delivery, delivery_id
from bellhop.outcomes import Failure, OutcomeDelta, add
from bellhop.registry import DISABLED, App
from bellhop.successes import Success, SuccessLog
from infra.local.paused_triggers import pause_triggers
from infra.local.registering import Hook, event, register, use_stack
from infra.local.stack import deployed_stack
from tests.bench.run import STORED

ORGANIZATIONS, APPS_OF_EACH = 20, 10
DELIVERIES, FAILED = 50_000, 5_000
PROCESSES, BATCH = 8, 10  # of deliver: each logs what it delivered in pages of its own
SPAN = timedelta(hours=24)
SECRET = "0123456789abcdef" * 4
STATES = (DELIVERED,) * 6 + (RETRYING, PARKED, EXHAUSTED, EXHAUSTED)
SECONDS = 120


@dataclass(frozen=True, slots=True)
class Measured:
    """One command: what was typed; wall and processor seconds; its exit status and the lines that it printed."""

    command: str
    seconds: float
    processor: float
    status: int
    lines: int


def main() -> None:
    """Fill a stack, measure, print and store."""
    console = Console(width=120)
    with deployed_stack(on_progress=console.print) as stack, pause_triggers(stack):
        use_stack(stack, os.environ)
        console.print("filling the tables")
        known = fill(datetime.now(UTC))
        found = [measure(stack.env, words.split()) for words in commands(known)]
    STORED.mkdir(parents=True, exist_ok=True)
    (STORED / "commands.json").write_text(json.dumps([asdict(each) for each in found], indent=1) + "\n")
    show(found, console)


def fill(now: datetime) -> Mapping[str, str]:
    """Write the apps, and what they were sent; the names of some of it."""
    hooks = list(_register(now))
    deliveries = [_delivery(hooks[n % len(hooks)], n) for n in range(DELIVERIES)]
    failed, succeeded = deliveries[:FAILED], deliveries[FAILED:]
    for n, delivery in enumerate(failed):
        _fail(delivery, STATES[n // len(hooks) % len(STATES)], now - SPAN * n / FAILED)
    logs = [SuccessLog(f"process-{n}", timedelta(days=3)) for n in range(PROCESSES)]
    for n in range(0, len(succeeded), BATCH):
        at = now - SPAN + SPAN * n / len(succeeded)
        batch = [Success(each, _row(each, at)) for each in succeeded[n : n + BATCH]]
        logs[n // BATCH % PROCESSES].write(batch, at)
    sample = succeeded[-1]
    return {
        "app": sample.app_id,
        "organization": sample.organization_id,
        "event": sample.event_id,
        "delivered": sample.delivery_id,
        "failed": failed[0].delivery_id,
    }


def commands(known: Mapping[str, str]) -> Iterator[str]:
    """What is typed."""
    app, organization = known["app"], known["organization"]
    yield from ("--help", "policy", "status", "apps", "apps --off", f"app {app}", f"explain {app}", "doctor")
    yield f"event {organization} {known['event']}"
    yield f"delivery {known['failed']}"
    yield f"delivery {known['delivered']} --app {app}"
    yield from (f"log {app}", f"log {app} --failures", f"log {app} --since 7d --limit 500", "tail")
    yield f"log --organization {organization}"
    yield f"log {app} --since 1d --contains {known['event']}"
    yield f"log --organization {organization} --since 1d --contains nowhere"
    yield from (f"resend --app {app} --since 1d --dry-run", "dead-letters list", "export")


def measure(env: Mapping[str, str], words: Sequence[str]) -> Measured:
    """Run a command once."""
    used, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(
        [Path(sys.executable).with_name("bellhop"), *words],
        env=os.environ | env,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    seconds, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    lines = len(done.stdout.splitlines())
    return Measured(" ".join(words), seconds, processor, done.returncode, lines)


def show(found: Sequence[Measured], console: Console) -> None:
    """Print a table."""
    table = Table("command", title=f"{ORGANIZATIONS * APPS_OF_EACH} apps, {DELIVERIES:,} deliveries in a day")
    for name in ("seconds", "of processor", "status", "lines"):
        table.add_column(name, justify="right")
    for each in found:
        command = re.sub(r"\b(msg_\w{4})\w+", r"\1...", each.command)
        table.add_row(command, f"{each.seconds:.1f}", f"{each.processor:.2f}", str(each.status), str(each.lines))
    console.print(table)


def _register(now: datetime) -> Iterator[tuple[str, Hook]]:
    for organization in range(ORGANIZATIONS):
        name = f"org{organization}"
        hooks = [Hook(f"app{organization}-{n}", "https://localhost/hook", SECRET) for n in range(APPS_OF_EACH)]
        register(name, [f"owner@{name}.example"], hooks)
        _unwell(name, hooks, now)
        yield from ((name, hook) for hook in hooks)


def _unwell(organization: str, hooks: Sequence[Hook], now: datetime) -> None:
    """Of each organisation's apps, one is off, one is paused, and one is failing."""
    off, paused, failing = (hook.app_id for hook in hooks[:3])
    App(off).update(actions=[App.state.set(DISABLED), App.generation.set(2)])
    circuits.open_circuit(paused, 1, now.timestamp() - 600, now.timestamp() + 60)
    failure = Failure(now.isoformat(), "msg_1", "ev1", "issue.created", "timeout", "")
    add(OutcomeDelta(failing, organization, 1, now.date(), timeout=600, last_failure=failure), lambda _: None)


def _delivery(of: tuple[str, Hook], number: int) -> Delivery:
    organization, hook = of
    event_id, installation = f"ev{number}", f"installation-{hook.app_id}"
    body = json.dumps(event(organization, event_id)).encode()
    webhook = delivery_id(organization, event_id, installation)
    return Delivery(webhook, event_id, "issue.created", hook.app_id, organization, installation, body)


def _fail(delivery: Delivery, state: str, at: datetime) -> None:
    failed = Attempt(1, at, 31, "request", "http_503", 503, "Service Unavailable")
    due = at.timestamp() + 86_400 if state == RETRYING else 0.0
    attempts.open_record(delivery, NextState(state, due, failed), at)


def _row(delivery: Delivery, at: datetime) -> dict[str, Any]:
    names = {"app": delivery.app_id, "event_id": delivery.event_id, "event": delivery.event}
    return Attempt(1, at, 12, "request", "http_200", 200).row() | names | {"delivery_id": delivery.delivery_id}
