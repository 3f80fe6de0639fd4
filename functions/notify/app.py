"""The notify function: a batch of issue events in, deliveries out, what failed back to the queue."""

import os
import time
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from bellhop import aws, partial_batch, settings, tables
from bellhop.backoff import Backoff
from bellhop.budget import Budget
from bellhop.handled_events import HandledEvent
from bellhop.powertools import PowertoolsTelemetry
from bellhop.queues import Queue
from bellhop.registry import App, Installation, Organization, Registry
from notify.duplicates import Duplicates
from notify.intake import NotifyDependencies, process

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


@dataclass(frozen=True)
class Settings:
    """The notify function's environment."""

    deliveries_queue_url: str
    issue_events_queue_url: str
    events_dead_letters_url: str
    organizations_table: str
    apps_table: str
    installations_table: str
    delivered_table: str
    cache_seconds: float
    drop_duplicates_hours: int


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Entry point for the IssueEvents queue."""
    deps, telemetry, budget = _open()
    telemetry.begin(context)
    try:
        with budget.invocation(context.get_remaining_time_in_millis):
            left = context.get_remaining_time_in_millis
            return partial_batch.response(process(event["Records"], deps, lambda: left() / 1000), telemetry)
    finally:
        telemetry.flush()


@cache
def _open() -> tuple[NotifyDependencies, PowertoolsTelemetry, Budget]:
    budget = Budget.watching(aws.core())  # before the first client is made, so that it watches them all
    chosen = settings.load(Settings, os.environ)
    connection = tables.connect()
    tables.bind(
        connection,
        {
            Organization: chosen.organizations_table,
            App: chosen.apps_table,
            Installation: chosen.installations_table,
            HandledEvent: chosen.delivered_table,
        },
    )
    telemetry = PowertoolsTelemetry()
    sqs: SQSClient = aws.client("sqs")
    keep = timedelta(hours=chosen.drop_duplicates_hours)
    deps = NotifyDependencies(
        hooks=Registry(chosen.cache_seconds, time.time),
        deliveries=Queue(sqs, chosen.deliveries_queue_url),
        dead_letters=Queue(sqs, chosen.events_dead_letters_url),
        events=Queue(sqs, chosen.issue_events_queue_url),
        telemetry=telemetry,
        backoff=Backoff(0.1),
        now=time.time,
        budget=budget,
        duplicates=Duplicates(connection, keep, telemetry, time.time) if keep else None,
    )
    return deps, telemetry, budget


if settings.on_lambda(os.environ):  # initialisation has a whole processor and is not billed: build there
    _open()
