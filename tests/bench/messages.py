"""Queue messages as the functions get them."""

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
_WORDS = ["error", "module", "handler", "request", "value", "expected", "line", "file", "session", "cache"]


class Context:
    """Lambda's context object, for an invocation with all its time left."""

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
    """Words that compress like a stack trace does, rather than like one repeated letter."""
    chosen = random.Random(seed)
    parts: list[str] = []
    while sum(map(len, parts)) < size:
        parts.append(f"{chosen.choice(_WORDS)}{chosen.randrange(1000)} ")
    return "".join(parts)[:size]


def body(number: int, **first: Any) -> bytes:
    """A webhook's body of about `BODY_BYTES`; `first` stands at its beginning, for the receiver to see."""
    return _fill(first | {"action": "created", "data": {"issue": {"id": str(number)}}}, number)


def _fill(document: dict[str, Any], seed: int) -> bytes:
    bare = len(json.dumps(document, separators=(",", ":")))
    return json.dumps(document | {"text": text(BODY_BYTES - bare - 10, seed)}, separators=(",", ":")).encode()


def delivery(app: str, number: int, **first: Any) -> Delivery:
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
    )


def record(text_: str, receives: int = 1) -> dict[str, Any]:
    """A record of an SQS event."""
    return {
        "messageId": str(uuid.uuid4()),
        "receiptHandle": "handle",
        "body": text_,
        "attributes": {"ApproximateReceiveCount": str(receives)},
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:Deliveries",
        "awsRegion": "us-east-1",
    }


def event(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """An SQS event."""
    return {"Records": list(records)}


def of_delivery(made: Delivery) -> dict[str, Any]:
    """The record that deliver gets."""
    return record(deliveries.encode(made))


def of_url(url: str, made: Delivery) -> dict[str, Any]:
    """The record that the baselines get: everything in it, nothing to look up."""
    return record(json.dumps({"url": url, "id": made.delivery_id, "body": made.body.decode()}))
