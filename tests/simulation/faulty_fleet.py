"""The functions on a virtual clock while everything around them fails at random, by a seed.

Calls to AWS are refused, or done and their response lost, or done twice; processes die before and after a call;
messages come twice, late and in any order; a table is gone for minutes. What stays true is what SQS and DynamoDB
promise: a message that was taken comes at least once, unless a person purges its queue, and a conditional write is
atomic.
"""

import heapq
import json
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError, ReadTimeoutError

from deliver.http.response import Response, SendFailure
from health.messages import AppSweep, RetrySweep, encode
from tests.simulation.simulated_functions import (
    DELIVERIES,
    RETRIES,
    STREAM,
    TRANSITIONS,
    VISIBILITY,
    Fleet,
)
from tests.support.endpoint import response
from tests.support.fakes import SLOW_LANE, queue_message
from tests.support.memory_dynamodb import MemoryDynamoDB

RULE = "rule"  # no queue: what begins the sweeps
SWEEP_SECONDS = 10_800.0  # from one to the next: more rarely than in the template, as each takes time here
RECEIVES = 10  # of a message, before it is a dead letter
PROCESSES = 3  # of deliver
MOST_MESSAGES = 30_000  # that are worked on


class DeathError(BaseException):
    """The process is gone: no boundary catches it."""


@dataclass
class Faults:
    """What goes wrong, by chance: `rate` of all calls, and every call to the table that is `down`."""

    chance: random.Random
    rate: float = 0.0
    down: str | None = None

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Let nothing go wrong meanwhile."""
        before, self.rate, self.down = (self.rate, self.down), 0.0, None
        yield
        self.rate, self.down = before

    def call(self, name: str, table: str, act: Callable[[], Any]) -> Any:
        """Do `act`, or not, or twice; raises what the caller would see, or its death."""
        if table and table == self.down:
            raise _refused(name)
        if self.chance.random() >= self.rate:
            return act()
        match self.chance.choice(("refused", "lost", "twice", "dead before", "dead after")):
            case "refused":
                raise _refused(name)
            case "dead before":
                raise DeathError
            case "dead after":
                act()
                raise DeathError
            case "lost":
                act()
                raise ReadTimeoutError(endpoint_url=name)
            case _:  # the SDK repeats a call whose response is lost
                if table != "outcomes":  # whose client repeats nothing
                    act()
                return act()


def _refused(name: str) -> ClientError:
    error = {"Error": {"Code": "InternalServerError"}, "ResponseMetadata": {"HTTPStatusCode": 500}}
    return ClientError(error, name)  # type: ignore[arg-type]


@dataclass
class FaultyFleet(Fleet):
    """A fleet of several processes with `faults`; `endpoints` respond for each app, 200 where none is named."""

    faults: Faults = field(default_factory=lambda: Faults(random.Random(0)))
    endpoints: dict[str, Response | SendFailure] = field(default_factory=dict)
    accepted: list[tuple[str, str]] = field(
        default_factory=list
    )  # app and webhook-id of what was taken with a 2xx
    dead: list[tuple[str, str]] = field(default_factory=list)
    worked: int = 0
    purged: int = 0  # messages

    def __post_init__(self) -> None:
        super().__post_init__()
        self._processes = [self._deliver_dependencies() for _ in range(PROCESSES)]
        super().due(RULE, "", SWEEP_SECONDS)

    def due(self, queue: str, body: str, delay: float, received: int = 1) -> None:
        """As SQS does it: late by chance, and now and then twice."""
        chance = self.faults.chance
        copies = 2 if chance.random() < self.faults.rate else 1
        for _ in range(copies):
            late = chance.choice((0, 0, 1, 40)) if self.faults.rate else 0
            super().due(queue, body, delay + late, received)

    def send_message(self, **message: Any) -> None:
        self.faults.call("SendMessage", "", lambda: super(FaultyFleet, self).send_message(**message))

    def send_message_batch(self, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        taken: dict[str, Any] = self.faults.call(
            "SendMessageBatch", "", lambda: super(FaultyFleet, self).send_message_batch(QueueUrl, Entries)
        )
        return taken

    def create_schedule(self, **schedule: Any) -> None:
        self.faults.call("CreateSchedule", "", lambda: super(FaultyFleet, self).create_schedule(**schedule))

    def put_events(self, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        taken: dict[str, Any] = self.faults.call(
            "PutEvents", "", lambda: super(FaultyFleet, self).put_events(Entries)
        )
        return taken

    def post(
        self, app_id: str, url: str, headers: Mapping[str, str], body: bytes, seconds: float
    ) -> Response | SendFailure:
        outcome = self.endpoints.get(app_id) or response(200)
        if isinstance(outcome, Response) and outcome.ok:
            self.accepted.append((app_id, headers["webhook-id"]))
        else:
            self.clock.move(self.faults.chance.choice((0, 0, 10)))
        return outcome

    def redrive(self) -> None:
        """What an operator does with dead letters: each is a new message."""
        dead, self.dead = self.dead, []
        for queue, body in dead:
            self.due(queue, body, 0)

    def purge(self) -> None:
        """A person purges Retries, Transitions and their dead-letter queues, and deletes every schedule.

        First attempts that were handed over to Retries stay: their messages are all that there is of them.
        """
        kept = [due for due in self._agenda if not _is_purged(due[2], due[3])]
        self.purged += len(self._agenda) - len(kept)
        self._agenda[:] = kept
        heapq.heapify(self._agenda)
        self.dead = [dead for dead in self.dead if not _is_purged(*dead)]

    def _work(self, batch: list[tuple[Any, int, str, str, int]]) -> None:
        self.worked += len(batch)
        assert self.worked < MOST_MESSAGES, "messages multiply, or go round for ever"
        queue, process = batch[0][2], self.faults.chance.randrange(PROCESSES)
        if queue == RULE:
            self._begin_sweeps()
            return
        self._deliver = self._processes[process]
        arn = SLOW_LANE if queue == RETRIES else "arn:aws:sqs:eu-west-1:123456789012:work"
        messages = [queue_message(body, str(number), received, arn) for _, number, _, body, received in batch]
        ids = [message["messageId"] for message in messages]
        try:
            returned = self._queues[queue](messages)
        except DeathError:
            returned, self._processes[process] = ids, self._deliver_dependencies()
        except Exception:
            if queue in {DELIVERIES, RETRIES}:
                raise
            returned = ids
        for _, number, name, body, received in batch:
            if str(number) in returned:
                self._bring_back(name, body, received)

    def _begin_sweeps(self) -> None:
        for sweep in (RetrySweep(), AppSweep()):
            self.due(TRANSITIONS, encode(sweep), 0)
        super().due(RULE, "", SWEEP_SECONDS)

    def _bring_back(self, queue: str, body: str, received: int) -> None:
        if received >= RECEIVES and queue != STREAM:
            self.dead.append((queue, body))
        else:
            super().due(queue, body, VISIBILITY, received + 1)


def _is_purged(queue: str, body: str) -> bool:
    return queue == TRANSITIONS or (queue == RETRIES and "kind" in json.loads(body))


class FaultyDynamoDB(MemoryDynamoDB):
    """Tables that a fleet's faults reach."""

    faults: Faults | None = None

    def _make_api_call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        if self.faults is None or operation == "Scan":
            return super()._make_api_call(operation, request)
        down = self.faults.down
        if operation == "BatchGetItem" and down and down in request["RequestItems"]:
            return self._without(down, request)
        table = str(request.get("TableName") or next(iter(request.get("RequestItems", {})), "several"))
        taken: dict[str, Any] = self.faults.call(
            operation, table, lambda: super(FaultyDynamoDB, self)._make_api_call(operation, request)
        )
        return taken

    def _without(self, down: str, request: dict[str, Any]) -> dict[str, Any]:
        """What DynamoDB does while one of several tables does not respond: its keys are unprocessed."""
        wanted = dict(request["RequestItems"])
        unprocessed = {down: wanted.pop(down)}
        taken: dict[str, Any] = super()._make_api_call("BatchGetItem", request | {"RequestItems": wanted})
        return taken | {"UnprocessedKeys": unprocessed}
