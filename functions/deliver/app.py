"""The deliver function: a batch of the Deliveries or the Retries queue in, webhooks out."""

import os
import random
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from cachetools import TTLCache, cached

from bellhop import aws, partial_batch, settings, tables
from bellhop.attempts import DeliveryRecord
from bellhop.backoff import Backoff
from bellhop.bus import Bus
from bellhop.circuits import Circuit
from bellhop.clock import utc_now
from bellhop.outcomes import OutcomeDay
from bellhop.queues import Queue
from bellhop.registry import App, Registry, find
from bellhop.secrets import SigningSecret
from bellhop.successes import SuccessPack
from bellhop.telemetry import PowertoolsTelemetry
from deliver import batch
from deliver.attempt.retry_scheduler import RetryScheduler
from deliver.attempt.signing import Keys
from deliver.circuit.parking import Parking
from deliver.circuit.window import FailureWindow
from deliver.dependencies import DeliverDependencies, RetryPolicy
from deliver.http.guard import EndpointPolicy
from deliver.http.response import Response, SendFailure
from deliver.http.sockets import tls_context
from deliver.http.transport import Transport
from deliver.posting import Workers
from deliver.success_buffer import SuccessBuffer

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

MARGIN_SECONDS = 3.0  # kept of the invocation's time for writing what came of the attempts


@dataclass(frozen=True)
class Settings:
    """What the deliver function is told by its environment."""

    retries_queue_url: str
    retries_queue_arn: str
    schedule_group: str
    schedule_role_arn: str
    schedules_dead_letters_arn: str
    apps_table: str
    secrets_table: str
    outcomes_table: str
    attempts_table: str
    successes_table: str
    circuits_table: str
    cache_seconds: float
    deadline_seconds: float
    lease_seconds: float
    retry_delays_seconds: tuple[int, ...]
    slots: int
    parked_per_app: int
    event_bus: str
    allow_http: bool
    allow_private_addresses: bool
    allowed_ports: str


@dataclass(frozen=True)
class Process:
    """What is built once per process."""

    deps: DeliverDependencies
    telemetry: PowertoolsTelemetry
    transport: Transport
    slots: int
    deadline: float


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Entry point for the Deliveries and Retries queues."""
    process = _open()
    process.telemetry.begin(context)

    def may_start() -> bool:
        return bool(context.get_remaining_time_in_millis() / 1000 >= process.deadline + MARGIN_SECONDS)

    def post(url: str, headers: dict[str, str], body: bytes) -> Response | SendFailure:
        return process.transport.post(url, headers, body, process.deadline)

    try:
        workers = Workers(process.slots, post, may_start, Backoff(0.05))
        kept = batch.process(event["Records"], process.deps, workers)
        return partial_batch.response(kept)
    finally:
        process.telemetry.flush()


@cache
def _open() -> Process:
    chosen = settings.load(Settings, os.environ)
    _bind(chosen)
    telemetry = PowertoolsTelemetry()
    sqs: SQSClient = aws.client("sqs")
    deps = DeliverDependencies(
        app=Registry(chosen.cache_seconds, time.monotonic).app,
        keys=_keys(chosen.cache_seconds),
        remind=_reminders(chosen, sqs).send,
        publish=Bus(cache(lambda: aws.client("events")), chosen.event_bus).publish,
        policy=RetryPolicy(chosen.retry_delays_seconds, chosen.lease_seconds),
        buffer=SuccessBuffer(time.monotonic),
        watch=FailureWindow(time.time),
        parking=Parking(chosen.parked_per_app, telemetry),
        telemetry=telemetry,
        now=utc_now,
        uniform=random.uniform,
        token=lambda: uuid.uuid4().hex,
    )
    transport = Transport(endpoints(chosen), tls_context(), chosen.slots)
    return Process(deps, telemetry, transport, chosen.slots, chosen.deadline_seconds)


def _reminders(chosen: Settings, sqs: "SQSClient") -> RetryScheduler:
    return RetryScheduler(
        queue=Queue(sqs, chosen.retries_queue_url),
        queue_arn=chosen.retries_queue_arn,
        scheduler=cache(lambda: aws.client("scheduler")),
        group=chosen.schedule_group,
        role_arn=chosen.schedule_role_arn,
        dead_letters_arn=chosen.schedules_dead_letters_arn,
        now=utc_now,
    )


def endpoints(chosen: Settings) -> EndpointPolicy:
    """Which endpoints this deployment allows."""
    ports = None if chosen.allowed_ports == "any" else frozenset(map(int, chosen.allowed_ports.split(",")))
    return EndpointPolicy(http=chosen.allow_http, private=chosen.allow_private_addresses, ports=ports)


def _bind(chosen: Settings) -> None:
    tables.bind(
        tables.connect(),
        {
            App: chosen.apps_table,
            SigningSecret: chosen.secrets_table,
            DeliveryRecord: chosen.attempts_table,
            SuccessPack: chosen.successes_table,
            Circuit: chosen.circuits_table,
        },
    )
    # An ADD whose result is unknown may have counted: nothing below us may repeat it.
    tables.bind(tables.connect(retries=0), {OutcomeDay: chosen.outcomes_table})


def _keys(seconds: float) -> Callable[[str], Keys | None]:
    secret = cached(TTLCache(10_000, seconds, timer=time.monotonic))(lambda app_id: find(SigningSecret, app_id))

    def keys(app_id: str) -> Keys | None:
        found = secret(app_id)
        return Keys(found.secret, found.live_previous(time.time())) if found else None

    return keys


if settings.on_lambda(os.environ):  # a function starts with a whole processor and without a bill: build there
    _open()
