"""The hard cases of isolation: a hundred unwell endpoints, most of them with a delivery a minute or less.

    python -m tests.bench hard [NAME ...]

Half of the deliveries go to a hundred apps, by Zipf's law; the deadline is the default. Two processes of their own
work on the Retries queue, as in a deployment: trials and retries do not take turns with first attempts.
"""

import contextlib
import itertools
import json
import random
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from bellhop import deliveries
from tests.bench import messages, own_network
from tests.bench.child import Child
from tests.bench.cloud import register
from tests.bench.fair_queue import FairQueue, Message
from tests.bench.isolation import BATCH, working
from tests.bench.rig import Rig, rig
from tests.bench.run import STORED
from tests.bench.stats import percentile

WORKERS, RETRY_WORKERS = 8, 2
RATE = 50.0  # deliveries a second, half of them to the healthy
HEALTHY, OTHERS = 20, 100  # apps
HEALTHY_MS = 50
SETTLE_SECONDS, SECONDS = 120.0, 60.0
AFTER_SECONDS = 15.0  # for what is in flight
PARAMETERS = {"DeliveryDeadlineSeconds": 10, "CacheSeconds": 60}


@dataclass(frozen=True)
class Case:
    """What the other endpoints do, and with which events; `others` is their share of the deliveries."""

    name: str
    behaviour: str = "hang"
    milliseconds: int = 0
    event: str = "issue.created"
    others: float = 0.5
    settle: float = SETTLE_SECONDS


CASES = (
    Case("alone", "ok", HEALTHY_MS, others=0.0, settle=15.0),
    Case("hang"),
    Case("hang, alerts only", event="metric_alert.open"),
    Case("respond with 500", "fail", HEALTHY_MS),
    Case("refuse connections", "refuse"),
    Case("slow but well: 5 s", "ok", 5000),
    Case("slow in bursts: 4.9 s", "bursts", 4900),
    Case("names that hang", "unresolved"),
)


def main() -> None:
    """Run the cases that are named, or all; print and store what came."""
    console, results = Console(), dict[str, Any]()
    chosen = [case for name in sys.argv[2:] for case in CASES if case.name == name] or CASES
    with (
        tempfile.TemporaryDirectory(prefix="bellhop-", ignore_cleanup_errors=True) as directory,
        rig(Path(directory)) as shared_rig,
        _children(shared_rig) as (workers, retry_workers),
    ):
        for case in chosen:
            results[case.name] = _run(shared_rig, case, workers, retry_workers)
            console.print(case.name, results[case.name])
    STORED.mkdir(parents=True, exist_ok=True)
    (STORED / "hard.json").write_text(json.dumps(results, indent=1) + "\n")


@contextlib.contextmanager
def _children(rig: Rig) -> Iterator[tuple[list[Child], list[Child]]]:
    environ = rig.cloud.environment("DeliverFunction", PARAMETERS)
    outage = str(rig.directory / "never")
    with contextlib.ExitStack() as stack:
        made = [
            stack.enter_context(rig.child("own_network:make", environ, rig.authorities, outage))
            for _ in range(WORKERS + RETRY_WORKERS)
        ]
        yield made[:WORKERS], made[WORKERS:]


def _run(rig: Rig, case: Case, workers: Sequence[Child], retry_workers: Sequence[Child]) -> dict[str, Any]:
    prefix = f"hard{zlib.crc32(case.name.encode()):08x}-"
    _register(rig, case, prefix)
    queue = FairQueue(time.monotonic)
    with working(queue, workers), retrying(rig, retry_workers):
        waited = Waited(queue, time.monotonic())
        _send(waited, case, prefix, case.settle)
        rig.receivers.call("take")
        sent = _send(waited, case, prefix, SECONDS)
        left = queue.size()
        time.sleep(AFTER_SECONDS)
    arrivals, _ = rig.receivers.call("take")
    delays = [seconds * 1000 for app, seconds in arrivals if app == "healthy"]
    return {
        "sent_to_healthy": sent,
        "arrived": len(delays),
        "p50_ms": round(percentile(delays, 0.5), 1) if delays else None,
        "p99_ms": round(percentile(delays, 0.99), 1) if delays else None,
        "left_in_queue": left,
        "most_waiting": waited.most,
        "backlog_until_s": round(waited.until),
        "to_others": len(arrivals) - len(delays),
    }


def _register(rig: Rig, case: Case, prefix: str) -> None:
    ports = itertools.cycle(rig.plain)
    urls = [f"http://localhost:{next(ports)}/ok/{HEALTHY_MS}/healthy" for _ in range(HEALTHY)]
    for number in range(OTHERS):
        port = 9 if case.behaviour == "refuse" else next(ports)  # nothing listens on the port for "discard"
        host = f"app{number}{own_network.HANGING}" if case.behaviour == "unresolved" else "localhost"
        urls.append(f"http://{host}:{port}/{case.behaviour}/{case.milliseconds}/other")
    register(rig.cloud, urls, prefix)


@dataclass
class Waited:
    """How many messages waited at most, and until when after `began` more than a batch did."""

    queue: FairQueue
    began: float
    most: int = 0
    until: float = 0.0

    def look(self) -> None:
        """Note how many wait now."""
        size = self.queue.size()
        self.most = max(self.most, size)
        if size > BATCH:
            self.until = time.monotonic() - self.began


def _send(waited: Waited, case: Case, prefix: str, seconds: float) -> int:
    """Send at random times, whether or not the workers keep up; how many went to healthy apps."""
    chosen, sent = random.Random(7), 0
    weights = [1 / rank for rank in range(1, OTHERS + 1)]
    due = time.monotonic()
    end = due + seconds
    while due < end:
        time.sleep(max(0.0, due - time.monotonic()))
        waited.look()
        if case.others and chosen.random() < case.others:
            [number] = chosen.choices(range(HEALTHY, HEALTHY + OTHERS), weights)
            put(waited.queue, f"{prefix}app{number}", case.event)
        else:
            put(waited.queue, f"{prefix}app{chosen.randrange(HEALTHY)}", "issue.created")
            sent += 1
        due += chosen.expovariate(RATE if case.others else RATE / 2)
    return sent


def put(queue: FairQueue, app: str, event: str) -> None:
    """Send a delivery of that event."""
    made = replace(messages.new_delivery(app, 0, sent=time.time()), event=event)
    queue.put(Message(app, deliveries.encode(made)))


@contextlib.contextmanager
def retrying(rig: Rig, children: Sequence[Child]) -> Iterator[None]:
    """Have the children work on the Retries queue."""
    over = threading.Event()
    threads = [threading.Thread(target=_retry, args=(rig, child, over)) for child in children]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _retry(rig: Rig, child: Child, over: threading.Event) -> None:
    """Lambda's poller for one worker of the Retries queue."""
    sqs, url = rig.cloud.client("sqs"), rig.cloud.names["Retries"]
    while not over.is_set():
        taken = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1).get("Messages", [])
        if taken:
            _handle(child, sqs, url, taken)


def _handle(child: Child, sqs: Any, url: str, taken: list[dict[str, Any]]) -> None:
    event = messages.event([messages.queue_message(message["Body"], queue="Retries") for message in taken])
    call: Callable[..., Any] = child.call
    _, _, [result] = call("run", [event])
    returned = {failure["itemIdentifier"] for failure in result["batchItemFailures"]}
    for record, message in zip(event["Records"], taken, strict=True):
        if record["messageId"] not in returned:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
