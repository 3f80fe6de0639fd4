"""The delivery: one webhook for one installation, on its way from notify to deliver."""

import base64
import hashlib
import json
import zlib
from dataclasses import asdict, dataclass

VERSION = 1

# Alerts are delivered and logged, but never counted towards switching an app off.
ALERT_RESOURCES = frozenset({"event_alert", "metric_alert"})


@dataclass(frozen=True, slots=True)
class Delivery:
    """A webhook to send; `body` is what goes over the wire, byte for byte, on every attempt."""

    delivery_id: str
    event_id: str
    event: str
    app_id: str
    organization_id: str
    installation_id: str
    body: bytes

    @property
    def resource(self) -> str:
        """What the event is about, such as `issue`."""
        return self.event.partition(".")[0]

    @property
    def counts(self) -> bool:
        """Whether its outcome counts towards the app's health."""
        return self.resource not in ALERT_RESOURCES


@dataclass(frozen=True, slots=True)
class Retry:
    """A reminder that attempt `attempt` of a delivery is due; its record in Attempts holds all that it needs.

    `waiting_since` (epoch seconds) is set while the attempt is put off because its app is paused or over its
    rate: such a reminder goes round without touching the record.
    """

    delivery_id: str
    app_id: str
    attempt: int
    waiting_since: float | None = None


def delivery_id(organization_id: str, event_id: str, installation_id: str) -> str:
    """The webhook-id: `msg_` and 32 hex digits, the same for every copy of the same event."""
    text = f"{organization_id}\0{event_id}\0{installation_id}"
    return "msg_" + hashlib.sha256(text.encode()).hexdigest()[:32]


def encode(message: Delivery | Retry) -> str:
    """The message as the text of a queue message."""
    if isinstance(message, Retry):
        return json.dumps({"v": VERSION, "kind": "retry"} | asdict(message))
    return json.dumps(
        {
            "v": VERSION,
            "delivery_id": message.delivery_id,
            "event_id": message.event_id,
            "event": message.event,
            "app_id": message.app_id,
            "organization_id": message.organization_id,
            "installation_id": message.installation_id,
            # Compressed and base64: no character is doubled by escaping on its way through the queue.
            "body": base64.b64encode(zlib.compress(message.body)).decode(),
        }
    )


def decode(text: str) -> Delivery | Retry:
    """The inverse of `encode`.

    Raises:
        ValueError, KeyError: not a message of this version. Only a fault of ours can put one on the queue.
    """
    fields = json.loads(text)
    if fields.pop("v") != VERSION:
        raise ValueError("a delivery message of another version; deploy notify and deliver together")
    if fields.pop("kind", None) == "retry":
        return Retry(**fields)
    return Delivery(body=zlib.decompress(base64.b64decode(fields.pop("body"))), **fields)
