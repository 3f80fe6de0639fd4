"""A worker dies before or after any one effect, and the chain of attempts goes on as if it had not."""

import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from bellhop import attempts, deliveries
from bellhop.deliveries import Retry
from bellhop.successes import SuccessPack
from deliver.counting import Ledger
from deliver.desk import Desk, Policy
from deliver.dispatch import process
from deliver.posting import Workers
from deliver.signing import Keys
from deliver.watch import Watch
from tests.endpoint import TIMEOUT, Clock, Endpoint, answer, record
from tests.fakes import SECRET, Recorder, app, delivery, sqs_record

DELAYS = (5, 60, 300)
VISIBILITY = 180.0  # seconds until SQS sends a dead worker's message again; longer than a lease
EFFECTS = 24  # more than any run below has, so that the last ones run without a crash


class DeathError(BaseException):
    """The process is gone: no boundary catches it."""


@dataclasses.dataclass
class World:
    """A queue, a clock and a worker that dies at the `fatal`-th effect, before or after it happened."""

    fatal: int
    after: bool
    endpoint: Endpoint
    clock: Clock = dataclasses.field(default_factory=Clock)
    queue: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    effects: int = 0
    died: bool = False

    def effect(self, act: Callable[..., Any]) -> Callable[..., Any]:
        """`act`, where the worker may die."""

        def dangerous(*args: Any, **kwargs: Any) -> Any:
            self.effects += 1
            here = self.effects == self.fatal
            if here and not self.after:
                raise DeathError
            result = act(*args, **kwargs)
            if here:
                raise DeathError
            return result

        return dangerous

    def remind(self, retry: Retry, seconds: int) -> None:
        self.queue.append(sqs_record(deliveries.encode(retry), f"m{len(self.queue)}-{seconds}"))

    def run(self, desk: Desk) -> None:
        """Work the queue off; time passes before every message."""
        post = self.effect(self.endpoint)
        while self.queue:
            message = self.queue.pop(0)
            self.clock.move(VISIBILITY * 2)
            with ThreadPoolExecutor(1) as pool:
                try:
                    kept = process([message], desk, Workers(pool, 1, post, lambda: True, lambda _: None))
                except DeathError:
                    self.died, kept = True, [message["messageId"]]
            if kept:
                count = int(message["attributes"]["ApproximateReceiveCount"]) + 1
                self.queue.append(sqs_record(message["body"], message["messageId"], count))


def simulate(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("open_record", "claim", "finish", "load"):
        monkeypatch.setattr(attempts, name, world.effect(getattr(attempts, name)))
    desk = Desk(
        app={"pager": app()}.get,
        keys=lambda _: Keys(SECRET),
        remind=world.effect(world.remind),
        policy=Policy(DELAYS, lease=30),
        ledger=Ledger(lambda: 0.0),
        watch=Watch(lambda: world.clock().timestamp()),
        telemetry=Recorder(),
        now=world.clock,
        uniform=lambda low, high: 0.0,
        token=iter(map(str, range(1000))).__next__,
    )
    world.queue.append(sqs_record(delivery()))
    world.run(desk)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("fatal", range(1, EFFECTS + 1))
@pytest.mark.parametrize("failures", [1, 2, 99])
def test_a_chain_neither_ends_nor_forks_wherever_a_worker_dies(
    aws: None, monkeypatch: pytest.MonkeyPatch, failures: int, fatal: int, after: bool
) -> None:
    endpoint = Endpoint(*[TIMEOUT] * failures, answer(200))
    world = World(fatal, after, endpoint)
    simulate(world, monkeypatch)
    monkeypatch.undo()
    if attempts.load(delivery().delivery_id) is None:  # the one failure was lost with the worker
        [packed] = SuccessPack.scan()
        assert [entry["delivery_id"] for entry in packed.entries] == [delivery().delivery_id]
        return
    made = record().history
    # What a death can do is make one attempt twice, the first time unrecorded.
    assert len(endpoint.posted) <= len(made) + world.died
    assert [entry["n"] for entry in made] == list(range(1, len(made) + 1))
    if failures < len(DELAYS):
        assert record().state == "delivered"
    else:
        assert (record().state, len(made)) == ("exhausted", 1 + len(DELAYS))
