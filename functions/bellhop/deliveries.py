"""The delivery: one webhook for one installation, on its way from notify to deliver."""

import base64
import hashlib
import json
import zlib
from dataclasses import asdict, dataclass, fields
from typing import Any

from bellhop.newer import UnknownKindError, check_version

VERSION = 1

# Delivered and logged, but never counted towards switching an app off: alerts, and our own pings.
UNCOUNTED_RESOURCES = frozenset({"event_alert", "metric_alert", "ping"})


@dataclass(frozen=True, slots=True)
class Delivery:
    """A webhook to send; `body` is what goes over the wire, byte for byte, on every attempt.

    `enqueued_at` (Unix seconds) is when notify enqueued it, 0 where that is not known. A `ping` checks whether the
    endpoint responds. It is sent once, also to an app that is off; see bellhop.pings.
    """

    delivery_id: str
    event_id: str
    event: str
    app_id: str
    organization_id: str
    installation_id: str
    body: bytes
    ping: bool = False
    project_id: str | None = None
    enqueued_at: float = 0.0

    @property
    def resource(self) -> str:
        """What the event is about, such as `issue`."""
        return self.event.partition(".")[0]

    @property
    def counts(self) -> bool:
        """Whether its outcome counts towards the app's health."""
        return self.resource not in UNCOUNTED_RESOURCES


@dataclass(frozen=True, slots=True)
class Retry:
    """A scheduled retry: attempt number `next_attempt` of a delivery is due. Its record holds all that it needs.

    One that is `reserved` waited for its place under the app's rate, and goes out now. A `replay` may also take
    what was parked or exhausted. `deferral`: how often this attempt was deferred; the record counts it too, so of
    copies of a message one is deferred again. `organization_id` is empty where the sender does not know it.
    """

    delivery_id: str
    app_id: str
    next_attempt: int
    reserved: bool = False
    replay: bool = False
    organization_id: str = ""
    deferral: int = 0


@dataclass(frozen=True, slots=True)
class Trial:
    """The trial number `number` of an app that is paused in `generation` is due: one of its parked deliveries."""

    app_id: str
    generation: int
    number: int


_REFERENCES: dict[Any, type[Retry | Trial]] = {"retry": Retry, "trial": Trial}


def delivery_id(organization_id: str, event_id: str, installation_id: str) -> str:
    """The webhook-id: `msg_` and 32 hex digits, the same for every copy of the same event."""
    text = f"{organization_id}\0{event_id}\0{installation_id}"
    return "msg_" + hashlib.sha256(text.encode()).hexdigest()[:32]


class SharedTail:
    """What the bodies of one event's deliveries end with, compressed once for all of them.

    A body becomes one ordinary zlib stream: its head in a deflate block of its own that ends at a whole byte, then
    the tail's blocks, then the checksum of both. So readers need not know that anything is shared.
    """

    def __init__(self, tail: bytes) -> None:
        self.tail = tail
        self._blocks = _deflated(tail, zlib.Z_FINISH)

    def compress(self, body: bytes) -> bytes:
        """The body as a zlib stream. One with another end, such as a transformed one, shares nothing."""
        if not body.endswith(self.tail):
            return zlib.compress(body)
        head = _deflated(body[: len(body) - len(self.tail)], zlib.Z_SYNC_FLUSH)
        return _ZLIB_HEADER + head + self._blocks + zlib.adler32(body).to_bytes(4, "big")


_ZLIB_HEADER = b"\x78\x9c"  # RFC 1950: deflate with a window of 32 KiB, the default level


def _deflated(data: bytes, ending: int) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)  # blocks alone, without header and checksum
    return packer.compress(data) + packer.flush(ending)


def encode(message: Delivery | Retry | Trial, shared: SharedTail | None = None) -> str:
    """The message as the text of a queue message; `shared` is what its body shares with others of the event.

    What is not set is left out: during a deployment the version before must be able to read ordinary messages.
    """
    if isinstance(message, Retry):
        optional = _set(asdict(message), "reserved", "replay", "deferral", "organization_id")
        return json.dumps({"v": VERSION, "kind": "retry"} | optional)
    if isinstance(message, Trial):
        return json.dumps({"v": VERSION, "kind": "trial"} | asdict(message))
    # Compressed and base64: no character is doubled by escaping on its way through the queue.
    packed = shared.compress(message.body) if shared else zlib.compress(message.body)
    return json.dumps(
        {"v": VERSION}
        | _set(asdict(message), "ping", "project_id", "enqueued_at")
        | {"body": base64.b64encode(packed).decode()}
    )


def decode(text: str) -> Delivery | Retry | Trial:
    """The inverse of `encode`.

    Raises:
        UnknownKindError: a newer version sent it.
        ValueError, KeyError, TypeError: none of these messages. Only a fault of ours can put one on the queue.
    """
    values = json.loads(text)
    check_version("delivery message", values.pop("v"), VERSION)
    kind = values.pop("kind", None)
    if kind in _REFERENCES:
        return _REFERENCES[kind](**_known(_REFERENCES[kind], values))
    if kind is not None:
        raise UnknownKindError(f"message of the kind {kind!r}")
    body = zlib.decompress(base64.b64decode(values.pop("body")))
    return Delivery(body=body, **_known(Delivery, values))


def _set(values: dict[str, Any], *optional: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in optional or value}


def _known(kind: type[Delivery | Retry | Trial], values: dict[str, Any]) -> dict[str, Any]:
    # A field that a newer version added is ignored: after a roll-back its messages are still there.
    known = {name: value for name, value in values.items() if name in _TYPES[kind]}
    for name, value in known.items():
        if not isinstance(value, _TYPES[kind][name]):  # or it would fail where a batch is handled as a whole
            raise TypeError(f"{name} of a message is a {type(value).__name__}")
    return known


_TYPES: dict[type[Delivery | Retry | Trial], dict[str, Any]] = {
    kind: {each.name: (float, int) if each.type is float else each.type for each in fields(kind)}
    for kind in (Delivery, Retry, Trial)
}
