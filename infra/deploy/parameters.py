"""The template's parameters: what it declares, and what a stack gets.

template.yaml alone has the defaults. A stack gets every parameter explicitly: CloudFormation would otherwise keep
the previous value, and a changed default would never reach a stack.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from infra.deploy.templates import parsed


@dataclass(frozen=True)
class Parameter:
    """A parameter as the template declares it. Without a default it must be given."""

    name: str
    kind: str
    default: str | None = None
    allowed: tuple[str, ...] = ()
    pattern: str = ""
    smallest: float | None = None
    largest: float | None = None
    shortest: int = 0
    description: str = ""

    def problem(self, value: str) -> str | None:
        """Why CloudFormation would refuse the value, as the end of a sentence."""
        if self.allowed and value not in self.allowed:
            return f"is not one of {', '.join(self.allowed)}"
        if self.kind == "Number":
            return self._problem_of_number(value)
        if self.pattern and not re.fullmatch(self.pattern, value):
            return f"does not match {self.pattern}"
        if len(value) < self.shortest:
            return f"is shorter than {self.shortest} characters"
        return None

    def _problem_of_number(self, value: str) -> str | None:
        if not re.fullmatch(r"\d+", value):
            return "is not a whole number"
        if self.smallest is not None and int(value) < self.smallest:
            return f"is less than {self.smallest:g}"
        if self.largest is not None and int(value) > self.largest:
            return f"is more than {self.largest:g}"
        return None


def declared(template: Path) -> dict[str, Parameter]:
    """The parameters that a template declares."""
    return {name: _parameter(name, found) for name, found in parsed(template)["Parameters"].items()}


def _parameter(name: str, found: Mapping[str, Any]) -> Parameter:
    return Parameter(
        name,
        found["Type"],
        str(found["Default"]) if "Default" in found else None,
        tuple(map(str, found.get("AllowedValues", ()))),
        found.get("AllowedPattern", ""),
        found.get("MinValue"),
        found.get("MaxValue"),
        found.get("MinLength", 0),
        found.get("Description", ""),
    )


def chosen(parameters: Mapping[str, Parameter], given: Mapping[str, str]) -> dict[str, str]:
    """Every parameter that has a value: what is given, over the defaults."""
    defaults = {name: p.default for name, p in parameters.items() if p.default is not None}
    return defaults | {name: value for name, value in given.items() if name in parameters}


def malformed(parameters: Mapping[str, Parameter], given: Mapping[str, str]) -> list[str]:
    """A sentence for each parameter that is unknown, missing, or has a value that CloudFormation would refuse."""
    unknown = [_unknown(name, parameters) for name in given if name not in parameters]
    missing = [
        f"{n} is not given. {p.description}" for n, p in parameters.items() if p.default is None and n not in given
    ]
    values = chosen(parameters, given)
    found = {name: parameters[name].problem(value) for name, value in values.items()}
    return unknown + missing + [f"{name}={values[name]} {why}." for name, why in found.items() if why]


def _unknown(name: str, parameters: Mapping[str, Parameter]) -> str:
    near = get_close_matches(name, parameters, 1)
    return f"{name} is not a parameter of the template{f': did you mean {near[0]}?' if near else '; remove it.'}"


def changes(parameters: Mapping[str, Parameter], before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """What a deployment changes in a stack's parameters, one a line."""
    names = [name for name in parameters if name in before and before[name] != after.get(name)]
    return [f"{name}: {before[name] or '(empty)'} -> {after.get(name) or '(empty)'}" for name in names]


def overrides(values: Mapping[str, str]) -> list[str]:
    """The values as `sam` takes them on its command line; an empty one has to be quoted."""
    return [f'{name}="{_escaped(value)}"' for name, value in values.items()]


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
