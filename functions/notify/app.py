"""The notify function: SQS batch in, deliveries out, partial failures back to the queue."""

import os
import random
import time
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from bellhop import aws, settings, tables
from bellhop.registry import App, Installation, Organization, Registry
from bellhop.telemetry import PowertoolsTelemetry
from notify.intake import Desk, process

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


@dataclass(frozen=True)
class Settings:
    """What the notify function is told by its environment."""

    deliveries_queue_url: str
    events_dead_letters_url: str
    organizations_table: str
    apps_table: str
    installations_table: str
    cache_seconds: float


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Entry point for the IssueEvents queue."""
    desk, telemetry = _open()
    telemetry.begin(context)
    try:
        return {"batchItemFailures": [{"itemIdentifier": i} for i in process(event["Records"], desk)]}
    finally:
        telemetry.flush()


@cache
def _open() -> tuple[Desk, PowertoolsTelemetry]:
    chosen = settings.load(Settings, os.environ)
    tables.bind(
        tables.connect(),
        {
            Organization: chosen.organizations_table,
            App: chosen.apps_table,
            Installation: chosen.installations_table,
        },
    )
    telemetry = PowertoolsTelemetry()
    sqs: SQSClient = aws.client("sqs")
    desk = Desk(
        hooks=Registry(chosen.cache_seconds, time.monotonic),
        sqs=sqs,
        deliveries_url=chosen.deliveries_queue_url,
        dead_letters_url=chosen.events_dead_letters_url,
        telemetry=telemetry,
        pause=_pause,
    )
    return desk, telemetry


def _pause(attempt: int) -> None:
    time.sleep(random.uniform(0, 0.1 * 2**attempt))  # noqa: S311 - jitter, not a secret


if settings.on_lambda(os.environ):  # a function starts with a whole processor and without a bill: build there
    _open()
