"""An environment's file: what its stack has otherwise than the template says. Git ignores it.

stack = "bellhop-prod"              # these three may be left out
region = "eu-west-1"
account = "123456789012"

[parameters]
MailFrom = "bellhop@tracker.example"
MailIdentity = "tracker.example"
"""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.deploy.errors import RefusedError

FOLDER = Path(__file__).resolve().parents[1] / "environments"
KEYS = ("stack", "region", "account", "parameters")
RESERVED = "local"
STACK = "bellhop"


@dataclass(frozen=True)
class Environment:
    """One stack, and the parameters that differ from the template's defaults."""

    path: Path
    stack: str
    region: str = ""
    account: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    exists: bool = True


def path_of(name: str) -> Path:
    """The file of the environment that `make deploy ENV=name` names; a name that ends with .toml is a path."""
    if name.endswith(".toml"):
        return Path(name).expanduser().absolute()
    if not name.replace("-", "").replace("_", "").isalnum():
        raise RefusedError(
            f"ENV={name} is neither a name of letters, digits, - and _ nor a path that ends with .toml."
        )
    return FOLDER / f"{name}.toml"


def read(path: Path) -> Environment:
    """Read a file; without one, an environment that gives nothing.

    Raises:
        RefusedError: the file is not TOML, or has keys that mean nothing.
    """
    if not path.exists():
        return Environment(path, _stack_of(path), exists=False)
    try:
        found = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RefusedError(f"{path} is not TOML: {error}.") from None
    if unknown := [key for key in found if key not in KEYS]:
        raise RefusedError(
            f"{path} has {', '.join(unknown)} outside [parameters]; only {', '.join(KEYS)} are there."
        )
    given = found.get("parameters", {})
    if not isinstance(given, dict):
        raise RefusedError(
            f"In {path}, parameters is no table. Write [parameters], and one parameter a line below."
        )
    values = {name: _text(value) for name, value in given.items()}
    stack, region, account = (str(found.get(key, "")) for key in ("stack", "region", "account"))
    if stack == RESERVED:
        raise RefusedError(
            f'In {path}, stack = "{RESERVED}" is the name by which bellhop finds the stack of `make run`. '
            "Write another."
        )
    return Environment(path, stack or _stack_of(path), region, account, values)


def _stack_of(path: Path) -> str:
    # The default environment keeps the name that stacks had before there were others.
    return STACK if path.stem == "default" else f"{STACK}-{path.stem}"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value)


def write(environment: Environment) -> None:
    """Write the file."""
    environment.path.parent.mkdir(parents=True, exist_ok=True)
    environment.path.write_text(text(environment))


def text(environment: Environment) -> str:
    """The file's text."""
    keys = ("stack", "region", "account")
    head = [f"{key} = {_quoted(value)}" for key in keys if (value := getattr(environment, key))]
    rows = [f"{name} = {_quoted(value)}" for name, value in environment.parameters.items()]
    return "\n".join(
        [*head, "", "# Only what differs from the defaults in template.yaml.", "[parameters]", *rows, ""]
    )


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)  # a JSON string is a TOML string
