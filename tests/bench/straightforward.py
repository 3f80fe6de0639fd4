"""The Lambda one writes first: requests.post and a pynamodb save for each message."""

import json
from collections.abc import Callable
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
    return posting(requests.post)


def posting(post: Callable[..., requests.Response]) -> Measured:
    """The handler, with what posts a webhook."""

    def handle(event: Event) -> None:
        for queue_message in event["Records"]:
            message = json.loads(queue_message["body"])
            response = post(message["url"], message["body"].encode(), headers=JSON, timeout=10)
            at = datetime.now(UTC).isoformat()
            Sent(message["id"], url=message["url"], status=response.status_code, at=at).save()

    return Measured(handle)
