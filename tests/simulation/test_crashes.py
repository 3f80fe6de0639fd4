"""A worker dies before or after any one effect, and the chain of attempts goes on as if it had not."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from bellhop import app_lists, attempts, circuits, deliveries
from bellhop.attempts import EXHAUSTED, PARKED, DeliveryRecord, NextState
from bellhop.deliveries import Delivery, Retry, Trial
from bellhop.queues import OutgoingMessage
from bellhop.registry import App
from deliver.batch import process
from deliver.dependencies import DeliverDependencies, Invocation, RetryPolicy
from deliver.http.response import Response, SendFailure
from deliver.success_buffer import SuccessBuffer
from tests.support.endpoint import (
    TIMEOUT,
    Apps,
    Clock,
    Endpoint,
    FakeBus,
    dependencies,
    packed,
    record,
    response,
)
from tests.support.fakes import NOW, app, delivery, queue_message

DELAYS = (5, 60, 300)
ALL = 1 + len(DELAYS)  # attempts
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
    bus: FakeBus = dataclasses.field(default_factory=FakeBus)
    app: App = dataclasses.field(default_factory=app)
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

    # What the function is handed, each call an effect.

    def send(self, retry: Retry, seconds: int) -> None:
        message = queue_message(deliveries.encode(retry), f"m{len(self.queue)}-{seconds}")
        self.effect(self.queue.append)(message)

    def send_all(self, retries: Sequence[tuple[Retry, int]]) -> set[int]:
        for retry, seconds in retries:
            self.send(retry, seconds)
        return set()

    def hand_over(self, handed: Sequence[Delivery]) -> set[int]:
        for each in handed:
            self.effect(self.queue.append)(queue_message(deliveries.encode(each), f"m{len(self.queue)}"))
        return set()

    def send_trial(self, trial: Trial, seconds: int) -> None:
        message = queue_message(deliveries.encode(trial), f"m{len(self.queue)}-{seconds}")
        self.effect(self.queue.append)(message)

    def wait(self, messages: Sequence[OutgoingMessage]) -> set[int]:
        raise AssertionError("nothing here is of a newer version")

    def publish(self, kind: str, event_id: str, detail: dict[str, Any]) -> None:
        self.effect(self.bus.publish)(kind, event_id, detail)

    def post(
        self, app_id: str, url: str, headers: Mapping[str, str], body: bytes, seconds: float
    ) -> Response | SendFailure:
        outcome: Response | SendFailure = self.effect(self.endpoint.post)(app_id, url, headers, body, seconds)
        return outcome

    def run(self, deps: DeliverDependencies) -> None:
        """Work the queue off; time passes before every message."""
        while self.queue:
            message = self.queue.pop(0)
            self.clock.move(VISIBILITY * 2)
            try:
                returned = process([message], deps, Invocation(lambda: 900_000))
            except DeathError:
                self.died, returned = True, [message["messageId"]]
            if returned:
                count = int(message["attributes"]["ApproximateReceiveCount"]) + 1
                self.queue.append(queue_message(message["body"], message["messageId"], count))


def simulate(world: World, monkeypatch: pytest.MonkeyPatch, *messages: Delivery | Retry) -> None:
    """Work off the messages, each effect a place to die; without monkeypatches when it is over."""
    for name in ("open_record", "claim", "finish", "park", "load"):
        monkeypatch.setattr(attempts, name, world.effect(getattr(attempts, name)))
    monkeypatch.setattr(circuits, "count_parked", world.effect(circuits.count_parked))
    deps = dataclasses.replace(
        dependencies(Apps({"pager": world.app}), world, world, world.clock),
        transport=world,
        policy=RetryPolicy(DELAYS, lease=30),
        buffer=SuccessBuffer(lambda: 0.0),
    )
    deps.parking.limit = 10
    world.queue += [queue_message(message, f"first-{n}") for n, message in enumerate(messages)]
    world.run(deps)
    monkeypatch.undo()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("fatal", range(1, EFFECTS + 1))
@pytest.mark.parametrize("failures", [1, 2, 99])
def test_a_chain_neither_ends_nor_forks_wherever_a_worker_dies(
    aws: None, monkeypatch: pytest.MonkeyPatch, failures: int, fatal: int, after: bool
) -> None:
    endpoint = Endpoint(*[TIMEOUT] * failures, response(200))
    world = World(fatal, after, endpoint)
    simulate(world, monkeypatch, delivery())
    if attempts.load(delivery().delivery_id) is None:  # the one failure was lost with the worker
        assert [row["delivery_id"] for row in packed()] == [delivery().delivery_id]
        return
    made = record().attempts
    # What a death can do is make one attempt twice, the first time unrecorded.
    assert len(endpoint.posted) <= len(made) + world.died
    assert [entry["n"] for entry in made] == list(range(1, len(made) + 1))
    if failures < len(DELAYS):
        assert record().state == "delivered"
    else:
        assert (record().state, len(made)) == ("exhausted", 1 + len(DELAYS))
        assert {event_id for _, event_id, _ in world.bus.events} == {f"{delivery().delivery_id}-{len(made)}"}


def replayed(attempt: int) -> Retry:
    """A delivery that is replayable after so many attempts, and the message that a replay sends for it."""
    made = attempts.open_record(delivery(), NextState(EXHAUSTED if attempt == ALL else PARKED), NOW)
    assert made
    DeliveryRecord(made.delivery_id).update(actions=[DeliveryRecord.attempts_made.set(attempt)])
    return Retry(made.delivery_id, "pager", attempt + 1, replay=True)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("fatal", range(1, EFFECTS + 1))
@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize("before", [0, 2, ALL])
@pytest.mark.parametrize("failures", [0, 1, 99])
def test_a_replayed_delivery_is_neither_lost_nor_sent_twice_over_wherever_a_worker_dies(
    monkeypatch: pytest.MonkeyPatch, failures: int, before: int, fatal: int, after: bool
) -> None:
    endpoint = Endpoint(*[TIMEOUT] * failures, response(200))
    world = World(fatal, after, endpoint)
    message = replayed(before)
    simulate(world, monkeypatch, message, message)  # as a page that is sent again after a death has it
    made = record().attempts
    lost = len(endpoint.posted) - len(made)  # with the worker, before it was written
    assert 0 <= lost <= world.died
    assert [entry["n"] for entry in made] == list(range(before + 1, before + 1 + len(made)))
    listed = [row.delivery_id for row in app_lists.replayable("pager", None, 10)]
    if failures - lost < max(1, ALL - before):
        assert (record().state, listed) == ("delivered", [])
    else:
        assert (record().state, listed) == ("exhausted", [delivery().delivery_id])
        assert world.bus.events


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("fatal", range(1, 9))
@pytest.mark.parametrize("before", [0, ALL])
def test_a_replay_of_an_app_that_is_off_again_leaves_it_parked_wherever_a_worker_dies(
    aws: None, monkeypatch: pytest.MonkeyPatch, before: int, fatal: int, after: bool
) -> None:
    world = World(fatal, after, Endpoint(response(200)), app=app(state="disabled", generation=4))
    simulate(world, monkeypatch, replayed(before))
    assert world.endpoint.posted == []
    assert (record().state, record().attempts_made) == ("parked", before)
    assert [row.delivery_id for row in app_lists.replayable("pager", None, 10)] == [delivery().delivery_id]
