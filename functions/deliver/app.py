"""The deliver function: a batch of the Deliveries or the Retries queue in, webhooks out."""

import gc
import logging
import os
import random
import resource
import time
import uuid
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from bellhop import aws, partial_batch, settings, tables
from bellhop.attempts import DeliveryRecord
from bellhop.backoff import Backoff
from bellhop.budget import Budget
from bellhop.bus import Bus
from bellhop.circuits import Circuit, Share, SlowList
from bellhop.clock import utc_now
from bellhop.index_keys import Entry, KeyChoice
from bellhop.large_bodies import LargeBody
from bellhop.outcomes import OutcomeDay
from bellhop.powertools import PowertoolsTelemetry
from bellhop.queues import Queue
from bellhop.registry import App, Installation, Registry
from bellhop.replays import Releases
from bellhop.secrets import SigningSecret
from bellhop.successes import Delivered, SuccessLog
from bellhop.telemetry import Telemetry
from deliver import batch
from deliver.attempt.keyring import Keyring
from deliver.attempt.network import Network, SharedOutages
from deliver.attempt.retry_scheduler import RetryScheduler
from deliver.circuit.known import KnownCircuits
from deliver.circuit.parking import Parking
from deliver.circuit.slow import SlowApps
from deliver.dependencies import DeliverDependencies, Invocation, RetryPolicy
from deliver.http.guard import EndpointPolicy
from deliver.http.sockets import tls_context
from deliver.http.transport import Transport
from deliver.prefetch import Prefetch
from deliver.success_buffer import SuccessBuffer

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from pynamodb.connection import Connection

    from deliver.attempt.access_tokens import AccessTokens

PROCESS_DIGITS = 12  # enough to tell a thousand processes apart, and short: they are in every item of the log


@dataclass(frozen=True)
class Settings:
    """What the deliver function is told by its environment."""

    retries_queue_url: str
    transitions_queue_url: str
    retries_queue_arn: str
    schedule_group: str
    schedule_role_arn: str
    schedules_dead_letters_arn: str
    apps_table: str
    installations_table: str
    secrets_table: str
    outcomes_table: str
    attempts_table: str
    delivered_table: str
    circuits_table: str
    keep_delivered_days: int
    cache_seconds: float
    deadline_seconds: float
    lease_seconds: float
    fresh_seconds: float
    retry_delays_seconds: tuple[int, ...]
    deliver_maximum_concurrency: int
    retry_maximum_concurrency: int
    parked_per_app: int
    replay_per_second: float
    event_bus: str
    allow_http: bool
    allow_private_addresses: bool
    allowed_ports: str

    @property
    def processes(self) -> int:
        """How many processes of this function there are at a time, at most."""
        return self.deliver_maximum_concurrency + self.retry_maximum_concurrency

    @property
    def endpoints(self) -> EndpointPolicy:
        """Which endpoints this deployment allows."""
        return EndpointPolicy.from_parameters(
            allow_http=self.allow_http,
            allow_private_addresses=self.allow_private_addresses,
            allowed_ports=self.allowed_ports,
        )


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Entry point for the Deliveries and Retries queues."""
    telemetry, deps = _telemetry(), _dependencies()
    telemetry.begin(context)
    try:
        invocation = Invocation(context.get_remaining_time_in_millis, _budget())
        with invocation.budget.invocation(context.get_remaining_time_in_millis):
            return partial_batch.response(batch.process(event["Records"], deps, invocation), telemetry)
    finally:
        telemetry.flush()


def build(chosen: Settings, telemetry: Telemetry) -> DeliverDependencies:
    """What the function works with, once per process."""
    once = tables.connect(retries=0)
    _bind(chosen, once)
    sqs: SQSClient = aws.client("sqs")
    # By then every process has read the circuit again, and every batch begun before that has ended.
    settle_seconds = chosen.cache_seconds + chosen.lease_seconds
    transitions = Queue(sqs, chosen.transitions_queue_url)
    registry = Registry(chosen.cache_seconds, time.time)
    secrets = Keyring(registry, time.time)
    known = KnownCircuits(chosen.cache_seconds, time.time, telemetry)
    return DeliverDependencies(
        registry=registry,
        secrets=secrets,
        prefetch=Prefetch({App: registry, SigningSecret: secrets, Circuit: known}, once, telemetry),
        scheduler=_scheduler(chosen, sqs),
        bus=Bus(cache(partial(aws.client, "events")), chosen.event_bus),
        transport=_transport(chosen),
        access_tokens=cache(_access_tokens),
        slow_lane_arn=chosen.retries_queue_arn,
        deadline=chosen.deadline_seconds,
        policy=RetryPolicy(chosen.retry_delays_seconds, chosen.lease_seconds, chosen.fresh_seconds),
        buffer=SuccessBuffer(time.time),
        log=SuccessLog(uuid.uuid4().hex[:PROCESS_DIGITS], timedelta(days=chosen.keep_delivered_days)),
        circuits=known,
        slow=SlowApps(chosen.deadline_seconds, time.time, telemetry),
        releases=Releases(transitions, chosen.replay_per_second, settle_seconds, time.time),
        network=Network(SharedOutages(telemetry)),
        parking=Parking(chosen.parked_per_app, telemetry),
        index_keys=KeyChoice(chosen.processes, time.time),
        telemetry=telemetry,
        now=utc_now,
        uniform=random.uniform,
        token=lambda: uuid.uuid4().hex,
        backoff=Backoff(0.05),
    )


def _transport(chosen: Settings) -> Transport:
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # it warns of what endpoints send, a line each time
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Transport(chosen.endpoints, tls_context(), chosen.cache_seconds, time.time, descriptors)


def _access_tokens() -> "AccessTokens":
    from deliver.attempt import access_tokens  # noqa: PLC0415 - a start does without, as nearly every app does

    return access_tokens.AccessTokens(time.time)


def _scheduler(chosen: Settings, sqs: "SQSClient") -> RetryScheduler:
    return RetryScheduler(
        queue=Queue(sqs, chosen.retries_queue_url),
        queue_arn=chosen.retries_queue_arn,
        scheduler=cache(partial(aws.client, "scheduler")),
        group=chosen.schedule_group,
        role_arn=chosen.schedule_role_arn,
        dead_letters_arn=chosen.schedules_dead_letters_arn,
        now=utc_now,
        backoff=Backoff(0.05),
    )


def _bind(chosen: Settings, once: "Connection") -> None:
    tables.bind(
        tables.connect(),
        {
            App: chosen.apps_table,
            Installation: chosen.installations_table,
            SigningSecret: chosen.secrets_table,
            DeliveryRecord: chosen.attempts_table,
            Entry: chosen.attempts_table,
            LargeBody: chosen.attempts_table,
            Delivered: chosen.delivered_table,
            Circuit: chosen.circuits_table,
            Share: chosen.circuits_table,
            SlowList: chosen.circuits_table,
        },
    )
    # An ADD whose result is unknown may have counted: nothing below us may repeat it.
    tables.bind(once, {OutcomeDay: chosen.outcomes_table})


@cache
def _telemetry() -> PowertoolsTelemetry:
    return PowertoolsTelemetry()


@cache
def _budget() -> Budget:
    return Budget.watching(aws.core())


@cache
def _dependencies() -> DeliverDependencies:
    _budget()  # before the first client is made, so that it watches them all
    return build(settings.load(Settings, os.environ), _telemetry())


if settings.on_lambda(os.environ):  # a start gets a whole processor without a bill: build there
    _dependencies()
    gc.freeze()  # what a start made stays: each full collection would look at all of it, for 50 ms
