"""Fan-out of one event to many installations, beside nine small events: memory, processor time, calls, rounds.

notify is real down to the HTTP connection, where the responses of SQS and DynamoDB are made up. Each case has a
process of its own, with a limit on its address space. Time passes as it does on Lambda with 512 MB: 0.29 of a
processor, and some milliseconds for each call.
"""

import base64
import json
import multiprocessing
import os
import random
import resource
import time
from collections import Counter
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

from botocore.awsrequest import AWSRequest, AWSResponse
from rich.console import Console
from rich.table import Table

from bellhop import aws, tables
from bellhop.backoff import Backoff
from bellhop.budget import Budget
from bellhop.queues import Queue
from bellhop.registry import App, Installation, Organization, Registry
from notify.intake import NotifyDependencies, process
from tests.support.fakes import Recorder, app, installation, issue_event, organization

INSTALLATIONS = (1, 10, 100, 1_000, 10_000)
KILOBYTES = (1.5, 50, 250)
NEIGHBOURS = 9
MEMORY = 512 * 2**20
TIMEOUT = 30.0
PROCESSOR = 0.29  # of one, with 512 MB
CALL_SECONDS = 0.01


@dataclass
class Result:
    """What a case took. `first` is the number of neighbours that were enqueued in the first round."""

    megabytes: float
    base_megabytes: float
    cpu: float
    sends: int
    reads: int
    rounds: int
    first: int
    once: bool  # whether each installation got the event exactly once


@dataclass
class Cloud:
    """SQS and DynamoDB, as far as notify knows them; counts calls."""

    installed: list[Installation]
    calls: Counter[str] = field(default_factory=Counter)
    enqueued: Counter[str] = field(default_factory=Counter)  # by event and installation
    waiting: list[dict[str, Any]] = field(default_factory=list)

    def respond(self, request: AWSRequest, **_: Any) -> AWSResponse:
        target = request.headers["X-Amz-Target"]
        operation = (target.decode() if isinstance(target, bytes) else str(target)).rpartition(".")[2]
        self.calls[operation] += 1
        content = getattr(self, f"_{operation}")(json.loads(request.body))
        response = AWSResponse(str(request.url), 200, cast("Any", {}), cast("Any", SimpleNamespace()))
        response._content = json.dumps(content).encode()  # type: ignore[attr-defined]
        return response

    def receive(self, body: str, attributes: dict[str, Any]) -> None:
        count = {"ApproximateReceiveCount": "1", "SentTimestamp": str(int(time.time() * 1000))}
        number = f"m{self.calls.total()}-{len(self.waiting)}"
        named = {name: {"stringValue": value["StringValue"]} for name, value in attributes.items()}
        self.waiting.append({"messageId": number, "body": body, "attributes": count, "messageAttributes": named})

    def _SendMessageBatch(self, call: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        for entry in call["Entries"]:
            if call["QueueUrl"].endswith("events"):
                self.receive(entry["MessageBody"], entry["MessageAttributes"])
            else:
                head = json.loads(entry["MessageBody"])
                self.enqueued[f"{head['event_id']} {head['installation_id']}"] += 1
        return {"Successful": [{"Id": entry["Id"]} for entry in call["Entries"]], "Failed": []}

    def _GetItem(self, call: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        key = {name: value["S"] for name, value in call["Key"].items()}
        if call["TableName"] == "organizations":
            return {"Item": organization().to_dynamodb_dict()}
        if call["TableName"] == "apps":
            return {"Item": app(key["app_id"]).to_dynamodb_dict()}
        return {"Item": self.installed[0].to_dynamodb_dict()}

    def _Query(self, call: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        names = [value["S"] for value in call["ExpressionAttributeValues"].values()]
        start = next((int(name[3:]) + 1 for name in names if name.startswith("in-")), 0)
        page = self.installed[start : start + call["Limit"]]
        more = start + len(page) < len(self.installed)
        last = {"LastEvaluatedKey": {n: page[-1].to_dynamodb_dict()[n] for n in KEY}} if more else {}
        return {
            "Items": [row.to_dynamodb_dict() for row in page],
            "Count": len(page),
            "ScannedCount": len(page),
            **last,
        }


KEY = ("organization_id", "installation_id")


def main() -> None:
    """Measure each case and print a table."""
    shown = Table(title="notify's fan-out, 512 MB, nine small events in the same batch")
    columns = (
        "installations, event KB, peak MB (before), CPU s, SendMessageBatch, reads, rounds, neighbours first, once"
    )
    for name in columns.split(", "):
        shown.add_column(name, justify="right")
    for kilobytes in KILOBYTES:
        for number in INSTALLATIONS:
            r = _in_a_process(number, kilobytes)
            memory = f"{r.megabytes:.0f} ({r.base_megabytes:.0f})"
            counts = (r.sends, r.reads, r.rounds, f"{r.first} of {NEIGHBOURS}", "yes" if r.once else "NO")
            shown.add_row(f"{number:,}", f"{kilobytes:g}", memory, f"{r.cpu:.2f}", *map(str, counts))
    Console(width=None if os.isatty(1) else 160).print(shown)


def _in_a_process(number: int, kilobytes: float) -> Result:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, (number, kilobytes))


def measure(number: int, kilobytes: float) -> Result:
    """One case, in this process."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    os.environ |= dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "x") | {
        "AWS_DEFAULT_REGION": "x-y-1"
    }
    cloud = Cloud([installation(f"{n:05}") for n in range(number)])
    deps = _dependencies(cloud)
    cloud.receive(json.dumps(_event(kilobytes)), {})
    for n in range(NEIGHBOURS):
        cloud.receive(json.dumps(issue_event(event_id=f"small{n}", installation_id="in-00000")), {})
    base, begun, rounds, first = _peak(), time.process_time(), 0, 0
    while cloud.waiting:
        batch, cloud.waiting = cloud.waiting[:10], cloud.waiting[10:]
        assert process(batch, deps, _Remaining(cloud)) == [], deps.telemetry
        rounds += 1
        first = first or sum(name.startswith("small") for name in cloud.enqueued)
    return Result(
        megabytes=_peak(),
        base_megabytes=base,
        cpu=time.process_time() - begun,
        sends=cloud.calls["SendMessageBatch"],
        reads=cloud.calls["GetItem"] + cloud.calls["Query"],
        rounds=rounds,
        first=first,
        once=len(cloud.enqueued) == number + NEIGHBOURS and set(cloud.enqueued.values()) == {1},
    )


class _Remaining:
    """The seconds that are left of an invocation that begins now."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._begun = self._spent()

    def __call__(self) -> float:
        return TIMEOUT - (self._spent() - self._begun)

    def _spent(self) -> float:
        return time.process_time() / PROCESSOR + self._cloud.calls.total() * CALL_SECONDS


def _dependencies(cloud: Cloud) -> NotifyDependencies:
    emitter = aws.core().get_component("event_emitter")
    emitter.register("before-send", cloud.respond)
    tables.bind(tables.connect(), {model: model.Meta.table_name for model in (Organization, App, Installation)})
    sqs = aws.client("sqs")
    queues = {name: Queue(sqs, f"https://sqs.x-y-1.amazonaws.com/1/{name}") for name in ("deliveries", "events")}
    return NotifyDependencies(
        hooks=Registry(60.0, time.monotonic),
        deliveries=queues["deliveries"],
        dead_letters=queues["events"],
        events=queues["events"],
        telemetry=Recorder(),
        backoff=Backoff(0.1),
        now=time.time,
        budget=Budget(),
    )


def _event(kilobytes: float) -> dict[str, Any]:
    """An event of that size whose text compresses to about three quarters."""
    noise = base64.b64encode(random.Random(1).randbytes(int(kilobytes * 750))).decode()
    event = issue_event(issue={"id": "42", "title": ""})
    event["issue"]["title"] = noise[: int(kilobytes * 1000) - len(json.dumps(event))]
    return event


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
