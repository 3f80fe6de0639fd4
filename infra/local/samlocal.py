"""`make sam-local`: each function in a Lambda container by `sam local invoke`, on the events of tests/events.

The containers work on the embedded AWS, whose own functions are told to stand still meanwhile, so that every
effect seen is the container's.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bellhop.registry import App, Installation
from infra.local import registering
from infra.local.build import ARCHITECTURE, ROOT, RUNTIME, SAM, built_template
from infra.local.processes import LocalError, until
from infra.local.receiver import Receiver, gone, ok, receiver
from infra.local.registering import Hook
from infra.local.stack import PARAMETERS, Stack, running

EVENTS = ROOT / "tests" / "events"
IMAGE = f"public.ecr.aws/lambda/python:{RUNTIME.removeprefix('python')}-{ARCHITECTURE}"
HOST = "host.docker.internal"  # what the containers call this machine
SECRETS = {"pager": "ab" * 32, "retired": "cd" * 32}
FUNCTIONS = {"notify": "NotifyFunction", "deliver": "DeliverFunction", "health": "HealthFunction"}


@dataclass(frozen=True)
class Scene:
    """What the checks look at."""

    stack: Stack
    pager: Receiver
    retired: Receiver

    def waiting(self, queue: str) -> int:
        """How many messages a queue holds."""
        url = self.stack.resource(queue)
        names: Any = ["ApproximateNumberOfMessages"]
        answer = self.stack.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)
        return int(answer["Attributes"][names[0]])


# What each event must have brought about, after those before it: in the order of a webhook's way.
CHECKS: list[tuple[str, str, Callable[[Scene], bool]]] = [
    ("notify/issue-created", "one delivery enqueued", lambda s: s.waiting("Deliveries") == 1),
    ("notify/resolved-and-assigned", "two more enqueued", lambda s: s.waiting("Deliveries") == 1 + 2),
    (
        "notify/malformed-beside-a-good-one",
        "one enqueued, one dead-lettered",
        lambda s: s.waiting("Deliveries") == 1 + 2 + 1 and s.waiting("IssueEventsDeadLetters") == 1,
    ),
    (
        "deliver/first-attempt",
        "a webhook received and verified",
        lambda s: [r.verified for r in s.pager.received] == [True],
    ),
    (
        "deliver/gone-beside-a-healthy-one",
        "one received, one answered 410",
        lambda s: (len(s.pager.received), len(s.retired.received)) == (2, 1),
    ),
    (
        "health/outcomes-stream",
        "the app disabled, its transition announced",
        lambda s: App.get("retired").state == "disabled" and s.waiting("Transitions") == 1,
    ),
    ("health/transition", "the owner mailed", lambda s: len(s.stack.mails()) == 1),
]


def main() -> int:
    """Run every check; 0 when all held."""
    if missing := _missing():
        print(f"sam local cannot run here: {missing}")
        return 1
    with _scene() as scene, tempfile.TemporaryDirectory(prefix="bellhop-sam-local-") as directory:
        variables = _environment(scene.stack, Path(directory))
        held = [_check(scene, variables, *check) for check in CHECKS]
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
    with (
        receiver(ok, SECRETS["pager"], host="0.0.0.0") as pager,  # noqa: S104 - for the containers' bridge
        receiver(gone, SECRETS["retired"], host="0.0.0.0") as retired,  # noqa: S104
        running({"CacheSeconds": 0}, host="0.0.0.0") as stack,  # noqa: S104
    ):
        _stand_still(stack)
        registering.reach(stack, os.environ)
        urls = {"pager": pager.url, "retired": retired.url}
        hooks = [Hook(app, url.replace("127.0.0.1", HOST), SECRETS[app]) for app, url in urls.items()]
        registering.register("acme", ["ada@acme.example"], hooks)
        _only("pager")
        yield Scene(stack, pager, retired)


def _stand_still(stack: Stack) -> None:
    functions = stack.client("lambda")
    for mapping in functions.list_event_source_mappings()["EventSourceMappings"]:
        functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)


def _only(app_id: str) -> None:
    # notify's events are broadcasts: without this they would concern the retired app as well.
    for installation in Installation.query("acme"):
        if installation.app_id != app_id:
            installation.update(actions=[Installation.status.set("uninstalled")])


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


def _check(scene: Scene, variables: Path, event: str, effect: str, holds: Callable[[Scene], bool]) -> bool:
    answer = _invoke(FUNCTIONS[event.partition("/")[0]], EVENTS / f"{event}.json", variables, scene.stack)
    try:
        until(lambda: holds(scene), 5, effect)
        clean: bool = json.loads(answer.stdout) == {"batchItemFailures": []}
    except (TimeoutError, ValueError):
        clean = False
    print(f"{'ok    ' if clean else 'FAILED'}  {event}: {effect}", flush=True)
    if not clean:
        print(answer.stdout, answer.stderr[-4000:])
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
