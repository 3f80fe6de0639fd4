"""How other apps' endpoints delay the deliveries to healthy ones: real workers, a modelled queue."""

import contextlib
import random
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bellhop import deliveries
from tests.bench import messages
from tests.bench.child import Child
from tests.bench.cloud import register
from tests.bench.fair_queue import FairQueue, Message
from tests.bench.rig import Rig
from tests.bench.stats import percentile

WORKERS, BATCH = 8, 10
DEADLINE_SECONDS = 1
HEALTHY, BAD = 20, 5  # apps
HEALTHY_MS, LOADED_MS = 50, 400  # a longer one counts as slow, and its app gets a lane of its own
SETTLE_SECONDS, LONG_SETTLE_SECONDS, SECONDS = 3.0, 15.0, 15.0  # deliveries of the settling time are not counted

# Retries have a queue and workers of their own; here they are due after the run.
PARAMETERS = {"DeliveryDeadlineSeconds": DEADLINE_SECONDS, "RetryDelaysSeconds": "900", "CacheSeconds": 60}


@dataclass(frozen=True)
class Scenario:
    """Deliveries per second to healthy endpoints, and to `others` ("hang" or "ok")."""

    name: str
    healthy: float
    others: float = 0.0
    behaviour: str = "hang"
    bad: int = BAD
    fair: bool = True
    settle: float = SETTLE_SECONDS


SCENARIOS = [
    Scenario("alone", 20),
    Scenario("10 % to hanging endpoints", 20, 20 / 9, settle=LONG_SETTLE_SECONDS),
    Scenario("50 % to hanging endpoints", 20, 20, settle=LONG_SETTLE_SECONDS),
    Scenario("one app sends 95 %", 12, 228, "ok", bad=1),
    Scenario("one app sends 95 %, without fair queues", 12, 228, "ok", bad=1, fair=False),
]
UNPAUSED = [
    Scenario("10 % to hanging endpoints, pause off", 20, 20 / 9),
    Scenario("50 % to hanging endpoints, pause off", 20, 20),
]


def measure(rig: Rig, on_progress: Callable[[str], None]) -> dict[str, Any]:
    """Percentiles of the delay from send to receipt at healthy endpoints, and their ratio to alone."""
    results = _all(rig, SCENARIOS, True, on_progress) | _all(rig, UNPAUSED, False, on_progress)
    alone = results["alone"]
    for result in results.values():
        result["ratio"] = {p: result[p] / alone[p] for p in ("p50_ms", "p99_ms")}
    return results


def _all(
    rig: Rig, scenarios: Sequence[Scenario], pause: bool, on_progress: Callable[[str], None]
) -> dict[str, Any]:
    environ = rig.cloud.environment("DeliverFunction", PARAMETERS)
    with contextlib.ExitStack() as stack:
        children = [
            stack.enter_context(rig.child("ours:make", environ, rig.authorities, pause)) for _ in range(WORKERS)
        ]
        return {scenario.name: _run(rig, scenario, children, on_progress) for scenario in scenarios}


def _run(
    rig: Rig, scenario: Scenario, children: Sequence[Child], on_progress: Callable[[str], None]
) -> dict[str, Any]:
    on_progress(f"isolation: {scenario.name}")
    _register(rig, scenario)
    queue = FairQueue(time.monotonic, scenario.fair)
    with working(queue, children):
        _send(queue, scenario, scenario.settle)
        rig.receivers.call("take")
        _send(queue, scenario, SECONDS)
        left = queue.size()
        time.sleep(2 * DEADLINE_SECONDS)  # for the deliveries in flight
    arrivals, _ = rig.receivers.call("take")
    return _delays(arrivals) | {"left_in_queue": left}


@contextlib.contextmanager
def working(queue: FairQueue, children: Sequence[Child]) -> Iterator[None]:
    """Have the children work on the queue."""
    over = threading.Event()
    workers = [threading.Thread(target=_work, args=(queue, child, over)) for child in children]
    for worker in workers:
        worker.start()
    try:
        yield
    finally:
        over.set()
        for worker in workers:
            worker.join()


def _register(rig: Rig, scenario: Scenario) -> None:
    """Each run has apps of its own, so that it starts without counters and pauses."""
    milliseconds = HEALTHY_MS if scenario.behaviour == "hang" else LOADED_MS
    paths = [f"ok/{HEALTHY_MS}/healthy"] * HEALTHY
    paths += [f"{scenario.behaviour}/{milliseconds}/bad"] * scenario.bad
    urls = [f"http://localhost:{port}/{path}" for port, path in zip(rig.plain, paths, strict=False)]
    register(rig.cloud, urls, prefix=_prefix(scenario))


def _prefix(scenario: Scenario) -> str:
    return f"run{zlib.crc32(scenario.name.encode()):08x}-"


def _send(queue: FairQueue, scenario: Scenario, seconds: float) -> None:
    """Send at random times, at the scenario's rate, whether or not the workers keep up."""
    chosen, prefix = random.Random(7), _prefix(scenario)
    rate = scenario.healthy + scenario.others
    due = time.monotonic()
    end = due + seconds
    while due < end:
        time.sleep(max(0.0, due - time.monotonic()))
        if chosen.random() < scenario.healthy / rate:
            app = f"{prefix}app{chosen.randrange(HEALTHY)}"
        else:
            app = f"{prefix}app{HEALTHY + chosen.randrange(scenario.bad)}"
        queue.put(Message(app, _message(app)))
        due += chosen.expovariate(rate)


def _message(app: str) -> str:
    return deliveries.encode(messages.new_delivery(app, 0, sent=time.time()))


def _work(queue: FairQueue, child: Child, over: threading.Event) -> None:
    """Lambda's poller for one worker: the next batch as soon as the last one is done."""
    while not over.is_set():
        taken = queue.take(BATCH, 0.2)
        if taken:
            child.call("run", [messages.event([messages.queue_message(message.content) for message in taken])])
            queue.done(taken)


def _delays(arrivals: list[tuple[str, float]]) -> dict[str, Any]:
    delays = [seconds * 1000 for app, seconds in arrivals if app == "healthy"]
    bad = sum(app == "bad" for app, _ in arrivals)
    return {
        "p50_ms": percentile(delays, 0.5),
        "p99_ms": percentile(delays, 0.99),
        "highest_ms": max(delays),
        "arrived": len(delays),
        "to_others": bad,
    }
