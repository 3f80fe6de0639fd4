"""`make deploy`: everything that cannot work is refused before anything is asked or built.

The values of a stack's parameters are in one place: the environment's file over the template's defaults. What is
built, what is checked and what is deployed all come from there.
"""

import argparse
import os
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from infra.deploy import adoption, parameters
from infra.deploy import environment as environments
from infra.deploy.account import (
    NOTHING_YET,
    Account,
    DeployedStack,
    connect,
    find_stack,
    missing_bus,
    missing_topic,
    stuck,
)
from infra.deploy.checks import contradictions
from infra.deploy.environment import Environment
from infra.deploy.errors import RefusedError
from infra.deploy.parameters import Parameter
from infra.deploy.target import Target, find_interpreter
from infra.deploy.templates import parsed
from infra.local.build import ROOT, SAM, built_template
from infra.local.processes import LocalError

TEMPLATE = ROOT / "template.yaml"
SAMCONFIG = ROOT / "samconfig.toml"
INTERRUPTED = 130


@dataclass(frozen=True)
class Deployment:
    """What has been checked and can be deployed."""

    environment: Environment
    values: dict[str, str]
    target: Target


def main(arguments: Sequence[str] | None = None) -> int:
    """Deploy, or only build; return the exit code."""
    parser = argparse.ArgumentParser(prog="make", description=__doc__)
    parser.add_argument("command", choices=["build", "deploy", "adopt"])
    parser.add_argument("--env", default="default")
    parser.add_argument("--yes", action="store_true", help="do not ask before the changes are made")
    parser.add_argument("--left-by", default="", help="the ARN of a deleted stack")
    parser.add_argument("--use", default="", help="other resources, such as Apps=restored-apps")
    given = parser.parse_args(arguments)
    try:
        path = environments.path_of(given.env)
        if given.command == "adopt":
            return _adopt(path, given.left_by, given.use, yes=given.yes)
        return _build(path) if given.command == "build" else _deploy(path, yes=given.yes)
    except (RefusedError, LocalError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED


def _build(path: Path) -> int:
    found = environments.read(path)
    declared = parameters.declared(TEMPLATE)
    # Mail is no matter of the bundle: what only a deployment needs may be missing.
    values = parameters.chosen(declared, found.parameters)
    print(f"Built: {built_template(_target(values, found)).parent}")
    return 0


def _deploy(path: Path, *, yes: bool) -> int:
    _refuse_old_settings()
    if not yes and not sys.stdin.isatty():
        raise RefusedError("Without a terminal nobody can agree to the changes. Type make deploy YES=1")
    declared, found = parameters.declared(TEMPLATE), environments.read(path)
    if found.exists:  # first what needs no network
        _refuse(_problems(declared, found), found)
    account = connect(found)
    stack = find_stack(account, found.stack)
    _refuse(stuck(stack, found.stack, account.region), found)
    if not found.exists:
        found = _first_file(declared, replace(found, region=account.region, account=account.number), stack)
    values = parameters.chosen(declared, found.parameters)
    _refuse(_problems(declared, found), found)
    _refuse(
        [*missing_bus(account, values["EventBusName"]), *missing_topic(account, values["AlarmTopicArn"])], found
    )
    deployment = Deployment(found, values, _target(values, found))
    _announce(deployment, account, declared, stack)
    return _run_sam(deployment, account, yes=yes)


def _adopt(path: Path, left_by: str, use: str, *, yes: bool) -> int:
    declared, found = parameters.declared(TEMPLATE), environments.read(path)
    if not found.exists:
        raise RefusedError(f"{path} is not there. Write it first: what is adopted gets its parameters.")
    replacements = adoption.parse_replacements(use)
    if not left_by and not replacements:
        raise RefusedError('Nothing is named. Type make adopt FROM=ARN-OF-A-DELETED-STACK, or USE="Apps=NAME ..."')
    _refuse(_problems(declared, found), found)
    account = connect(found)
    if (stack := find_stack(account, found.stack)) and stack.status == NOTHING_YET:
        adoption.forget_refused(account, found.stack)
    elif stack:
        raise RefusedError(f"The stack {found.stack} is there. Only a new stack can adopt: delete it first.")
    left = adoption.left_behind(account, left_by) if left_by else {}
    what = adoption.importing(parsed(TEMPLATE), left | replacements)
    print(f"A new stack, {found.stack}, in account {account.number}, {account.region}, adopts")
    print("\n".join(f"  {name}: {physical}" for name, physical in what.resources.items()))
    if not yes and input("Adopt them? [y/N] ").strip().lower() != "y":
        return 1
    adoption.run(account, found.stack, what, parameters.chosen(declared, found.parameters))
    print("Adopted. Nothing runs yet: type make deploy, with the same ENV.")
    return 0


def _refuse_old_settings() -> None:
    # Once, `make deploy` kept every parameter there. Whoever edits them now must not wait for an effect.
    if SAMCONFIG.exists() and "parameter_overrides" in str(tomllib.loads(SAMCONFIG.read_text())):
        raise RefusedError(
            f"{SAMCONFIG.name} has parameter_overrides, which are not read any more. If they are deployed, remove "
            f"{SAMCONFIG.name}: make deploy takes them from the stack. If not, move those that differ from "
            f"template.yaml to {environments.FOLDER.relative_to(ROOT)}/default.toml, below [parameters]."
        )


def _problems(declared: dict[str, Parameter], found: Environment) -> list[str]:
    malformed = parameters.malformed(declared, found.parameters)
    return malformed or contradictions(parameters.chosen(declared, found.parameters))


def _refuse(problems: list[str], found: Environment) -> None:
    if problems:
        raise RefusedError("\n".join([f"Not deployed. The parameters are in {found.path}:", *problems]))


def _first_file(declared: dict[str, Parameter], found: Environment, stack: DeployedStack | None) -> Environment:
    """Write the file of a stack that has none: with its own parameters if it is there, else with what is asked."""
    if stack and stack.parameters:
        known = {n: v for n, v in stack.parameters.items() if n in declared and v != declared[n].default}
        print(f"The stack {found.stack} is there already: its parameters are taken over.")
        complete = replace(found, parameters=known)
    else:
        _target(parameters.chosen(declared, {}), found)  # refused, if it is, before anything is asked
        complete = replace(found, parameters=_ask(declared, found))
    environments.write(complete)  # even if it is refused below: nothing typed is lost
    print(f"Written: {found.path}. Keep it: whoever deploys this stack next needs it.")
    return complete


def _ask(declared: dict[str, Parameter], found: Environment) -> dict[str, str]:
    needed = [parameter for parameter in declared.values() if parameter.default is None]
    if not sys.stdin.isatty():
        example = replace(found, parameters={parameter.name: "..." for parameter in needed})
        raise RefusedError(f"Write {found.path} first:\n\n{environments.text(example)}")
    print(f"A new stack, {found.stack}, in account {found.account}, {found.region}. All else has defaults.")
    return {parameter.name: _ask_for(parameter) for parameter in needed}


def _ask_for(parameter: Parameter) -> str:
    while why := parameter.problem(given := input(f"{parameter.description}\n{parameter.name}: ").strip()):
        print(f"{given} {why}.")
    return given


def _target(values: dict[str, str], found: Environment) -> Target:
    runtime = values["Runtime"]
    interpreter = find_interpreter(runtime, os.environ)
    if interpreter is None:
        raise RefusedError(
            f"The functions' Runtime is {runtime}, but no {runtime} with pip runs here, neither from the PATH nor "
            f"from pyenv. Install it, for instance by pyenv install {runtime.removeprefix('python')}, or write "
            f'Runtime = "python3.x" below [parameters] into {found.path}.'
        )
    return Target(runtime, values["Architecture"], interpreter)


def _announce(
    deployment: Deployment, account: Account, declared: dict[str, Parameter], stack: DeployedStack | None
) -> None:
    print(f"Deploying the stack {deployment.environment.stack} to account {account.number}, {account.region}.")
    for line in parameters.changes(declared, stack.parameters if stack else {}, deployment.values):
        print(f"  {line}")
    print(f"Building for {deployment.target}: up to a minute, if anything has changed.", flush=True)


def _run_sam(deployment: Deployment, account: Account, *, yes: bool) -> int:
    template = built_template(deployment.target)
    options = ["--stack-name", deployment.environment.stack, "--region", account.region, "--resolve-s3"]
    options += ["--capabilities", "CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND", "--no-fail-on-empty-changeset"]
    options += ["--no-confirm-changeset" if yes else "--confirm-changeset"]
    command = [str(SAM), "deploy", "--template-file", str(template), *options, "--parameter-overrides"]
    environment = os.environ | {"SAM_CLI_TELEMETRY": "0"}
    # There, sam finds no samconfig.toml that would change what has been checked.
    return subprocess.run(
        [*command, *parameters.overrides(deployment.values)], env=environment, cwd=template.parent, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
