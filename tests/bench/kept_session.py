"""The same Lambda as one writes it the second time: one Session and its TLS context are kept."""

import json
from datetime import UTC, datetime

from tests.bench.bare_session import session
from tests.bench.measured import JSON, Event, Measured
from tests.bench.straightforward import Sent


def make() -> Measured:
    """The handler."""
    kept = session()

    def handle(event: Event) -> None:
        for queue_message in event["Records"]:
            message = json.loads(queue_message["body"])
            response = kept.post(message["url"], message["body"].encode(), headers=JSON, timeout=10)
            at = datetime.now(UTC).isoformat()
            Sent(message["id"], url=message["url"], status=response.status_code, at=at).save()

    return Measured(handle)
