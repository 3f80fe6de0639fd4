"""The Lambda one writes first: requests.post and a pynamodb save for each message."""

import json
from datetime import UTC, datetime

import requests
from pynamodb.attributes import NumberAttribute, UnicodeAttribute
from pynamodb.models import Model

from tests.bench.measured import JSON, Event, Measured


class Sent(Model):
    """What was sent, and the status of its response."""

    class Meta:
        table_name = "sent"

    delivery_id = UnicodeAttribute(hash_key=True)
    url = UnicodeAttribute()
    status = NumberAttribute()
    at = UnicodeAttribute()


def make() -> Measured:
    """The handler."""
    return Measured(_handle)


def _handle(event: Event) -> None:
    for queue_message in event["Records"]:
        message = json.loads(queue_message["body"])
        response = requests.post(message["url"], message["body"].encode(), headers=JSON, timeout=10)
        at = datetime.now(UTC).isoformat()
        Sent(message["id"], url=message["url"], status=response.status_code, at=at).save()
