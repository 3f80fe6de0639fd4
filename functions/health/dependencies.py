"""What the health function is built of, once per process."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING

from pynamodb.connection import Connection

from bellhop import aws, deliveries, tables
from bellhop.attempts import DeliveryRecord
from bellhop.backoff import Backoff
from bellhop.bus import Bus
from bellhop.circuits import Circuit
from bellhop.clock import utc_now
from bellhop.deliveries import Delivery
from bellhop.outcomes import OutcomeDay
from bellhop.queues import OutgoingMessage, Queue
from bellhop.registry import App, AuditEntry, Organization
from bellhop.telemetry import PowertoolsTelemetry
from health import follow_up, messages, recovery, replay, transitions
from health.mail import mailer
from health.mail.content import Links
from health.messages import FollowUp, Probe, Replay
from health.rules import Thresholds

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

PING_SECONDS = 20.0  # that a ping needs through the queue, beside its deadline


@dataclass(frozen=True)
class Settings:
    """What the health function is told by its environment."""

    transitions_queue_url: str
    deliveries_queue_url: str
    retries_queue_url: str
    event_bus: str
    organizations_table: str
    apps_table: str
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

    def announce(self, message: FollowUp | Replay | Probe, delay: int = 0) -> None:
        """Put a message on the Transitions queue."""
        self.transitions.send(OutgoingMessage(messages.encode(message), delay=delay))

    def ping(self, delivery: Delivery) -> None:
        """Have deliver send a ping."""
        self.deliveries.send(OutgoingMessage(deliveries.encode(delivery), delivery.app_id))

    def remind(self, reminders: Sequence[OutgoingMessage]) -> set[int]:
        """Put reminders on the Retries queue; the positions of those it did not take."""
        return self.retries.send_all(reminders, Backoff(0.05))


@dataclass(frozen=True)
class HealthDependencies:
    """What is built once per process."""

    thresholds: Thresholds
    transitions: transitions.TransitionDependencies
    follow_up: follow_up.FollowUpDependencies
    replay: replay.ReplayDependencies
    probing: recovery.RecoveryDependencies
    telemetry: PowertoolsTelemetry


def build(chosen: Settings) -> HealthDependencies:
    """Connect to everything."""
    connection = tables.connect()
    _bind(connection, chosen)
    telemetry = PowertoolsTelemetry()
    sqs: SQSClient = aws.client("sqs")
    urls = (chosen.transitions_queue_url, chosen.deliveries_queue_url, chosen.retries_queue_url)
    queues = Queues(*(Queue(sqs, url) for url in urls))
    switching = transitions.TransitionDependencies(connection, queues.announce, telemetry, utc_now)
    answers_within = chosen.deadline_seconds + PING_SECONDS
    return HealthDependencies(
        Thresholds(chosen.broken_timeouts_per_day, chosen.broken_error_days, chosen.broken_pause_hours),
        switching,
        _follow_up(chosen, queues, telemetry),
        replay.ReplayDependencies(queues.remind, queues.announce, telemetry, utc_now),
        recovery.RecoveryDependencies(queues.ping, queues.announce, answers_within, switching, telemetry, utc_now),
        telemetry,
    )


def _follow_up(chosen: Settings, queues: Queues, telemetry: PowertoolsTelemetry) -> follow_up.FollowUpDependencies:
    # Retrying a send whose answer got lost could mail an owner twice.
    ses = aws.client("sesv2", attempts=1, read_seconds=10)
    links = Links(chosen.dashboard_url, chosen.unsubscribe_url)
    return follow_up.FollowUpDependencies(
        bus=Bus(cache(partial(aws.client, "events")), chosen.event_bus),
        post=mailer.MailDependencies(ses, chosen.mail_from, chosen.mail_configuration_set, links, telemetry),
        send=queues.announce,
        rate=chosen.replay_per_second,
        # No process parks any more: what they knew has expired, and what they had begun has ended.
        settle=chosen.cache_seconds + chosen.deliver_timeout_seconds,
        lease=chosen.lease_seconds,
        telemetry=telemetry,
        now=utc_now,
    )


def _bind(connection: Connection, chosen: Settings) -> None:
    names = {
        Organization: chosen.organizations_table,
        App: chosen.apps_table,
        AuditEntry: chosen.audit_table,
        OutcomeDay: chosen.outcomes_table,
        DeliveryRecord: chosen.attempts_table,
        Circuit: chosen.circuits_table,
    }
    tables.bind(connection, names)
