"""What a check finds: that all is well, a problem with what to type, or that it could not look."""

import json
from dataclasses import dataclass, replace

from infra.cli.stack import Stack

OK, PROBLEM, UNSEEN = "ok", "problem", "could not look"


@dataclass(frozen=True, slots=True)
class Finding:
    """A state, a sentence about it, and the remedy: what to type or where to read on.

    `parameter`: the one of the stack that the remedy changes, if it does.
    """

    state: str
    text: str
    remedy: str = ""
    parameter: str = ""

    def naming(self, found: Stack) -> "Finding":
        """The same, in which the commands to type name the stack where they need to."""
        return replace(self, remedy=found.naming(self.remedy))


def ok(text: str) -> Finding:
    """All is well."""
    return Finding(OK, text)


def problem(text: str, remedy: str) -> Finding:
    """Something is wrong."""
    return Finding(PROBLEM, text, remedy)


def unseen(text: str, remedy: str = "") -> Finding:
    """It is not known whether something is wrong."""
    return Finding(UNSEEN, text, remedy)


def unset(text: str, name: str, value: str) -> Finding:
    """Something is wrong that another value of a parameter of the stack mends."""
    setting = f"{name} = {json.dumps(value)}"
    remedy = f"write {setting} below [parameters] in the environment's file, then type make deploy"
    return Finding(PROBLEM, text, remedy, name)


def as_local(finding: Finding) -> Finding:
    """The same on a local stack, whose parameters are as they should be there."""
    return ok(f"{finding.text}, as it should be on a local stack") if finding.parameter else finding


def runbook(section: str) -> str:
    """Where to read on."""
    return f'see "{section}" in infra/RUNBOOK.md'
