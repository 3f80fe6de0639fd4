"""What would wear processes down: many hosts, hostile endpoints on a slow processor, an outage of our own.

python -m tests.bench pressure [hosts|processor|no-route|silence ...]
"""

import contextlib
import itertools
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
from rich.console import Console

from tests.bench import messages
from tests.bench.child import Child, child
from tests.bench.cloud import machine, memory, register
from tests.bench.fair_queue import FairQueue
from tests.bench.hard import HEALTHY, PARAMETERS, RETRY_WORKERS, WORKERS, put, retrying
from tests.bench.isolation import working
from tests.bench.prices import FULL_VCPU_MB
from tests.bench.rig import Rig, rig
from tests.bench.run import STORED
from tests.bench.stats import percentile

HOSTS, AT_A_TIME, DESCRIPTORS = 300, 100, 1024
SHARE, PERIOD_SECONDS = memory("DeliverFunction") / FULL_VCPU_MB, 0.1  # of a processor: what deliver has
GOOD, BAD, BATCHES = 50, 50, 6
RATE, SETTLE_SECONDS, OUTAGE_SECONDS, RECOVERY_SECONDS = 25.0, 20.0, 60.0, 400.0


def main() -> None:
    """Run the parts that are named, or all; print and store what came."""
    console, results = Console(), dict[str, Any]()
    with (
        tempfile.TemporaryDirectory(prefix="bellhop-", ignore_cleanup_errors=True) as directory,
        rig(Path(directory)) as shared_rig,
    ):
        for name in [name for name in PARTS if name in sys.argv[2:]] or PARTS:
            results[name] = PARTS[name](shared_rig)
            console.print(name, results[name])
    STORED.mkdir(parents=True, exist_ok=True)
    (STORED / "pressure.json").write_text(json.dumps(results, indent=1) + "\n")


def _hosts(rig: Rig) -> dict[str, Any]:
    """A hundred deliveries at a time to each of 300 hosts in turn, in one process with 1,024 descriptors."""
    ports = itertools.cycle(rig.plain)
    register(rig.cloud, [_url(f"host{n}", next(ports), "ok/0/host") for n in range(HOSTS)], "hosts-")
    rig.receivers.call("take")
    returned, most = 0, 0
    with _process(rig, descriptors=DESCRIPTORS) as process:
        for number in range(HOSTS):
            batch = [_message(f"hosts-app{number}") for _ in range(AT_A_TIME)]
            _, _, [result] = process.call("run", [messages.event(batch)])
            returned += len(result["batchItemFailures"])
            most = max(most, process.call("descriptors"))
    arrivals, _ = rig.receivers.call("take")
    return {
        "sent": HOSTS * AT_A_TIME,
        "arrived": len(arrivals),
        "returned": returned,
        "most_descriptors": most,
    } | _judged(rig, "hosts-")


def _processor(rig: Rig) -> dict[str, Any]:
    """Fifty healthy endpoints in a batch with fifty hostile ones, on the share of a processor that deliver has."""
    certificate = str(rig.directory / "localhost.pem")
    log = rig.directory / "hostile.log"
    with (
        child("tests.bench.hostile_servers:HostileServers", machine(), log, certificate) as servers,
        _process(rig, pause=False) as process,
    ):
        hostile = itertools.cycle(servers.call("urls"))
        urls = [f"http://localhost:{port}/ok/50/healthy" for port in rig.plain[:GOOD]]
        register(rig.cloud, [*urls, *itertools.islice(hostile, BAD)], "busy-")
        apps = [f"busy-app{n}" for n in range(GOOD + BAD)]
        process.call("run", [_batch(apps)])  # connections, caches
        with _throttled(process.call("pid")):
            alone = [_healthy(rig, process, apps[:GOOD]) for _ in range(BATCHES)]
            beside = [_healthy(rig, process, apps) for _ in range(BATCHES)]
    return {"alone": _summary(alone), "beside hostile endpoints": _summary(beside)}


def _no_route(rig: Rig) -> dict[str, Any]:
    """For a minute there is no route, and the resolver says "try again"."""
    outage = rig.directory / "outage"

    def switch(on: bool) -> None:
        outage.touch() if on else outage.unlink()

    return _outage(rig, "no-route", switch)


def _silence(rig: Rig) -> dict[str, Any]:
    """For a minute nothing that is sent gets a response."""
    return _outage(rig, "silence", lambda on: rig.receivers.call("hush", on))


PARTS: dict[str, Callable[[Rig], dict[str, Any]]] = {
    "hosts": _hosts,
    "processor": _processor,
    "no-route": _no_route,
    "silence": _silence,
}


# ---- Processes


@contextlib.contextmanager
def _process(rig: Rig, descriptors: int | None = None, pause: bool = True) -> Iterator[Child]:
    environ = rig.cloud.environment("DeliverFunction", PARAMETERS)
    outage = str(rig.directory / "outage")
    with rig.child("own_network:make", environ, rig.authorities, outage, descriptors, pause) as process:
        yield process


@contextlib.contextmanager
def _throttled(pid: int) -> Iterator[None]:
    """Give a process SHARE of a processor, in slices, as Lambda does."""
    over = threading.Event()

    def slice_time() -> None:
        while not over.is_set():
            os.kill(pid, signal.SIGCONT)
            time.sleep(SHARE * PERIOD_SECONDS)
            os.kill(pid, signal.SIGSTOP)
            time.sleep((1 - SHARE) * PERIOD_SECONDS)
        os.kill(pid, signal.SIGCONT)

    slicing = threading.Thread(target=slice_time)
    slicing.start()
    try:
        yield
    finally:
        over.set()
        slicing.join()


# ---- Deliveries


def _url(name: str, port: int, path: str) -> str:
    return f"http://hooks.{name}-bench.example:{port}/{path}"


def _message(app: str) -> dict[str, Any]:
    return messages.of_delivery(replace(messages.new_delivery(app, 0, sent=time.time()), enqueued_at=time.time()))


def _batch(apps: Sequence[str]) -> dict[str, Any]:
    return messages.event([_message(app) for app in apps])


def _healthy(rig: Rig, process: Child, apps: Sequence[str]) -> list[float]:
    """Milliseconds from sending to arrival of what reached the healthy endpoints in one batch."""
    rig.receivers.call("take")
    process.call("run", [_batch(apps)])
    arrivals, _ = rig.receivers.call("take")
    return [seconds * 1000 for app, seconds in arrivals if app == "healthy"]


def _summary(batches: Sequence[list[float]]) -> dict[str, Any]:
    delays = [delay for batch in batches for delay in batch]
    return {
        "sent": GOOD * len(batches),
        "arrived": len(delays),
        "p50_ms": round(percentile(delays, 0.5)),
        "highest_ms": round(max(delays)),
    }


# ---- An outage of ours


def _outage(rig: Rig, name: str, switch: Callable[[bool], None]) -> dict[str, Any]:
    ports = itertools.cycle(rig.plain)
    register(rig.cloud, [_url(f"{name}{n}", next(ports), "close/50/healthy") for n in range(HEALTHY)], f"{name}-")
    queue = FairQueue(time.monotonic)
    with _fleet(rig) as (workers, retry_workers), working(queue, workers), retrying(rig, retry_workers):
        rig.receivers.call("take")
        sent = _send(queue, name, SETTLE_SECONDS)
        switch(True)
        try:
            sent += _send(queue, name, OUTAGE_SECONDS)
        finally:
            switch(False)
        sent += _send(queue, name, SETTLE_SECONDS)
        arrived, seconds = _recover(rig, sent)
    return {"sent": sent, "arrived": arrived, "recovered_after_s": seconds} | _judged(rig, f"{name}-")


@contextlib.contextmanager
def _fleet(rig: Rig) -> Iterator[tuple[list[Child], list[Child]]]:
    with contextlib.ExitStack() as stack:
        made = [stack.enter_context(_process(rig)) for _ in range(WORKERS + RETRY_WORKERS)]
        yield made[:WORKERS], made[WORKERS:]


def _send(queue: FairQueue, name: str, seconds: float) -> int:
    end, sent = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        put(queue, f"{name}-app{sent % HEALTHY}", "issue.created")
        sent += 1
        time.sleep(1 / RATE)
    return sent


def _recover(rig: Rig, sent: int) -> tuple[int, int]:
    """How many arrived, once all did or the time is over; and the seconds it took after the last was sent."""
    began, arrived = time.monotonic(), 0
    while time.monotonic() < began + RECOVERY_SECONDS:
        arrivals, _ = rig.receivers.call("take")
        arrived += len(arrivals)
        if arrived >= sent:
            break
        time.sleep(1)
    return arrived, round(time.monotonic() - began)


def _judged(rig: Rig, prefix: str) -> dict[str, int]:
    """What was counted against the apps: timeouts, and apps that are paused."""
    scan = boto3.client("dynamodb").scan
    outcomes = scan(TableName=rig.cloud.names["Outcomes"])["Items"]
    circuits = scan(TableName=rig.cloud.names["Circuits"])["Items"]
    of_case = [row for row in outcomes if prefix in str(row)]
    paused = [row for row in circuits if row["app_id"]["S"].startswith(prefix) and "paused_since" in row]
    return {
        "counted_as_timeouts": sum(int(row.get("timeout", {}).get("N", "0")) for row in of_case),
        "paused": len(paused),
    }
