"""Marks of events that were fanned out, so that a copy of one can be told from a new event."""

from collections.abc import Iterable
from datetime import timedelta

from pynamodb.attributes import NumberAttribute, UnicodeAttribute
from pynamodb.connection import Connection
from pynamodb.models import Model

from bellhop import deliveries
from bellhop.events import IssueEvent
from bellhop.tables import ItemKey, read_at_once

PREFIX = "event#"  # of the keys; notify's role reaches no others of the table
PLACE = "fanned out"


class HandledEvent(Model):
    """That every delivery of an event is on its queue since `at`. Stands in Delivered. Times are Unix seconds."""

    class Meta:
        table_name = "delivered"

    key = UnicodeAttribute(hash_key=True)
    place = UnicodeAttribute(range_key=True)
    at = NumberAttribute()
    expires_at = NumberAttribute()


def key(event: IssueEvent) -> str:
    """What copies of an event have in common: organisation, id, and the installation that it is for, if any."""
    return PREFIX + deliveries.delivery_id(event.organization_id, event.event_id, event.installation_id or "")


def find(events: Iterable[IssueEvent], connection: Connection, now: float) -> dict[str, float]:
    """When those of the events that are marked were fanned out, by their keys. One call for a hundred, eventually
    consistent.

    Raises:
        GetError: DynamoDB did not respond, or refused.
    """
    keys = {ItemKey(HandledEvent, key(event), PLACE) for event in events}
    items = read_at_once(keys, connection).items() if keys else ()
    # DynamoDB deletes an item up to two days after it has expired.
    return {
        each.hash_key: float(item.at)
        for each, item in items
        if isinstance(item, HandledEvent) and item.expires_at > now
    }


def mark(events: Iterable[IssueEvent], now: float, keep: timedelta) -> None:
    """Mark events, 25 by one call.

    Raises:
        PutError: DynamoDB did not respond, or refused; some may be marked.
    """
    with HandledEvent.batch_write() as batch:
        for name in dict.fromkeys(map(key, events)):
            batch.save(HandledEvent(name, PLACE, at=now, expires_at=now + keep.total_seconds()))
