"""What a check finds: that all is well, a problem with what to type, or that it could not look."""

import json
from dataclasses import dataclass

OK, PROBLEM, UNSEEN = "ok", "problem", "could not look"


@dataclass(frozen=True, slots=True)
class Finding:
    """A state, a sentence about it, and the remedy: what to type or where to read on."""

    state: str
    text: str
    remedy: str = ""


def ok(text: str) -> Finding:
    """All is well."""
    return Finding(OK, text)


def problem(text: str, remedy: str) -> Finding:
    """Something is wrong."""
    return Finding(PROBLEM, text, remedy)


def unseen(text: str, remedy: str = "") -> Finding:
    """It is not known whether something is wrong."""
    return Finding(UNSEEN, text, remedy)


def parameter(name: str, value: str) -> str:
    """What to type to change a parameter of the stack."""
    setting = f"{name} = {json.dumps(value)}"
    return f"write {setting} below [parameters] in the environment's file, then type make deploy"


def runbook(section: str) -> str:
    """Where to read on."""
    return f'see "{section}" in infra/RUNBOOK.md'
