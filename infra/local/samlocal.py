"""`make sam-local`: runs each function in a Lambda container by `sam local invoke` on the events in tests/events.

The containers use the embedded AWS. Its own functions are not invoked meanwhile.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.local import registering
from infra.local.build import ARCHITECTURE, RUNTIME, SAM, built_template
from infra.local.clean_env import clean_environment
from infra.local.paused_triggers import FUNCTIONS, pause_triggers
from infra.local.processes import LocalError, wait_until
from infra.local.sam_local_fixture import CHECKS, Check, SamLocalFixture, install_fixture
from infra.local.stack import PARAMETERS, Stack, deployed_stack

IMAGE = f"public.ecr.aws/lambda/python:{RUNTIME.removeprefix('python')}-{ARCHITECTURE}"
HOST = "host.docker.internal"  # the containers' name for this machine
ANYWHERE = "0.0.0.0"  # noqa: S104 - the containers connect over a bridge


def main() -> int:
    """Run every check; return 0 when all passed."""
    if missing := _missing():
        print(f"sam local cannot run here: {missing}")
        return 1
    clean_environment(os.environ)
    with _fixture() as fixture, tempfile.TemporaryDirectory(prefix="bellhop-sam-local-") as directory:
        variables = _write_variables(fixture.stack, Path(directory))
        passed = [_run_check(check, fixture, variables) for check in CHECKS]
    print(f"{sum(passed)} passed, {len(passed) - sum(passed)} failed")
    return 0 if all(passed) else 1


def _missing() -> str | None:
    if not _docker("info"):
        return "no Docker engine runs. Install Docker (https://docs.docker.com/engine/install/) and start it."
    if not _docker("image", "inspect", IMAGE) and not _docker("pull", IMAGE):
        return f"the image {IMAGE} is not on this machine and cannot be pulled. Pull it while online."
    return None


def _docker(*arguments: str) -> bool:
    try:
        return subprocess.run(["docker", *arguments], capture_output=True, check=False).returncode == 0  # noqa: S607
    except FileNotFoundError:
        return False


@contextmanager
def _fixture() -> Iterator[SamLocalFixture]:
    with deployed_stack({"CacheSeconds": 0}, ANYWHERE) as stack, pause_triggers(stack):
        registering.use_stack(stack, os.environ)
        with install_fixture(stack, ANYWHERE, HOST) as fixture:
            yield fixture


def _write_variables(stack: Stack, directory: Path) -> Path:
    """Write the deployed functions' variables for the containers, which have another name for this machine."""
    port = stack.endpoint.rpartition(":")[2]
    functions = stack.client("lambda")
    variables = {}
    for function in FUNCTIONS.values():
        found = functions.get_function_configuration(FunctionName=stack.resource(function))
        variables[function] = found["Environment"]["Variables"] | {"AWS_ENDPOINT_URL": f"http://{HOST}:{port}"}
    path = directory / "variables.json"
    path.write_text(json.dumps(variables))
    return path


def _run_check(check: Check, fixture: SamLocalFixture, variables: Path) -> bool:
    invocation = _invoke(check.function, check.path, variables, fixture.stack)
    try:
        wait_until(lambda: check.passes(fixture), 5, check.effect)
        passed: bool = json.loads(invocation.stdout) == {"batchItemFailures": []}
    except (TimeoutError, ValueError):
        passed = False
    print(f"{'ok    ' if passed else 'FAILED'}  {check.event}: {check.effect}", flush=True)
    if not passed:
        print(invocation.stdout, invocation.stderr[-4000:])
    return passed


def _invoke(function: str, event: Path, variables: Path, stack: Stack) -> "subprocess.CompletedProcess[str]":
    template = built_template()
    parameters = [f"{name}={value}" for name, value in PARAMETERS.items()]
    inputs = ["--template", str(template), "--env-vars", str(variables), "--event", str(event)]
    network = ["--skip-pull-image", "--add-host", f"{HOST}:host-gateway"]
    command = [str(SAM), "local", "invoke", function, *inputs, *network, "--parameter-overrides", *parameters]
    env = os.environ | stack.env | {"SAM_CLI_TELEMETRY": "0"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env, cwd=template.parent)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LocalError as error:
        sys.exit(str(error))
