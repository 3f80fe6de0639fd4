"""bellhop doctor: whether a deployed stack, its account and its alarms are as they should be."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import boto3
import typer
from rich.console import Console

from health.mail.wording import counted
from infra.cli import stack, terminal
from infra.cli.doctor import alarms, apps, caller, functions, mail, storage, sweep
from infra.cli.doctor.findings import OK, PROBLEM, UNSEEN, Finding
from infra.cli.doctor.looking import Check, Deployed
from infra.cli.terminal import line

CHECKS: tuple[Check[Any], ...] = (
    *caller.CHECKS,
    *functions.CHECKS,
    *sweep.CHECKS,
    *storage.CHECKS,
    *apps.CHECKS,
    *mail.CHECKS,
    *alarms.CHECKS,
)

_STYLES = {OK: "green", PROBLEM: "red", UNSEEN: "yellow"}
_STATE_WIDTH, _NAME_WIDTH = max(map(len, _STYLES)), max(len(check.name) for check in CHECKS)

Found = Sequence[tuple[str, Finding]]  # each with the name of its check


def run(stack_name: str, *, ring: bool, as_json: bool) -> None:
    """Look at everything, print what is found, exit with 1 if there is a problem."""
    found = stack.find(stack_name)
    stack.bind(found)
    deployed = Deployed(found, boto3.Session().region_name or "", stack.client)
    checks = (*CHECKS, alarms.RING) if ring else CHECKS
    results = [(check.name, finding.naming(found)) for check in checks for finding in check.findings(deployed)]
    well = all(finding.state != PROBLEM for _, finding in results)
    if as_json:
        rows = [{"check": name, **asdict(finding)} for name, finding in results]
        terminal.print_json({"stack": found.name, "well": well, "findings": rows})
    else:
        _print(results, terminal.console())
    if not well:
        raise typer.Exit(1)


def _print(results: Found, console: Console) -> None:
    for name, finding in results:
        start = f"{finding.state:<{_STATE_WIDTH}}  {name:<{_NAME_WIDTH}}  "
        line(console, f"{start}{finding.text}", _STYLES[finding.state], indent=len(start))
        if finding.remedy:
            line(console, f"{'':<{len(start)}}{finding.remedy}")
    states = Counter(finding.state for _, finding in results)
    summary = f"{states[OK]} ok, {counted(states[PROBLEM], 'problem')}, {states[UNSEEN]} could not be looked at"
    line(console, summary, "bold")
