"""The deliver function: a batch of the Deliveries or the Retries queue in, webhooks out."""

import os
import random
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from cachetools import TTLCache, cached

from bellhop import aws, settings, tables
from bellhop.attempts import DeliveryRecord
from bellhop.bus import Bus
from bellhop.gates import Gate
from bellhop.outcomes import OutcomeDay
from bellhop.registry import App, Registry, find
from bellhop.secrets import SigningSecret
from bellhop.successes import SuccessPack
from bellhop.telemetry import PowertoolsTelemetry
from deliver.answer import Answer, NoAnswer
from deliver.counting import Ledger
from deliver.desk import Desk, Policy
from deliver.dispatch import process
from deliver.guard import Policy as EndpointPolicy
from deliver.parking import Parking
from deliver.posting import Workers
from deliver.reminders import Reminders
from deliver.signing import Keys
from deliver.sockets import tls_context
from deliver.transport import Transport
from deliver.watch import Watch

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
    gates_table: str
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
class Office:
    """What is built once per process."""

    desk: Desk
    telemetry: PowertoolsTelemetry
    transport: Transport
    slots: int
    deadline: float


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Entry point for the Deliveries and Retries queues."""
    office = _open()
    office.telemetry.begin(context)

    def may_start() -> bool:
        return bool(context.get_remaining_time_in_millis() / 1000 >= office.deadline + MARGIN_SECONDS)

    def post(url: str, headers: dict[str, str], body: bytes) -> Answer | NoAnswer:
        return office.transport.post(url, headers, body, office.deadline)

    try:
        workers = Workers(office.slots, post, may_start, _pause)
        kept = process(event["Records"], office.desk, workers)
        return {"batchItemFailures": [{"itemIdentifier": i} for i in kept]}
    finally:
        office.telemetry.flush()


@cache
def _open() -> Office:
    chosen = settings.load(Settings, os.environ)
    _bind(chosen)
    telemetry = PowertoolsTelemetry()
    sqs: SQSClient = aws.client("sqs")
    desk = Desk(
        app=Registry(chosen.cache_seconds, time.monotonic).app,
        keys=_keys(chosen.cache_seconds),
        remind=_reminders(chosen, sqs).send,
        publish=Bus(cache(lambda: aws.client("events")), chosen.event_bus).publish,
        policy=Policy(chosen.retry_delays_seconds, chosen.lease_seconds),
        ledger=Ledger(time.monotonic),
        watch=Watch(time.time),
        parking=Parking(chosen.parked_per_app, telemetry),
        telemetry=telemetry,
        now=_now,
        uniform=random.uniform,
        token=lambda: uuid.uuid4().hex,
    )
    transport = Transport(endpoints(chosen), tls_context(), chosen.slots)
    return Office(desk, telemetry, transport, chosen.slots, chosen.deadline_seconds)


def _reminders(chosen: Settings, sqs: "SQSClient") -> Reminders:
    return Reminders(
        sqs=sqs,
        queue_url=chosen.retries_queue_url,
        queue_arn=chosen.retries_queue_arn,
        scheduler=cache(lambda: aws.client("scheduler")),
        group=chosen.schedule_group,
        role_arn=chosen.schedule_role_arn,
        dead_letters_arn=chosen.schedules_dead_letters_arn,
        now=_now,
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
            Gate: chosen.gates_table,
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


def _now() -> datetime:
    return datetime.now(UTC)


def _pause(attempt: int) -> None:
    time.sleep(random.uniform(0, 0.05 * 2**attempt))  # noqa: S311 - jitter, not a secret


if settings.on_lambda(os.environ):  # a function starts with a whole processor and without a bill: build there
    _open()
