"""Billed units per delivery: the whole flow on the embedded AWS, every call counted."""

import json
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

from bellhop import circuits, tables
from deliver.circuit.slow import MOST_STAY_SECONDS
from tests.bench import messages, prices
from tests.bench.bill import Bill, longest_wall, median_wall
from tests.bench.child import Child
from tests.bench.cloud import TEMPLATE, register
from tests.bench.poller import REQUEST, Poller
from tests.bench.rig import Rig
from tests.bench.stats import draw, zipf

APPS = 100
FAILING = 0.02
LATENCY_MS, SLOW_MS = 150, 5000
SLOW_BATCHES = 8  # of the flow at slow endpoints
RETRY_PATIENCE = 3.0  # retries are due within two seconds here

SCHEMAS = {
    name: resource["Properties"]
    for name, resource in TEMPLATE["Resources"].items()
    if resource["Type"] == "AWS::DynamoDB::Table"
}


@dataclass(frozen=True)
class Profile:
    """How the queues feed deliver; `parameters` are the template's."""

    name: str
    batch: int
    deliveries: int
    a_minute: int = 3000  # deliveries of one busy process: ten at a time, in a little over 150 ms
    spread: bool = False  # every delivery of a batch to another app, instead of by Zipf's law
    parameters: dict[str, Any] = field(default_factory=dict)


_WIDE = {"Profile": "throughput"}
PROFILES = [
    Profile("default", 10, 600),
    Profile("throughput", 100, 600, parameters=_WIDE),
    Profile("batch of one", 1, 50, a_minute=350),
    Profile("default, every delivery another app", 10, 200, spread=True),
    Profile("throughput, every delivery another app", 100, 200, spread=True, parameters=_WIDE),
]


def measure(rig: Rig, on_progress: Callable[[str], None]) -> dict[str, Any]:
    """Counted units and their price, for each profile."""
    return {profile.name: of_profile(rig, profile, on_progress) for profile in PROFILES}


def of_profile(rig: Rig, profile: Profile, on_progress: Callable[[str], None]) -> dict[str, Any]:
    """One profile: the flow at quick endpoints, and at slow ones, whose apps are on the list of slow apps."""
    on_progress(f"billed units: {profile.name}")
    with ExitStack() as stack:
        _endpoints(rig, LATENCY_MS)
        bill = _flow(rig, profile, stack)
    slow_profile = replace(profile, deliveries=SLOW_BATCHES * profile.batch)
    with ExitStack() as stack:
        _endpoints(rig, SLOW_MS, slow=True)
        slow = _flow(rig, slow_profile, stack)
    return _result(profile, bill, slow_profile, slow)


def _result(profile: Profile, bill: Bill, slow_profile: Profile, slow: Bill) -> dict[str, Any]:
    number = profile.deliveries
    total = bill.total(number)
    return {
        "deliveries": number,
        "batch": profile.batch,
        "per_million": {kind: getattr(total, kind) * 1_000_000 / number for kind in prices.PRICES},
        "dollars": prices.dollars(total),
        "dollars_slow": prices.dollars(slow.total(slow_profile.deliveries)),
        "median_wall_ms": median_wall(bill.invocations["DeliverFunction"]),
        "slow_batch_ms": longest_wall(slow.invocations["DeliverFunction"]),
        "for_each_delivery": bill.detail(number),
    }


def _endpoints(rig: Rig, milliseconds: int, *, slow: bool = False) -> None:
    ports = enumerate(rig.tls[:APPS])
    register(rig.cloud, [f"https://localhost:{port}/ok/{milliseconds}/app{app}" for app, port in ports])
    tables.bind(
        tables.connect(), dict.fromkeys((circuits.Circuit, circuits.SlowList), rig.cloud.names["Circuits"])
    )
    listed = [f"app{app}" for app in range(APPS)]
    if slow:
        circuits.list_slow(listed)
        for app_id in listed:  # for a while already
            circuits.keep_slow(circuits.load(app_id), time.time() + MOST_STAY_SECONDS, MOST_STAY_SECONDS)
    else:
        circuits.unlist_slow(listed)  # what an earlier profile left


def _functions(rig: Rig, parameters: dict[str, Any], stack: ExitStack) -> dict[str, Child]:
    def start(name: str, factory: str, *arguments: Any) -> Child:
        environ = rig.cloud.environment(name, parameters)
        return stack.enter_context(rig.child(f"lambdas:{factory}", environ, *arguments))

    return {
        "NotifyFunction": start("NotifyFunction", "other", "notify", SCHEMAS),
        "DeliverFunction": start("DeliverFunction", "deliver", rig.authorities, SCHEMAS),
        "HealthFunction": start("HealthFunction", "other", "health", SCHEMAS),
    }


def _flow(rig: Rig, profile: Profile, stack: ExitStack) -> Bill:
    # Caches last for an hour: what a process reads once a minute is counted once, however long the bench takes.
    parameters = {"RetryDelaysSeconds": "1,60", "CacheSeconds": "3600"} | profile.parameters
    functions = _functions(rig, parameters, stack)
    bill, filling, listing = Bill(), Bill(), Bill()

    def drain(queue: str, function: str, batch: int, patience: float = 0.0, to: Bill = bill) -> None:
        Poller(rig.cloud, queue, function, batch, patience).drain(functions[function], to)

    # First, one delivery for each app fills the caches, which is counted apart and shared out below. Each of them
    # fails once: a process that has run for minutes has seen every app fail, and then reads its circuit.
    _publish(rig, list(range(APPS)), failing=1)
    drain("IssueEvents", "NotifyFunction", REQUEST, to=filling)
    drain("Deliveries", "DeliverFunction", APPS, to=filling)
    drain("Retries", "DeliverFunction", APPS, RETRY_PATIENCE, to=filling)

    # Then one more, so that the process has listed its page of the log for each app, which it does once an hour.
    _publish(rig, list(range(APPS)), failing=0)
    drain("IssueEvents", "NotifyFunction", REQUEST, to=listing)
    drain("Deliveries", "DeliverFunction", APPS, to=listing)
    drain("Retries", "DeliverFunction", APPS, RETRY_PATIENCE, to=listing)

    _publish(rig, _apps(profile), failing=FAILING)
    drain("IssueEvents", "NotifyFunction", min(profile.batch, REQUEST))
    drain("Deliveries", "DeliverFunction", profile.batch)
    failures = list(bill.failures)
    drain("Retries", "DeliverFunction", profile.batch, RETRY_PATIENCE)
    for image in failures:
        bill.add("HealthFunction", functions["HealthFunction"].call("run", stream_event(image)))
    settled = functions["DeliverFunction"].call("settle")
    bill.add_share(filling, settled, profile.deliveries / profile.a_minute)
    bill.add_hourly(listing, profile.deliveries / (profile.a_minute * 60))
    return bill


def _apps(profile: Profile) -> list[int]:
    number = profile.deliveries
    return [n % APPS for n in range(number)] if profile.spread else draw(zipf(APPS), number, seed=3)


def _publish(rig: Rig, apps: Sequence[int], failing: float) -> None:
    every = round(1 / failing) if failing else len(apps) + 1
    entries = [
        {
            "Id": str(n),
            "MessageBody": issue_event(n, app, fails=n % every == every - 1),
            "MessageGroupId": f"org{app}",
        }
        for n, app in enumerate(apps)
    ]
    url = rig.cloud.names["IssueEvents"]
    for start in range(0, len(apps), REQUEST):
        rig.cloud.client("sqs").send_message_batch(QueueUrl=url, Entries=entries[start : start + REQUEST])


def issue_event(number: int, app: int, *, fails: bool) -> str:
    """An event for the one app of an organisation; `fails` asks the endpoint to refuse it once."""
    return json.dumps(
        {
            "event_id": f"ev{number}-{time.time_ns()}",
            "type": "created",
            "organization_id": f"org{app}",
            "project_id": "17",
            "user": {"id": 7, "name": "Ada Lovelace"},
            "issue": {"id": str(number), "text": messages.text(messages.BODY_BYTES - 170, number)},
            "data": {"fails_once": True} if fails else {},
        }
    )


def stream_event(image: Any) -> dict[str, Any]:
    """The event in which the Outcomes stream hands a row to health."""
    keys = {name: image[name] for name in ("scope", "generation_day")}
    change = {"Keys": keys, "NewImage": image, "SequenceNumber": "1"}
    named = {"eventID": "1", "eventName": "MODIFY", "eventSource": "aws:dynamodb"}
    return {"Records": [named | {"dynamodb": change}]}
