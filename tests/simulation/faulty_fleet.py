"""Several processes of each function on one virtual clock, while everything around them fails by chance.

An invocation is a greenlet. One that freezes lets the others go on, and so does one whose endpoint takes its time.
What stays true is what AWS promises: a message that was taken comes at least once, unless a person purges its
queue, a conditional write is atomic, and a stream comes again from the first change that was not reviewed.
"""

import heapq
import itertools
import json
import math
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, cast

from greenlet import getcurrent, greenlet

from deliver import batch
from deliver.attempt.keyring import Keyring
from deliver.dependencies import Invocation
from deliver.http.faults import OurFaultError
from deliver.http.response import Response, SendFailure
from health import app as health_app
from health.messages import AppSweep, RetrySweep, encode
from notify import intake
from tests.simulation.faults import DeathError, Faults
from tests.simulation.listing import NotedKeys
from tests.simulation.simulated_functions import (
    DELIVERIES,
    EVENTS,
    RETRIES,
    STREAM,
    TRANSITIONS,
    VISIBILITY,
    Fleet,
)
from tests.simulation.versions import Versions
from tests.support.endpoint import Clock, response
from tests.support.expressions import Item
from tests.support.fakes import SLOW_LANE, queue_message
from tests.support.ses import Ses

RULE = "rule"  # no queue: what begins the sweeps
SWEEP_SECONDS = 10_800.0  # from one to the next: more rarely than in the template, as each takes time here
RECEIVES = 10  # of a message, before it is a dead letter
MOST_BATCHES = 16_000  # of a story; reviews are not among them, as an outage has all changes come again for hours
DEAD = "dead"
CALM_REPEATS = 0.05  # of retries come twice also where nothing fails: no record takes an attempt twice
SKEWS = (-1.5, 0.0, 1.5)  # seconds, of the processes of each function
HANGS = 10.0  # seconds that an endpoint takes now and then
FUNCTIONS = {EVENTS: "notify", DELIVERIES: "deliver", RETRIES: "deliver", TRANSITIONS: "health", STREAM: "health"}


class SkewedClock(Clock):
    """A process's own clock."""

    def __init__(self, true: Clock, skew: float) -> None:
        super().__init__()
        self.true, self.skew = true, timedelta(seconds=skew)

    def __call__(self) -> datetime:
        return self.true() + self.skew


@dataclass(eq=False)
class Process:
    """A process of a function; `deps` is what it knows and works with, and `busy` while it has a batch."""

    function: str
    clock: SkewedClock
    deps: Any
    busy: bool = False


@dataclass(eq=False)
class Message:
    """A message on a queue, or a change on the stream: `received` so often, and `done` once it is deleted."""

    queue: str
    body: str
    attributes: dict[str, Any] = field(default_factory=dict)
    received: int = 0
    done: bool = False


@dataclass(frozen=True, slots=True)
class Post:
    """A webhook that was sent: by an invocation that began at `began`, and what came of it."""

    app_id: str
    delivery_id: str
    resource: str
    url: str
    body: bytes
    headers: Mapping[str, str]
    began: float
    at: float
    outcome: Response | SendFailure


class Job(greenlet):  # type: ignore[misc,unused-ignore]
    """One invocation, or one command of an operator; `who` makes it, since `began` (Unix seconds)."""

    def __init__(self, work: Callable[[], None], who: str, began: float) -> None:
        super().__init__(work)
        self.who, self.began = who, began


def current_job() -> Job | None:
    """The invocation under way; its attempts run in greenlets of their own."""
    running = getcurrent()
    while running is not None and not isinstance(running, Job):
        running = running.parent
    return running


class FaultySes(Ses):
    """SES at which calls fail."""

    fleet: "FaultyFleet"

    def send_email(self, **mail: Any) -> dict[str, str]:
        sent: dict[str, str] = self.fleet.effect("SendEmail", lambda: Ses.send_email(self, **mail))
        return sent


@dataclass
class FaultyFleet(Fleet):
    """`endpoints` respond for each app, 200 where none is named; `faults` fall on everything that a job calls."""

    faults: Faults = field(default_factory=lambda: Faults(random.Random(0)))
    endpoints: dict[str, Response | SendFailure | OurFaultError] = field(default_factory=dict)
    posts: list[Post] = field(default_factory=list)
    dead: list[Message] = field(default_factory=list)
    versions: Versions = field(default_factory=Versions)
    released: set[str] = field(default_factory=set)  # deliveries that a release, a replay or a person sent
    batches: int = 0
    reviews: int = 0  # of them
    purged: int = 0  # messages
    buried: int = 0  # dead letters so far
    under_further: defaultdict[str, set[bool]] = field(default_factory=lambda: defaultdict(set))  # each listing
    sweep_seconds: float = SWEEP_SECONDS
    _due: list[tuple[float, int, Message | Job]] = field(default_factory=list)
    _tokens: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.ses = FaultySes()
        self.ses.fleet = self
        super().__post_init__()
        self.faults.freeze = self.freeze
        self._processes = {each: [self._process(each, skew) for skew in SKEWS] for each in {*FUNCTIONS.values()}}
        self._plan(Message(RULE, ""), SWEEP_SECONDS)

    # What the functions call.

    def effect(self, name: str, act: Callable[[], Any]) -> Any:
        """Make a call to an outside service, with what goes wrong at it. What tests call themselves succeeds."""
        job = current_job()
        return self.faults.call(job.who, name, act) if job else act()

    def send_message(self, **message: Any) -> None:
        self.effect(f"SendMessage {message['QueueUrl']}", lambda: self._put(message["QueueUrl"], message))

    def send_message_batch(self, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        def send() -> dict[str, Any]:
            chance, rate = self.faults.chance, self.faults.rate
            taken = [entry for entry in Entries if chance.random() >= rate or not current_job()]
            for entry in taken:
                self._put(QueueUrl, entry)
            refused = [{"Id": entry["Id"]} for entry in Entries if entry not in taken]
            return {"Successful": [{"Id": entry["Id"]} for entry in taken], "Failed": refused}

        taken: dict[str, Any] = self.effect(f"SendMessageBatch {QueueUrl}", send)
        return taken

    def get_queue_attributes(self, QueueUrl: str, AttributeNames: list[str]) -> dict[str, Any]:  # noqa: N803
        waiting = str(sum(each.queue == QueueUrl for each in self.messages(self.clock.seconds())))
        found: dict[str, Any] = self.effect(
            f"GetQueueAttributes {QueueUrl}", lambda: {"Attributes": dict.fromkeys(AttributeNames, waiting)}
        )
        return found

    def create_schedule(self, **schedule: Any) -> None:
        self.effect("CreateSchedule", lambda: Fleet.create_schedule(self, **schedule))

    def put_events(self, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        taken: dict[str, Any] = self.effect("PutEvents", lambda: Fleet.put_events(self, Entries))
        return taken

    def post(
        self, app_id: str, url: str, headers: Mapping[str, str], body: bytes, seconds: float
    ) -> Response | SendFailure:
        outcome = self.endpoints.get(app_id) or response(200)
        if isinstance(outcome, OurFaultError):
            raise outcome
        job = current_job()
        assert job

        def send() -> Response | SendFailure:
            at, resource = self.clock.seconds(), headers["Sentry-Hook-Resource"]
            made = (app_id, headers["webhook-id"], resource, url, body, headers, job.began, at, outcome)
            self.posts.append(Post(*made))
            ok = isinstance(outcome, Response) and outcome.ok
            if self.faults.chance.random() < (self.faults.rate if ok else 0.2):
                self.freeze(HANGS)
            return outcome

        taken: Response | SendFailure = self.effect("POST", send)
        return taken

    def counted(self, row: Item) -> None:
        """A change on the Outcomes stream, as far as the filter lets it through."""
        if row["has_failure"]["BOOL"]:
            self.put(STREAM, json.dumps(row), 1)

    def lags(self) -> bool:
        """Whether a read that is eventually consistent is behind."""
        return self.faults.chance.random() < self.faults.rate

    # Time.

    def _put(self, queue: str, entry: dict[str, Any]) -> None:
        self.put(queue, entry["MessageBody"], entry.get("DelaySeconds", 0), entry.get("MessageAttributes"))

    def put(self, queue: str, body: str, delay: float, attributes: Mapping[str, Any] | None = None) -> None:
        """Put a message on a queue, as SQS does it: late by chance, and now and then twice."""
        chance, rate = self.faults.chance, self.faults.rate
        read = {name: {"stringValue": value["StringValue"]} for name, value in (attributes or {}).items()}
        if queue == DEAD:  # what notify itself dead-letters
            self.dead.append(Message(queue, body, read))
            return
        repeated = rate or (CALM_REPEATS if queue == RETRIES and "kind" in json.loads(body) else 0.0)
        if queue == RETRIES and '"replay"' in body:
            self.released.add(str(json.loads(body).get("delivery_id")))  # a test may have damaged it
        for copy in range(2 if chance.random() < repeated else 1):
            late = chance.choice((0, 0, 1, 40)) if rate or copy else 0
            self._plan(Message(queue, self.versions.write(body, chance), read), delay + late)

    def due(self, queue: str, body: str, delay: float, received: int = 1) -> None:
        self.put(queue, body, delay)

    def freeze(self, seconds: float) -> None:
        """Let the others go on for so long, in the middle of an invocation."""
        job = current_job()
        if job is None:
            return
        self._plan(cast("Job", getcurrent()), seconds)  # perhaps an attempt of the job
        assert job.parent
        job.parent.switch()

    def run(self, until: datetime) -> None:
        """Do everything that is due until then, in order; batches are what is due at one moment."""
        while self._due and self._due[0][0] <= until.timestamp():
            moment, _, item = heapq.heappop(self._due)
            self.clock.move(max(0.0, moment - self.clock.seconds()))
            if isinstance(item, greenlet):
                item.switch()
            elif not item.done:
                self._begin(self._batch(item))
        self.clock.now = until

    def start(self, who: str, work: Callable[[], None]) -> None:
        """Do something that may fail, die or freeze."""
        Job(work, who, self.clock.seconds()).switch()

    # What a person does.

    def redrive(self) -> None:
        """Send dead letters again: each is a new message."""
        dead, self.dead = self.dead, []
        for each in dead:
            self._plan(Message(each.queue, each.body, each.attributes), 0)

    def purge(self) -> None:
        """Purge Retries, Transitions and their dead-letter queues, and delete every schedule.

        First attempts that were handed over to Retries stay: their messages are all that there is of them.
        """
        for each in filter(_is_purged, [*self.messages(), *self.dead]):
            each.done = True
            self.purged += 1
        self.dead = [each for each in self.dead if not _is_purged(each)]

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nobody works."""
        return not any(isinstance(each, Job) or (each.queue != RULE and not each.done) for _, _, each in self._due)

    def messages(self, until: float = math.inf) -> list[Message]:
        """Those that are not done, and due until then (Unix seconds)."""
        return [each for at, _, each in self._due if at <= until and isinstance(each, Message) and not each.done]

    # How a batch is worked off.

    def _plan(self, item: Message | Job, seconds: float) -> None:
        heapq.heappush(self._due, (self.clock.seconds() + seconds, next(self._numbers), item))

    def _batch(self, first: Message) -> list[Message]:
        messages = [first]
        while self._due and len(messages) < 10:
            due, _, item = self._due[0]
            if due > self.clock.seconds() or not isinstance(item, Message) or item.queue != first.queue:
                break
            heapq.heappop(self._due)
            messages += [] if item.done else [item]
        return messages

    def _begin(self, messages: list[Message]) -> None:
        queue = messages[0].queue
        if queue == RULE:
            for sweep in (RetrySweep(), AppSweep()):
                self.put(TRANSITIONS, encode(sweep), 0)
            self._plan(Message(RULE, ""), self.sweep_seconds)
            return
        self.batches += 1
        self.reviews += queue == STREAM
        assert self.batches - self.reviews < MOST_BATCHES, "messages multiply, or go round for ever"
        received = [message for message in messages if not self._died(message)]
        free = [process for process in self._processes[FUNCTIONS[queue]] if not process.busy]
        for message in received:
            message.received += bool(free)
            self._plan(message, VISIBILITY if free else 1)
        if free:
            process = self.faults.chance.choice(free)
            self.start(process.function, lambda: self._invoke(process, received))

    def _died(self, message: Message) -> bool:
        if message.received < RECEIVES or message.queue == STREAM:
            return False
        message.done = True
        self.dead.append(message)
        self.buried += 1
        return True

    def _invoke(self, process: Process, messages: list[Message]) -> None:
        process.busy = True
        counts = [message.received for message in messages]
        try:
            returned = self._handle(process, messages)
        except DeathError:
            returned = {str(number) for number in range(len(messages))}
            process.deps = self._fresh(process.function, process.clock)
        finally:
            process.busy = False
        for number, (message, count) in enumerate(zip(messages, counts, strict=True)):
            if str(number) not in returned and message.received == count:  # else another has it by now
                message.done = True

    def _handle(self, process: Process, messages: list[Message]) -> set[str]:
        queue = messages[0].queue if messages else ""
        if queue == STREAM:
            return self._review(process, messages)
        arn = SLOW_LANE if queue == RETRIES else "arn:aws:sqs:eu-west-1:123456789012:work"
        records = [
            queue_message(self.versions.read(each.body), str(number), each.received, arn)
            | {"messageAttributes": each.attributes}
            for number, each in enumerate(messages)
        ]
        if process.function == "notify":
            left = self.faults.chance.choice((900.0, 900.0, 1.0) if self.faults.rate else (900.0,))
            seconds = itertools.chain([900.0], itertools.repeat(left))
            return set(intake.process(records, process.deps, lambda: next(seconds)))
        if process.function == "deliver":
            return set(batch.process(records, process.deps, Invocation(lambda: 900_000)))
        return set(health_app.from_queue(records, process.deps))

    def _review(self, process: Process, messages: list[Message]) -> set[str]:
        changes = [
            {"dynamodb": {"NewImage": json.loads(each.body), "SequenceNumber": str(number)}}
            for number, each in enumerate(messages)
        ]
        failed = health_app._from_stream(changes, process.deps)
        return {str(number) for number in range(int(failed[0]), len(messages))} if failed else set()

    # The processes.

    def _process(self, function: str, skew: float) -> Process:
        clock = SkewedClock(self.clock, skew)
        return Process(function, clock, self._fresh(function, clock))

    def _fresh(self, function: str, clock: Clock) -> Any:
        """What a process that has just begun knows and works with."""
        return getattr(self, f"_{function}_dependencies")(clock)

    def _token(self) -> str:
        return f"t{next(self._tokens)}"

    def _deliver_dependencies(self, clock: Clock) -> Any:
        deps = super()._deliver_dependencies(clock)
        secrets = Keyring(cast("Any", deps.registry), clock.seconds)
        return replace(deps, secrets=secrets, token=self._token, index_keys=NotedKeys(clock, self.under_further))

    def _health_dependencies(self, clock: Clock) -> Any:
        return replace(super()._health_dependencies(clock), token=self._token)


def _is_purged(message: Message) -> bool:
    return message.queue == TRANSITIONS or (message.queue == RETRIES and "kind" in json.loads(message.body))
