"""The health function: the Outcomes stream wakes it to judge, the Transitions queue to follow up."""

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from bellhop import aws, settings, tables
from bellhop.gates import Gate
from bellhop.outcomes import OutcomeDay
from bellhop.registry import App, AuditEntry, Organization
from bellhop.telemetry import PowertoolsTelemetry
from health import post, switch
from health.rules import Thresholds
from health.switch import Scope

if TYPE_CHECKING:
    from mypy_boto3_sesv2 import SESV2Client
    from mypy_boto3_sqs import SQSClient


@dataclass(frozen=True)
class Settings:
    """What the health function is told by its environment."""

    transitions_queue_url: str
    organizations_table: str
    apps_table: str
    audit_table: str
    outcomes_table: str
    broken_timeouts_per_day: int
    broken_error_days: int
    broken_pause_hours: int
    gates_table: str
    mail_from: str
    dashboard_url: str


@dataclass(frozen=True)
class Office:
    """What is built once per process."""

    switch: switch.Desk
    post: post.Desk
    telemetry: PowertoolsTelemetry


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Entry point for both sources; a batch is always of one of them."""
    office = _open()
    office.telemetry.begin(context)
    records = event["Records"]
    try:
        if records[0]["eventSource"] == "aws:dynamodb":
            return _failures(_review_stream(records, office))
        return _failures(_each(records, _message_id, lambda r: _follow_up(r, office), office))
    finally:
        office.telemetry.flush()


def _review_stream(records: Iterable[dict[str, Any]], office: Office) -> list[str]:
    # Counters only grow, so one look at a scope does for all of the batch's records of it: the first.
    firsts: dict[Scope, dict[str, Any]] = {}
    for record in records:
        firsts.setdefault(_scope(record), record)
    failed = _each(firsts.values(), _sequence_number, lambda r: switch.review(_scope(r), office.switch), office)
    return failed[:1]  # a stream goes on from the first that failed; what is judged again does no harm


def _each(
    records: Iterable[dict[str, Any]],
    identify: Callable[[dict[str, Any]], str],
    act: Callable[[dict[str, Any]], None],
    office: Office,
) -> list[str]:
    """Act on each record; return which must come back. Policy: a fault is one record's own."""
    failed = []
    for record in records:
        try:
            act(record)
        except Exception:  # noqa: BLE001 - the record boundary
            office.telemetry.error("record kept", record=identify(record))
            failed.append(identify(record))
    return failed


def _follow_up(record: dict[str, Any], office: Office) -> None:
    message = json.loads(record["body"])
    post.follow_up(message["app_id"], message["entry"], office.post)


def _scope(record: dict[str, Any]) -> Scope:
    image = record["dynamodb"]["NewImage"]
    return Scope(image["app_id"]["S"], image["organization_id"]["S"], int(image["epoch"]["N"]))


def _sequence_number(record: dict[str, Any]) -> str:
    return str(record["dynamodb"]["SequenceNumber"])


def _message_id(record: dict[str, Any]) -> str:
    return str(record["messageId"])


def _failures(identifiers: list[str]) -> dict[str, Any]:
    return {"batchItemFailures": [{"itemIdentifier": i} for i in identifiers]}


@cache
def _open() -> Office:
    chosen = settings.load(Settings, os.environ)
    connection = tables.connect()
    tables.bind(
        connection,
        {
            Organization: chosen.organizations_table,
            App: chosen.apps_table,
            AuditEntry: chosen.audit_table,
            OutcomeDay: chosen.outcomes_table,
            Gate: chosen.gates_table,
        },
    )
    telemetry = PowertoolsTelemetry()
    sqs: SQSClient = aws.client("sqs")
    # Retrying a send whose answer got lost could mail an owner twice.
    ses: SESV2Client = aws.client("sesv2", attempts=1, read_seconds=10)

    def announce(app_id: str, entry: str) -> None:
        body = json.dumps({"app_id": app_id, "entry": entry})
        sqs.send_message(QueueUrl=chosen.transitions_queue_url, MessageBody=body)

    thresholds = Thresholds(chosen.broken_timeouts_per_day, chosen.broken_error_days, chosen.broken_pause_hours)
    return Office(
        switch.Desk(thresholds, connection, announce, telemetry, _now),
        post.Desk(ses, chosen.mail_from, chosen.dashboard_url, telemetry, _now),
        telemetry,
    )


def _now() -> datetime:
    return datetime.now(UTC)


if settings.on_lambda(os.environ):  # a function starts with a whole processor and without a bill: build there
    _open()
