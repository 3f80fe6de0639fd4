"""Processor time per delivery: our handler, the straightforward Lambda and a bare Session, side by side."""

import contextlib
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import boto3

from tests.bench import messages
from tests.bench.child import Child
from tests.bench.cloud import register
from tests.bench.rig import Rig
from tests.bench.stats import draw, zipf

APPS = 100
ROUNDS = 3
BATCHES = (1, 10, 100)
WHOLE_WAY, WHOLE_BATCHES = "plain HTTP", (1, 10)
WHOLE_ROUND = 240  # batches, a minute of its clock: what is cached expires once

# How connections are made: scheme, the endpoints' behaviour, deliveries in a round.
WAYS = {
    "kept-alive HTTPS": ("https", "ok", 300),
    "new HTTPS": ("https", "close", 60),
    "plain HTTP": ("http", "ok", 200),
}


@dataclass(frozen=True)
class Runner:
    """A contender: its process, the size of its batches, and what makes a queue message for it."""

    name: str
    child: Child
    batch: int
    queue_message: Callable[[str, str, int], dict[str, Any]]
    number: int | None = None  # deliveries in a round, if not as many as the others


def measure(rig: Rig, on_progress: Callable[[str], None]) -> dict[str, Any]:
    """Microseconds of processor time per delivery, for each way and contender."""
    results: dict[str, Any] = {}
    for way, (scheme, behaviour, number) in WAYS.items():
        on_progress(f"processor time: {way}")
        ports = rig.tls if scheme == "https" else rig.plain
        urls = [f"{scheme}://localhost:{port}/{behaviour}/0/app{i}" for i, port in enumerate(ports[:APPS])]
        register(rig.cloud, urls)
        with _runners(rig, whole=way == WHOLE_WAY) as runners:
            results[way] = _compare(runners, urls, number)
    return results


@contextlib.contextmanager
def _runners(rig: Rig, whole: bool) -> Iterator[list[Runner]]:
    _table()
    environ = rig.cloud.environment("DeliverFunction", {})
    both = rig.cloud.environment("NotifyFunction", {}) | environ
    trusting = environ | {"REQUESTS_CA_BUNDLE": rig.authorities}
    with (
        rig.child("ours:make", environ, rig.authorities) as ours,
        rig.child("whole:make", both, rig.authorities) as path,
        rig.child("straightforward:make", trusting) as plain,
        rig.child("kept_session:make", trusting) as kept,
        rig.child("bare_session:make", trusting) as bare,
    ):
        yield [
            *(Runner(f"bellhop, batch {batch}", ours, batch, _ours) for batch in BATCHES),
            *(
                Runner(f"bellhop, whole path, batch {batch}", path, batch, _both, WHOLE_ROUND * batch)
                for batch in (WHOLE_BATCHES if whole else ())
            ),
            Runner("straightforward", plain, 10, _theirs),
            Runner("straightforward, with a kept Session", kept, 10, _theirs),
            Runner("bare Session", bare, 10, _theirs),
        ]


def _table() -> None:
    with contextlib.suppress(boto3.client("dynamodb").exceptions.ResourceInUseException):
        boto3.client("dynamodb").create_table(
            TableName="sent",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "delivery_id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "delivery_id", "KeyType": "HASH"}],
        )


def _ours(app: str, _: str, number: int) -> dict[str, Any]:
    return messages.of_delivery(messages.new_delivery(app, number))


def _both(app: str, _: str, number: int) -> dict[str, Any]:
    return messages.of_both(messages.new_delivery(app, number))


def _theirs(app: str, url: str, number: int) -> dict[str, Any]:
    return messages.of_url(url, messages.new_delivery(app, number))


def _compare(runners: list[Runner], urls: list[str], number: int) -> dict[str, Any]:
    """Interleave the contenders' rounds, so that a change of the machine's speed affects all of them alike."""
    taken: dict[str, list[float]] = {runner.name: [] for runner in runners}
    for runner in runners:
        _warm(runner, urls, number)
    for turn in range(ROUNDS):
        for runner in runners:
            ranks = draw(zipf(len(urls)), runner.number or number, seed=turn)
            taken[runner.name].append(_round(runner, urls, ranks) / len(ranks))
    return {name: _summary(values) for name, values in taken.items()}


def _warm(runner: Runner, urls: list[str], number: int) -> None:
    """Fill the caches and open the connections, also the further ones to apps that are in a batch twice."""
    _round(runner, urls, list(range(len(urls))))
    if runner.queue_message in {_ours, _both}:
        _round(runner, urls, draw(zipf(len(urls)), 2 * number, seed=99))


def _round(runner: Runner, urls: list[str], ranks: list[int]) -> float:
    queue_messages = [runner.queue_message(f"app{rank}", urls[rank], n) for n, rank in enumerate(ranks)]
    events = [
        messages.event(queue_messages[start : start + runner.batch])
        for start in range(0, len(queue_messages), runner.batch)
    ]
    cpu, _, results = runner.child.call("run", events)
    if any(result and result["batchItemFailures"] for result in results):
        raise RuntimeError(f"{runner.name} returned messages to the queue; see its output")
    return float(cpu)


def _summary(seconds: list[float]) -> dict[str, float]:
    median = statistics.median(seconds)
    return {
        "cpu_us": median * 1e6,
        "lowest_us": min(seconds) * 1e6,
        "highest_us": max(seconds) * 1e6,
        "per_second_and_core": 1 / median,
    }
