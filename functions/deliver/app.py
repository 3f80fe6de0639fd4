"""The deliver function: a batch of the Deliveries or the Retries queue in, webhooks out."""

import os
import random
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from cachetools import TTLCache, cached

from bellhop import settings, tables
from bellhop.attempts import DeliveryRecord, SuccessPack
from bellhop.outcomes import OutcomeDay
from bellhop.registry import App, Registry, find
from bellhop.secrets import SigningSecret
from bellhop.telemetry import PowertoolsTelemetry
from deliver.answer import Answer, NoAnswer
from deliver.chain import Desk
from deliver.dispatch import Workers, process
from deliver.guard import Policy
from deliver.sockets import tls_context
from deliver.transport import Transport

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

MARGIN_SECONDS = 3.0  # kept of the invocation's time for writing what came of the attempts


@dataclass(frozen=True)
class Settings:
    """What the deliver function is told by its environment."""

    retries_queue_url: str
    apps_table: str
    secrets_table: str
    outcomes_table: str
    attempts_table: str
    successes_table: str
    cache_seconds: float
    deadline_seconds: float
    lease_seconds: float
    retry_delays_seconds: tuple[int, ...]
    concurrency: int
    allow_http: bool
    allow_private_addresses: bool
    allowed_ports: str


@dataclass(frozen=True)
class Office:
    """What is built once per process."""

    desk: Desk
    telemetry: PowertoolsTelemetry
    transport: Transport
    pool: ThreadPoolExecutor
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
        workers = Workers(office.pool, post, may_start, _pause)
        kept = process(event["Records"], office.desk, workers)
        return {"batchItemFailures": [{"itemIdentifier": i} for i in kept]}
    finally:
        office.telemetry.flush()


@cache
def _open() -> Office:
    chosen = settings.load(Settings, os.environ)
    _bind(chosen)
    telemetry = PowertoolsTelemetry()
    sqs: SQSClient = boto3.client("sqs", config=Config(connect_timeout=2, read_timeout=5))
    desk = Desk(
        app=Registry(chosen.cache_seconds, time.monotonic).app,
        secret=_secrets(chosen.cache_seconds),
        sqs=sqs,
        retries_url=chosen.retries_queue_url,
        delays=chosen.retry_delays_seconds,
        lease_seconds=chosen.lease_seconds,
        telemetry=telemetry,
        now=lambda: datetime.now(UTC),
        uniform=random.uniform,
        token=lambda: uuid.uuid4().hex,
    )
    transport = Transport(policy(chosen), tls_context(), chosen.concurrency)
    pool = ThreadPoolExecutor(chosen.concurrency, "attempt")
    return Office(desk, telemetry, transport, pool, chosen.deadline_seconds)


def policy(chosen: Settings) -> Policy:
    """Which endpoints this deployment allows."""
    ports = None if chosen.allowed_ports == "any" else frozenset(map(int, chosen.allowed_ports.split(",")))
    return Policy(http=chosen.allow_http, private=chosen.allow_private_addresses, ports=ports)


def _bind(chosen: Settings) -> None:
    tables.bind(
        tables.connect(),
        {
            App: chosen.apps_table,
            SigningSecret: chosen.secrets_table,
            DeliveryRecord: chosen.attempts_table,
            SuccessPack: chosen.successes_table,
        },
    )
    # An ADD whose result is unknown may have counted: nothing below us may repeat it.
    tables.bind(tables.connect(retries=0), {OutcomeDay: chosen.outcomes_table})


def _secrets(seconds: float) -> Any:
    @cached(TTLCache(10_000, seconds, timer=time.monotonic))
    def secret(app_id: str) -> str | None:
        found = find(SigningSecret, app_id)
        return found.secret if found else None

    return secret


def _pause(attempt: int) -> None:
    time.sleep(random.uniform(0, 0.05 * 2**attempt))  # noqa: S311 - jitter, not a secret
