"""Telling whoever automates on it that a delivery is exhausted: an event on the bus, at least once."""

from bellhop.attempts import DeliveryRecord
from deliver.dependencies import DeliverDependencies

KIND = "bellhop.delivery.exhausted"


def announce(record: DeliveryRecord, deps: DeliverDependencies) -> None:
    """Publish that `record` is exhausted. Whoever calls this has written that before.

    Policy: when the bus does not take it, this raises and the message comes back. It finds the record exhausted
    and announces it again, so the event may arrive twice, with the same id, but never not at all.
    """
    attempts = int(record.attempts_made)
    detail = {
        "app_id": record.app_id,
        "organization_id": record.organization_id,
        "event_id": record.event_id,
        "event": record.event,
        "delivery_id": record.delivery_id,
        "attempts": attempts,
        "last_result": record.attempts[-1]["result"] if record.attempts else None,
    }
    # What was replayed and exhausted again has made another attempt, unless it only waited: then nothing is new.
    deps.publish(KIND, f"{record.delivery_id}-{attempts}", detail)
