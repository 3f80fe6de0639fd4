"""A batch of queue messages: each event is fanned out into deliveries, dead-lettered or skipped."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from bellhop import events
from bellhop.deliveries import Delivery, encode
from bellhop.events import IssueEvent, MalformedEventError
from bellhop.queues import OutgoingMessage, Queue
from bellhop.telemetry import Telemetry
from notify.fanout import FanOut, Hooks, fan_out

MAX_NAMED = 20  # installations in a log line, for each reason
MAX_ATTRIBUTE = 1000  # characters of a dead letter's attribute


@dataclass(frozen=True)
class NotifyDependencies:
    """What notify's code is handed; `backoff` sleeps before SQS is called again."""

    hooks: Hooks
    deliveries: Queue
    dead_letters: Queue
    telemetry: Telemetry
    backoff: Callable[[int], None]
    now: Callable[[], float]  # Unix seconds


def process(messages: Iterable[dict[str, Any]], deps: NotifyDependencies) -> list[str]:
    """Handle a batch; return the ids of the messages that the queue is to deliver again.

    Policy: when the registry or a queue does not respond, only the messages concerned come back. Those of their
    deliveries that were already enqueued are enqueued again, under the same webhook-id.
    """
    failed: list[str] = []
    outgoing: list[tuple[str, Delivery]] = []
    for message in messages:
        event = None
        try:
            event = _read(message, deps)
            outgoing += [(message["messageId"], delivery) for delivery in _deliveries(event, deps)]
        except Exception:  # noqa: BLE001 - the record boundary: one event's fault is not its neighbours'
            names = {"event_id": event.event_id, "organization_id": event.organization_id} if event else {}
            deps.telemetry.error(
                "event not handled: it will be retried by the queue", message_id=message["messageId"], **names
            )
            failed.append(message["messageId"])
    return sorted({*failed, *_enqueue(outgoing, deps)})


def _read(message: dict[str, Any], deps: NotifyDependencies) -> IssueEvent | None:
    """The event; None if it was malformed and is now in the dead-letter queue."""
    try:
        return events.parse(message["body"])
    except MalformedEventError as error:
        _dead_letter(message, error, deps)
        return None


def _deliveries(event: IssueEvent | None, deps: NotifyDependencies) -> list[Delivery]:
    if event is None:
        return []
    result = fan_out(event, deps.hooks)
    _report(event, result, deps.telemetry)
    return result.deliveries


def _dead_letter(message: dict[str, Any], error: MalformedEventError, deps: NotifyDependencies) -> None:
    # The body stays out of the log, because it is the customer's data.
    attributes = {"field": _attribute(error.field), "reason": _attribute(error.reason)}
    deps.dead_letters.send(OutgoingMessage(message["body"], attributes=attributes))
    deps.telemetry.warning(
        "event malformed: it was sent to the dead-letter queue",
        message_id=message["messageId"],
        **error.names,
        field=error.field,
        reason=error.reason,
    )
    deps.telemetry.count("EventMalformed")


def _attribute(text: str) -> str:
    # SQS refuses an attribute that is empty or has control characters, and these quote what the publisher wrote.
    return text.encode("unicode_escape").decode()[:MAX_ATTRIBUTE] or '""'


def _report(event: IssueEvent, result: FanOut, telemetry: Telemetry) -> None:
    telemetry.count("EventReceived")
    telemetry.count("DeliveryEnqueued", len(result.deliveries))
    if not result.skipped and result.deliveries:
        return
    telemetry.info(
        "event fanned out, but not to every installation"
        if result.deliveries
        else "event skipped: no installation gets it",
        event_id=event.event_id,
        organization_id=event.organization_id,
        event_name=event.name,
        deliveries=len(result.deliveries),
        skipped={reason: ids[:MAX_NAMED] for reason, ids in result.skipped.items()},
    )
    for reason, ids in result.skipped.items():
        telemetry.count("Skipped_" + reason, max(1, len(ids)))
    if not result.deliveries:
        telemetry.count("EventSkipped")


def _enqueue(outgoing: list[tuple[str, Delivery]], deps: NotifyDependencies) -> set[str]:
    now = deps.now()
    messages = [OutgoingMessage(encode(replace(d, enqueued_at=now)), group=d.app_id) for _, d in outgoing]
    try:
        rejected = deps.deliveries.send_all(messages, deps.backoff)
    except Exception:  # noqa: BLE001 - SQS did not respond: every event of the batch goes back to its queue
        deps.telemetry.error(
            "deliveries not enqueued: their events will be retried by the queue", deliveries=len(messages)
        )
        return {message_id for message_id, _ in outgoing}
    for number in sorted(rejected):
        message_id, delivery = outgoing[number]
        deps.telemetry.warning(
            "delivery rejected by its queue: its event will be retried by the queue",
            message_id=message_id,
            event_id=delivery.event_id,
            delivery_id=delivery.delivery_id,
        )
    _report_enqueued([delivery for number, (_, delivery) in enumerate(outgoing) if number not in rejected], deps)
    return {outgoing[number][0] for number in rejected}


def _report_enqueued(enqueued: Iterable[Delivery], deps: NotifyDependencies) -> None:
    # One line for the batch, with the number of deliveries for each event: a line for each event would cost as
    # much as sending it through the queue.
    counted = Counter(delivery.event_id for delivery in enqueued)
    if counted:
        deps.telemetry.info("deliveries enqueued", events=dict(counted))
