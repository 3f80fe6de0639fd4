"""The three functions on one virtual clock: queues, schedules and the stream are an agenda of what is due when."""

import heapq
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from bellhop import outcomes
from bellhop.bus import Bus
from bellhop.circuits import Circuit
from bellhop.outcomes import OutcomeDay, OutcomeDelta
from bellhop.queues import Queue
from bellhop.registry import App, AuditEntry, Registry
from bellhop.replays import Releases
from deliver import batch
from deliver.attempt.retry_scheduler import RetryScheduler
from deliver.dependencies import DeliverDependencies, Invocation, RetryPolicy
from deliver.http.response import Response, SendFailure
from deliver.prefetch import Prefetch
from health.app import from_queue
from health.dependencies import OVERDUE_SECONDS, HealthDependencies, Queues
from health.review import Scope, review
from health.rules import Thresholds
from notify import intake
from notify.duplicates import Duplicates
from tests.support.endpoint import Clock, Endpoint, dependencies
from tests.support.fakes import Recorder, queue_message
from tests.support.ses import LINKS, Ses

DELAYS = (5, 60, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
CACHE_SECONDS = 60.0
SETTLE_SECONDS = CACHE_SECONDS + 30
VISIBILITY = 180.0  # until an unfinished message comes back
BATCH = 10
EVENTS, DELIVERIES, RETRIES, TRANSITIONS, STREAM = "events", "deliveries", "retries", "transitions", "stream"


@dataclass(frozen=True, slots=True)
class Parameters:
    """Of the template: the seconds before each retry, when an app is switched off.

    `copies_known`: for how long copies of events are dropped, None where they are sent.
    """

    delays: tuple[int, ...]
    thresholds: Thresholds
    copies_known: timedelta | None = None


TEMPLATE = Parameters(DELAYS, Thresholds(1000, 7, 72))  # its defaults


@dataclass
class Fleet:
    """Everything between a published event and the endpoint, with time in the caller's hands."""

    endpoint: Endpoint
    clock: Clock = field(default_factory=Clock)
    telemetry: Recorder = field(default_factory=Recorder)
    ses: Ses = field(default_factory=Ses)
    parameters: Parameters = TEMPLATE
    published: list[dict[str, Any]] = field(default_factory=list)
    posted: list[tuple[datetime, str]] = field(default_factory=list)
    _agenda: list[tuple[datetime, int, str, str, int]] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self._notify = self._notify_dependencies(self.clock)
        self._deliver = self._deliver_dependencies(self.clock)
        self._health = self._health_dependencies(self.clock)
        self._queues = {EVENTS: self._notified, DELIVERIES: self._delivered, RETRIES: self._delivered}
        self._queues |= {TRANSITIONS: self._followed_up, STREAM: self._reviewed}

    # What SQS, EventBridge and EventBridge Scheduler are to the code.

    def send_message(self, **message: Any) -> None:
        self.due(message["QueueUrl"], message["MessageBody"], message.get("DelaySeconds", 0))

    def send_message_batch(self, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        for entry in Entries:
            self.due(QueueUrl, entry["MessageBody"], entry.get("DelaySeconds", 0))
        return {"Successful": [{"Id": entry["Id"]} for entry in Entries]}

    def get_queue_attributes(self, QueueUrl: str, AttributeNames: list[str]) -> dict[str, Any]:  # noqa: N803
        waiting = sum(due <= self.clock() and queue == QueueUrl for due, _, queue, *_ in self._agenda)
        return {"Attributes": dict.fromkeys(AttributeNames, str(waiting))}

    def create_schedule(self, **schedule: Any) -> None:
        at = datetime.fromisoformat(schedule["ScheduleExpression"][3:-1]).replace(tzinfo=UTC)
        self.due(RETRIES, schedule["Target"]["Input"], (at - self.clock()).total_seconds())

    def put_events(self, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        self.published += Entries
        return {"FailedEntryCount": 0, "Entries": []}

    # What a test does.

    def set_thresholds(self, thresholds: Thresholds) -> None:
        self._health = replace(self._health, thresholds=thresholds)

    def publish(self, event: dict[str, Any], delay: float = 0) -> None:
        self.due(EVENTS, json.dumps(event), delay)

    def due(self, queue: str, body: str, delay: float, received: int = 1) -> None:
        heapq.heappush(
            self._agenda, (self.clock() + timedelta(seconds=delay), next(self._numbers), queue, body, received)
        )

    def run(self, until: datetime) -> None:
        """Do everything that is due until then, in order; batches are what is due at one moment."""
        while self._agenda and self._agenda[0][0] <= until:
            self.clock.now = max(self.clock.now, self._agenda[0][0])
            batch = [heapq.heappop(self._agenda)]
            while self._agenda and len(batch) < BATCH and self._agenda[0][:3:2] == batch[0][:3:2]:
                batch.append(heapq.heappop(self._agenda))
            self._work(batch)
        self.clock.now = until

    def _work(self, batch: list[tuple[datetime, int, str, str, int]]) -> None:
        messages = [queue_message(body, str(number), received) for _, number, _, body, received in batch]
        returned = self._queues[batch[0][2]](messages)
        for _, number, queue, body, received in batch:
            if str(number) in returned:
                self.due(queue, body, VISIBILITY, received + 1)

    def _notified(self, messages: list[dict[str, Any]]) -> list[str]:
        return intake.process(messages, self._notify, lambda: 900.0)

    def _delivered(self, messages: list[dict[str, Any]]) -> list[str]:
        return batch.process(messages, self._deliver, Invocation(lambda: 900_000))

    def _followed_up(self, messages: list[dict[str, Any]]) -> list[str]:
        return from_queue(messages, self._health)

    def _reviewed(self, messages: list[dict[str, Any]]) -> list[str]:
        for message in messages:
            review(Scope(*json.loads(message["body"])), self._health.thresholds, self._health)
        return []

    def post(
        self, app_id: str, url: str, headers: Mapping[str, str], body: bytes, seconds: float
    ) -> Response | SendFailure:
        self.posted.append((self.clock(), headers["webhook-id"]))
        return self.endpoint.post(app_id, url, headers, body, seconds)

    # What the functions are handed.

    def queue(self, name: str) -> Queue:
        return Queue(cast("Any", self), name)

    def queues(self) -> Queues:
        return Queues(*map(self.queue, (TRANSITIONS, DELIVERIES, RETRIES)))

    def _notify_dependencies(self, clock: Clock) -> intake.NotifyDependencies:
        hooks, keep = Registry(CACHE_SECONDS, clock.seconds), self.parameters.copies_known
        connection = AuditEntry._get_connection().connection
        return intake.NotifyDependencies(
            hooks,
            self.queue(DELIVERIES),
            self.queue("dead"),
            self.queue(EVENTS),
            self.telemetry,
            lambda _: None,
            clock.seconds,
            duplicates=Duplicates(connection, keep, self.telemetry, clock.seconds) if keep else None,
        )

    def _deliver_dependencies(self, clock: Clock) -> DeliverDependencies:
        aws = cast("Any", self)
        retries = RetryScheduler(
            self.queue(RETRIES), "arn", lambda: aws, "group", "role", "dead", clock, lambda _: None
        )
        bus = Bus(lambda: cast("Any", self), "default")
        registry = Registry(CACHE_SECONDS, clock.seconds)
        deps = dependencies(registry, retries, bus, clock, self.telemetry)
        return replace(
            deps,
            prefetch=Prefetch(
                {App: registry, Circuit: deps.circuits}, App._get_connection().connection, self.telemetry
            ),
            transport=self,
            releases=Releases(self.queue(TRANSITIONS), 10.0, SETTLE_SECONDS, clock.seconds),
            policy=RetryPolicy(self.parameters.delays, lease=30, fresh=190),
            uniform=lambda low, high: low,
        )

    def _health_dependencies(self, clock: Clock) -> HealthDependencies:
        queues = self.queues()
        return HealthDependencies(
            connection=AuditEntry._get_connection().connection,
            announce=queues.announce,
            telemetry=self.telemetry,
            now=clock,
            thresholds=self.parameters.thresholds,
            send_later=queues.announce,
            ping=queues.ping,
            retry=queues.retry,
            retries_waiting=queues.retries.waiting,
            wait=queues.wait,
            bus=Bus(lambda: cast("Any", self), "default"),
            ses=cast("Any", self.ses),
            mail_from="bellhop@tracker.example",
            mail_configuration_set="settings",
            links=LINKS,
            replay_per_second=10.0,
            ping_seconds=30.0,
            settle_seconds=SETTLE_SECONDS,
            lease_seconds=60.0,
            overdue_seconds=OVERDUE_SECONDS,
            token=lambda: str(next(self._numbers)),
        )


def streaming(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what counted a failure wake health, as the Outcomes stream and its filter do."""
    add: Callable[[OutcomeDelta, Callable[[int], None]], OutcomeDay] = outcomes.add

    def counted(delta: OutcomeDelta, backoff: Callable[[int], None]) -> OutcomeDay:
        row = add(delta, backoff)
        if row.has_failure:
            fleet.due(STREAM, json.dumps([delta.app_id, delta.organization_id, delta.generation]), 1)
        return row

    monkeypatch.setattr(outcomes, "add", counted)
