"""What the health function's code is handed, and how it is built, once per process."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import TYPE_CHECKING

from bellhop import aws, deliveries, tables
from bellhop.attempts import DeliveryRecord
from bellhop.backoff import Backoff
from bellhop.budget import Budget
from bellhop.bus import Bus
from bellhop.circuits import Circuit
from bellhop.clock import utc_now
from bellhop.deliveries import Delivery
from bellhop.index_keys import Entry
from bellhop.large_bodies import LargeBody
from bellhop.outcomes import OutcomeDay
from bellhop.queues import OutgoingMessage, Queue
from bellhop.registry import App, AuditEntry, Installation, Organization
from bellhop.replays import Replay
from bellhop.resend_jobs import ResendJob, ResendPage, ResendStep
from bellhop.telemetry import Telemetry
from health import messages
from health.mail.links import Links
from health.messages import AppSweep, OwnMessage, RecoveryCheck, RetrySweep
from health.rules import Thresholds
from health.transitions import TransitionDependencies

if TYPE_CHECKING:
    from mypy_boto3_sesv2 import SESV2Client

SES_READ_SECONDS = 5.0  # SES responds within a second; whoever waits longer than this learns nothing
OVERDUE_SECONDS = 7200.0  # a queue that is so far behind has long raised its alarm
RECEIVES = 10  # of a message, before it is a dead letter
PING_QUEUE_SECONDS = 20.0  # what a ping spends in the queue, beside its deadline


@dataclass(frozen=True)
class Settings:
    """The health function's environment."""

    transitions_queue_url: str
    deliveries_queue_url: str
    retries_queue_url: str
    event_bus: str
    organizations_table: str
    apps_table: str
    installations_table: str
    audit_table: str
    outcomes_table: str
    attempts_table: str
    circuits_table: str
    broken_timeouts_per_day: int
    broken_error_days: int
    broken_pause_hours: int
    cache_seconds: float
    deadline_seconds: float
    deliver_timeout_seconds: float
    deliver_visibility_seconds: float
    health_visibility_seconds: float
    lease_seconds: float
    replay_per_second: float
    mail_from: str
    mail_configuration_set: str
    dashboard_url: str
    unsubscribe_url: str


@dataclass(frozen=True)
class Queues:
    """The queues that health sends to."""

    transitions: Queue
    deliveries: Queue
    retries: Queue

    def announce(self, message: OwnMessage, delay: int = 0) -> None:
        """Put a message on the Transitions queue, to arrive `delay` seconds later."""
        self.transitions.send(OutgoingMessage(messages.encode(message), delay=delay))

    def ping(self, delivery: Delivery) -> None:
        """Have deliver send a ping."""
        self.deliveries.send(OutgoingMessage(deliveries.encode(delivery), delivery.app_id))

    def retry(self, retries: Sequence[OutgoingMessage]) -> set[int]:
        """Put messages on the Retries queue; return the positions of those that SQS did not take."""
        return self.retries.send_all(retries, Backoff(0.05))

    def wait(self, messages: Sequence[OutgoingMessage]) -> set[int]:
        """Put messages back on the Transitions queue; return the positions of those that SQS did not take."""
        return self.transitions.send_all(messages, Backoff(0.05))


@dataclass(frozen=True)
class HealthDependencies(TransitionDependencies):
    """Everything that health's code is handed; a transition needs only the part that it shares with the command.

    `send_later`, `ping`, `retry` and `wait` are those of Queues; `retries_waiting` is how many messages wait on
    the Retries queue. `ses` must not retry by itself. `ping_seconds` is the longest that a ping takes when nothing
    is in its way; `settle_seconds` is how long after a switching on a process may still park deliveries;
    `lease_seconds` is how long one worker has a transition to itself, under a `token` that no other worker has.
    What should have happened `overdue_seconds` ago has no message any more. `budget` knows how much time is left.
    """

    thresholds: Thresholds
    send_later: Callable[[Replay | ResendStep | RecoveryCheck | RetrySweep | AppSweep, int], None]
    ping: Callable[[Delivery], None]
    retry: Callable[[Sequence[OutgoingMessage]], set[int]]
    retries_waiting: Callable[[], int]
    wait: Callable[[Sequence[OutgoingMessage]], set[int]]
    bus: Bus
    ses: "SESV2Client"
    mail_from: str
    mail_configuration_set: str
    links: Links
    replay_per_second: float
    ping_seconds: float
    settle_seconds: float
    lease_seconds: float
    overdue_seconds: float
    token: Callable[[], str]
    budget: Budget = field(default_factory=Budget)


def overdue_seconds(*visibility_seconds: float) -> float:
    """After how long a message is taken for lost: longer than any of the queues goes on delivering it."""
    return max(OVERDUE_SECONDS, RECEIVES * max(visibility_seconds))


def build(chosen: Settings, telemetry: Telemetry, budget: Budget) -> HealthDependencies:
    """Connect to everything."""
    connection = tables.connect()
    tables.bind(
        connection,
        {
            Organization: chosen.organizations_table,
            App: chosen.apps_table,
            Installation: chosen.installations_table,
            AuditEntry: chosen.audit_table,
            OutcomeDay: chosen.outcomes_table,
            DeliveryRecord: chosen.attempts_table,
            Entry: chosen.attempts_table,
            LargeBody: chosen.attempts_table,
            ResendJob: chosen.attempts_table,
            ResendPage: chosen.attempts_table,
            Circuit: chosen.circuits_table,
        },
    )
    sqs = aws.client("sqs")
    queues = Queues(
        transitions=Queue(sqs, chosen.transitions_queue_url),
        deliveries=Queue(sqs, chosen.deliveries_queue_url),
        retries=Queue(sqs, chosen.retries_queue_url),
    )
    return HealthDependencies(
        connection=connection,
        announce=queues.announce,
        telemetry=telemetry,
        now=utc_now,
        thresholds=Thresholds(chosen.broken_timeouts_per_day, chosen.broken_error_days, chosen.broken_pause_hours),
        send_later=queues.announce,
        ping=queues.ping,
        retry=queues.retry,
        retries_waiting=queues.retries.waiting,
        wait=queues.wait,
        bus=Bus(cache(partial(aws.client, "events")), chosen.event_bus),
        # One call only: repeating a send whose response was lost could mail an owner twice.
        ses=aws.client("sesv2", attempts=1, read_seconds=SES_READ_SECONDS),
        mail_from=chosen.mail_from,
        mail_configuration_set=chosen.mail_configuration_set,
        links=Links(chosen.dashboard_url, chosen.unsubscribe_url),
        replay_per_second=chosen.replay_per_second,
        ping_seconds=chosen.deadline_seconds + PING_QUEUE_SECONDS,
        # By then every process has read the registry again, and every batch begun before that has ended.
        settle_seconds=chosen.cache_seconds + chosen.deliver_timeout_seconds,
        lease_seconds=chosen.lease_seconds,
        overdue_seconds=overdue_seconds(chosen.deliver_visibility_seconds, chosen.health_visibility_seconds),
        token=lambda: uuid.uuid4().hex,
        budget=budget,
    )
