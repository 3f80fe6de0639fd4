"""`make sam-local`: each function in a Lambda container by `sam local invoke`, on the events of tests/events.

The containers work on the embedded AWS, whose own functions stand still meanwhile.
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
from infra.local.clean_env import shield
from infra.local.paused_triggers import FUNCTIONS, standing_still
from infra.local.processes import LocalError, until
from infra.local.sam_local_fixture import CHECKS, Check, Scene, set_scene
from infra.local.stack import PARAMETERS, Stack, running

IMAGE = f"public.ecr.aws/lambda/python:{RUNTIME.removeprefix('python')}-{ARCHITECTURE}"
HOST = "host.docker.internal"  # what the containers call this machine
ANYWHERE = "0.0.0.0"  # noqa: S104 - for the containers' bridge


def main() -> int:
    """Run every check; 0 when all held."""
    if missing := _missing():
        print(f"sam local cannot run here: {missing}")
        return 1
    shield(os.environ)
    with _scene() as scene, tempfile.TemporaryDirectory(prefix="bellhop-sam-local-") as directory:
        variables = _environment(scene.stack, Path(directory))
        held = [_check(check, scene, variables) for check in CHECKS]
    print(f"{sum(held)} passed, {len(held) - sum(held)} failed")
    return 0 if all(held) else 1


def _missing() -> str | None:
    if not _docker("info"):
        return "no Docker engine answers. Install Docker (https://docs.docker.com/engine/install/) and start it."
    if not _docker("image", "inspect", IMAGE) and not _docker("pull", IMAGE):
        return f"the image {IMAGE} is not here and cannot be pulled. Pull it where there is a network."
    return None


def _docker(*arguments: str) -> bool:
    try:
        return subprocess.run(["docker", *arguments], capture_output=True, check=False).returncode == 0  # noqa: S607
    except FileNotFoundError:
        return False


@contextmanager
def _scene() -> Iterator[Scene]:
    with running({"CacheSeconds": 0}, ANYWHERE) as stack, standing_still(stack):
        registering.reach(stack, os.environ)
        with set_scene(stack, ANYWHERE, HOST) as scene:
            yield scene


def _environment(stack: Stack, directory: Path) -> Path:
    """The deployed functions' variables for the containers, which reach this machine by another name."""
    port = stack.endpoint.rpartition(":")[2]
    functions = stack.client("lambda")
    variables = {}
    for function in FUNCTIONS.values():
        found = functions.get_function_configuration(FunctionName=stack.resource(function))
        variables[function] = found["Environment"]["Variables"] | {"AWS_ENDPOINT_URL": f"http://{HOST}:{port}"}
    path = directory / "variables.json"
    path.write_text(json.dumps(variables))
    return path


def _check(check: Check, scene: Scene, variables: Path) -> bool:
    response = _invoke(check.function, check.path, variables, scene.stack)
    try:
        until(lambda: check.holds(scene), 5, check.effect)
        clean: bool = json.loads(response.stdout) == {"batchItemFailures": []}
    except (TimeoutError, ValueError):
        clean = False
    print(f"{'ok    ' if clean else 'FAILED'}  {check.event}: {check.effect}", flush=True)
    if not clean:
        print(response.stdout, response.stderr[-4000:])
    return clean


def _invoke(function: str, event: Path, variables: Path, stack: Stack) -> "subprocess.CompletedProcess[str]":
    template = built_template()
    parameters = [f"{name}={value}" for name, value in PARAMETERS.items()]
    where = ["--template", str(template), "--env-vars", str(variables), "--event", str(event)]
    network = ["--skip-pull-image", "--add-host", f"{HOST}:host-gateway"]
    command = [str(SAM), "local", "invoke", function, *where, *network, "--parameter-overrides", *parameters]
    env = os.environ | stack.env | {"SAM_CLI_TELEMETRY": "0"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env, cwd=template.parent)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LocalError as error:
        sys.exit(str(error))
