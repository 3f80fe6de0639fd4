"""The three functions on one virtual clock: queues, schedules and the stream are an agenda of what is due when."""

import heapq
import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bellhop import outcomes, tables
from bellhop.bus import Bus
from bellhop.outcomes import OutcomeDay, OutcomeDelta
from bellhop.queues import Queue
from bellhop.registry import Registry
from deliver import batch
from deliver.attempt.retry_scheduler import RetryScheduler
from deliver.attempt.signing import Keys
from deliver.circuit.parking import Parking
from deliver.circuit.window import FailureWindow
from deliver.dependencies import DeliverDependencies, RetryPolicy
from deliver.posting import Workers
from deliver.success_buffer import SuccessBuffer
from health import messages
from health.app import handle
from health.dependencies import HealthDependencies, Queues
from health.review import Scope, review
from health.rules import Thresholds
from notify import intake
from tests.support.endpoint import Clock, Endpoint
from tests.support.fakes import SECRET, Recorder, sqs_record
from tests.support.ses import LINKS, Ses

DELAYS = (5, 60, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
CACHE_SECONDS = 60.0
VISIBILITY = 180.0  # until what was kept comes back
BATCH = 10
EVENTS, DELIVERIES, RETRIES, TRANSITIONS, STREAM = "events", "deliveries", "retries", "transitions", "stream"


@dataclass
class Fleet:
    """Everything between a published event and the endpoint, with time in the caller's hands."""

    endpoint: Endpoint
    clock: Clock = field(default_factory=Clock)
    telemetry: Recorder = field(default_factory=Recorder)
    ses: Ses = field(default_factory=Ses)
    published: list[dict[str, Any]] = field(default_factory=list)
    posted: list[tuple[datetime, str]] = field(default_factory=list)
    _agenda: list[tuple[datetime, int, str, str, int]] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self._notify = self._notify_desk()
        self._deliver = self._deliver_desk()
        self._health = self._office()
        self._queues = {EVENTS: self._notified, DELIVERIES: self._delivered, RETRIES: self._delivered}
        self._queues |= {TRANSITIONS: self._followed_up, STREAM: self._reviewed}

    # What SQS, EventBridge and EventBridge Scheduler are to the code.

    def send_message(self, **message: Any) -> None:
        self.due(message["QueueUrl"], message["MessageBody"], message.get("DelaySeconds", 0))

    def send_message_batch(self, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        for entry in Entries:
            self.due(QueueUrl, entry["MessageBody"], entry.get("DelaySeconds", 0))
        return {"Successful": [{"Id": entry["Id"]} for entry in Entries]}

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
        records = [sqs_record(body, str(number), received) for _, number, _, body, received in batch]
        kept = self._queues[batch[0][2]](records)
        for _, number, queue, body, received in batch:
            if str(number) in kept:
                self.due(queue, body, VISIBILITY, received + 1)

    def _notified(self, records: list[dict[str, Any]]) -> list[str]:
        return intake.process(records, self._notify)

    def _delivered(self, records: list[dict[str, Any]]) -> list[str]:
        workers = Workers(BATCH, self._post, lambda: True, lambda _: None)
        return batch.process(records, self._deliver, workers)

    def _followed_up(self, records: list[dict[str, Any]]) -> list[str]:
        for record in records:
            handle(messages.decode(record["body"]), self._health)
        return []

    def _reviewed(self, records: list[dict[str, Any]]) -> list[str]:
        for record in records:
            review(Scope(*json.loads(record["body"])), self._health.thresholds, self._health)
        return []

    def _post(self, url: str, headers: dict[str, str], body: bytes) -> Any:
        self.posted.append((self.clock(), headers["webhook-id"]))
        return self.endpoint(url, headers, body)

    # What the functions are furnished with.

    def seconds(self) -> float:
        return self.clock().timestamp()

    def _notify_desk(self) -> intake.NotifyDependencies:
        hooks = Registry(CACHE_SECONDS, self.seconds)
        return intake.NotifyDependencies(
            hooks, Queue(self, DELIVERIES), Queue(self, "dead"), self.telemetry, lambda _: None
        )  # type: ignore[arg-type]

    def _deliver_desk(self) -> DeliverDependencies:
        reminders = RetryScheduler(Queue(self, RETRIES), "arn", lambda: self, "group", "role", "dead", self.clock)  # type: ignore[arg-type,return-value]
        return DeliverDependencies(
            app=Registry(CACHE_SECONDS, self.seconds).app,
            keys=lambda _: Keys(SECRET),
            remind=reminders.send,
            publish=Bus(lambda: self, "default").publish,  # type: ignore[arg-type,return-value]
            policy=RetryPolicy(DELAYS, lease=30),
            buffer=SuccessBuffer(self.seconds),
            watch=FailureWindow(self.seconds),
            parking=Parking(100_000, self.telemetry),
            telemetry=self.telemetry,
            now=self.clock,
            uniform=lambda low, high: low,
            token=map(str, itertools.count()).__next__,
        )

    def _office(self) -> HealthDependencies:
        queues = Queues(*(Queue(self, name) for name in (TRANSITIONS, DELIVERIES, RETRIES)))  # type: ignore[arg-type]
        return HealthDependencies(
            connection=tables.connect(),
            announce=queues.announce,
            telemetry=self.telemetry,
            now=self.clock,
            thresholds=Thresholds(1000, 7, 72),
            send_later=queues.announce,
            ping=queues.ping,
            retry=queues.retry,
            bus=Bus(lambda: self, "default"),  # type: ignore[arg-type,return-value]
            ses=self.ses,  # type: ignore[arg-type]
            mail_from="bellhop@tracker.example",
            mail_configuration_set="settings",
            links=LINKS,
            replay_per_second=10.0,
            ping_seconds=30.0,
            settle_seconds=CACHE_SECONDS + 30,
            lease_seconds=60.0,
        )


def streaming(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what counted a failure wake health, as the Outcomes stream and its filter do."""
    add: Callable[[OutcomeDelta, Callable[[int], None]], OutcomeDay] = outcomes.add

    def counted(delta: OutcomeDelta, pause: Callable[[int], None]) -> OutcomeDay:
        row = add(delta, pause)
        if row.has_failure:
            fleet.due(STREAM, json.dumps([delta.app_id, delta.organization_id, delta.generation]), 1)
        return row

    monkeypatch.setattr(outcomes, "add", counted)
