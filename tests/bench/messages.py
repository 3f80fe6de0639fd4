"""Queue messages, as the functions receive them."""

import json
import random
import time
import uuid
from collections.abc import Sequence
from functools import cache
from typing import Any

from bellhop import deliveries
from bellhop.deliveries import Delivery

BODY_BYTES = 1500
REGION = "us-east-1"  # of the embedded AWS
_WORDS = ["error", "module", "handler", "request", "value", "expected", "line", "file", "session", "cache"]


class Context:
    """Lambda's context object, at the beginning of an invocation."""

    function_name = "bench"
    function_version = "$LATEST"
    invoked_function_arn = "arn:aws:lambda:us-east-1:000000000000:function:bench"
    memory_limit_in_mb = 512

    def __init__(self, milliseconds: int = 30_000) -> None:
        self.aws_request_id = str(uuid.uuid4())
        self._end = time.monotonic() + milliseconds / 1000

    def get_remaining_time_in_millis(self) -> int:
        """As Lambda's."""
        return int((self._end - time.monotonic()) * 1000)


@cache
def text(size: int, seed: int) -> str:
    """Random words, which compress about as well as a stack trace."""
    chosen = random.Random(seed)
    parts: list[str] = []
    while sum(map(len, parts)) < size:
        parts.append(f"{chosen.choice(_WORDS)}{chosen.randrange(1000)} ")
    return "".join(parts)[:size]


def body(number: int, **first: Any) -> bytes:
    """A webhook's body of about `BODY_BYTES`. It begins with `first`, where the receiver finds it quickly."""
    return _fill(first | {"action": "created", "data": {"issue": {"id": str(number)}}}, number)


def _fill(document: dict[str, Any], seed: int) -> bytes:
    bare = len(json.dumps(document, separators=(",", ":")))
    return json.dumps(document | {"text": text(BODY_BYTES - bare - 10, seed)}, separators=(",", ":")).encode()


def new_delivery(app: str, number: int, **first: Any) -> Delivery:
    """A delivery for that app."""
    organization = app.replace("app", "org")
    return Delivery(
        delivery_id="msg_" + uuid.uuid4().hex,
        event_id=f"ev{number}",
        event="issue.created",
        app_id=app,
        organization_id=organization,
        installation_id=f"in-{app}",
        body=body(number, **first),
        enqueued_at=time.time(),
    )


def queue_message(text_: str, receives: int = 1, queue: str = "Deliveries") -> dict[str, Any]:
    """A message of an SQS event."""
    return {
        "messageId": str(uuid.uuid4()),
        "receiptHandle": "handle",
        "body": text_,
        "attributes": {"ApproximateReceiveCount": str(receives), "SentTimestamp": str(int(time.time() * 1000))},
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:{REGION}:000000000000:{queue}",
        "awsRegion": "us-east-1",
    }


def event(queue_messages: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """An SQS event, as Lambda hands it to a function."""
    return {"Records": list(queue_messages)}


def of_delivery(delivery: Delivery) -> dict[str, Any]:
    """The queue message that deliver receives."""
    return queue_message(deliveries.encode(delivery))


def of_both(delivery: Delivery) -> dict[str, Any]:
    """The queue messages that notify and deliver receive: the event, and the delivery that notify makes of it."""
    number = int(delivery.event_id.removeprefix("ev"))
    bare: dict[str, Any] = {
        "event_id": delivery.event_id,
        "type": "created",
        "organization_id": delivery.organization_id,
        "issue": {"id": str(number), "title": text(BODY_BYTES - 150, number)},
    }
    return {"event": queue_message(json.dumps(bare), queue="IssueEvents"), "delivery": of_delivery(delivery)}


def of_url(url: str, delivery: Delivery) -> dict[str, Any]:
    """The queue message that the baselines receive. It has everything, so that they need no table."""
    return queue_message(json.dumps({"url": url, "id": delivery.delivery_id, "body": delivery.body.decode()}))
