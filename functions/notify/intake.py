"""A batch of queue messages on its way through notify: each event is enqueued, dead-lettered or skipped."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bellhop import deliveries, events
from bellhop.deliveries import Delivery
from bellhop.events import IssueEvent, MalformedEventError
from bellhop.queues import Outgoing, send_all
from bellhop.telemetry import Telemetry
from notify.fanout import FanOut, Hooks, fan_out

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

SHOWN = 20  # installations named per reason in a log line


@dataclass(frozen=True)
class Desk:
    """What notify works with."""

    hooks: Hooks
    sqs: "SQSClient"
    deliveries_url: str
    dead_letters_url: str
    telemetry: Telemetry
    pause: Callable[[int], None]


def process(records: Iterable[dict[str, Any]], desk: Desk) -> list[str]:
    """Handle a batch; return the ids of the messages that SQS must keep.

    Policy: a fault of ours (registry or queue does not answer) keeps only the messages it touched. What of
    them was already enqueued is enqueued again under the same webhook-id.
    """
    kept: list[str] = []
    outgoing: list[tuple[str, Delivery]] = []
    for record in records:
        event = None
        try:
            event = _read(record, desk)
            outgoing += [(record["messageId"], delivery) for delivery in _deliveries(event, desk)]
        except Exception:  # noqa: BLE001 - the record boundary: one event's fault is not its neighbours'
            names = {"event_id": event.event_id, "organization_id": event.organization_id} if event else {}
            desk.telemetry.error("event kept", message_id=record["messageId"], **names)
            kept.append(record["messageId"])
    return sorted({*kept, *_enqueue(outgoing, desk)})


def _read(record: dict[str, Any], desk: Desk) -> IssueEvent | None:
    """The event; None when it is malformed, and dead-lettered."""
    try:
        return events.parse(record["body"])
    except MalformedEventError as error:
        _dead_letter(record, error, desk)
        return None


def _deliveries(event: IssueEvent | None, desk: Desk) -> list[Delivery]:
    if event is None:
        return []
    result = fan_out(event, desk.hooks)
    _report(event, result, desk.telemetry)
    return result.deliveries


def _dead_letter(record: dict[str, Any], error: MalformedEventError, desk: Desk) -> None:
    # The body itself stays out of the log: it is the customer's.
    desk.sqs.send_message(
        QueueUrl=desk.dead_letters_url,
        MessageBody=record["body"],
        MessageAttributes={
            name: {"DataType": "String", "StringValue": _plain(value)}
            for name, value in (("field", error.field), ("reason", error.reason))
        },
    )
    desk.telemetry.warning(
        "event malformed, dead-lettered",
        message_id=record["messageId"],
        **error.names,
        field=error.field,
        reason=error.reason,
    )
    desk.telemetry.count("EventMalformed")


def _plain(text: str) -> str:
    # SQS refuses a message whose attributes hold control characters, and these quote the publisher.
    return text.encode("unicode_escape").decode()


def _report(event: IssueEvent, result: FanOut, telemetry: Telemetry) -> None:
    telemetry.count("EventReceived")
    telemetry.count("DeliveryEnqueued", len(result.deliveries))
    if not result.skipped and result.deliveries:
        return
    telemetry.info(
        "event fanned out" if result.deliveries else "event skipped",
        event_id=event.event_id,
        organization_id=event.organization_id,
        event_name=event.name,
        deliveries=len(result.deliveries),
        skipped={reason: ids[:SHOWN] for reason, ids in result.skipped.items()},
    )
    for reason, ids in result.skipped.items():
        telemetry.count("Skipped_" + reason, max(1, len(ids)))
    if not result.deliveries:
        telemetry.count("EventSkipped")


def _enqueue(outgoing: list[tuple[str, Delivery]], desk: Desk) -> set[str]:
    messages = [Outgoing(deliveries.encode(d), group=d.app_id) for _, d in outgoing]
    try:
        rejected = send_all(desk.sqs, desk.deliveries_url, messages, desk.pause)
    except Exception:  # noqa: BLE001 - SQS did not answer: every event of the batch goes back to its queue
        desk.telemetry.error("deliveries not enqueued", deliveries=len(messages))
        return {message_id for message_id, _ in outgoing}
    for number in sorted(rejected):
        message_id, delivery = outgoing[number]
        desk.telemetry.warning(
            "delivery rejected by the queue, event kept",
            message_id=message_id,
            event_id=delivery.event_id,
            delivery_id=delivery.delivery_id,
        )
    _say_enqueued([delivery for number, (_, delivery) in enumerate(outgoing) if number not in rejected], desk)
    return {outgoing[number][0] for number in rejected}


def _say_enqueued(enqueued: Iterable[Delivery], desk: Desk) -> None:
    # One line for the batch, with the number of each event's deliveries: a line for each event would cost as much
    # as its place on the queue.
    counted = Counter(delivery.event_id for delivery in enqueued)
    if counted:
        desk.telemetry.info("deliveries enqueued", events=dict(counted))
