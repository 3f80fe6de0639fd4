"""The headers that identify and sign a webhook, in the classic scheme and in Standard Webhooks.

Sources: https://docs.sentry.io/organization/integrations/integration-platform/webhooks/ and
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from bellhop.deliveries import Delivery
from bellhop.secrets import HMAC, seed_of, signature_of

USER_AGENT = "Bellhop/1 (webhooks)"

# What an app may not set: hop-by-hop headers (RFC 9110 section 7.6.1), those that frame the message, and ours.
DENIED = frozenset(
    {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "expect", "host"}
    | {"proxy-connection", "proxy-authenticate", "proxy-authorization", "accept-encoding", "request-id"}
)
DENIED_PREFIXES = ("content-", "webhook-", "sentry-hook-")


@dataclass(frozen=True, slots=True)
class Keys:
    """An app's signing secrets; `previous` while it overlaps with `current`. See SigningSecret.

    `headers`: the app's own, which may be secret too. `oauth2`: as in SigningSecret. `hidden`: what else must be
    masked where it is repeated.
    """

    current: str
    previous: str | None = None
    headers: Mapping[str, str] | None = None
    oauth2: Mapping[str, str] | None = None
    hidden: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return "Keys(...)"  # the default would print the secrets


def denied(name: str) -> bool:
    """Whether an app's own headers may not have this name."""
    return name.lower() in DENIED or name.lower().startswith(DENIED_PREFIXES)


def headers(delivery: Delivery, keys: Keys, request_id: str, timestamp: int) -> dict[str, str]:
    """Every header of one attempt. `timestamp` is in Unix seconds; it and `request_id` are new for each attempt.

    While two secrets overlap, the Standard header has a signature by each. The classic header has room for one:
    the old secret's, so that a receiver may change to the new one at any time before the overlap ends. It is an
    HMAC, so without a secret for that there is none. Only the Standard signature covers the timestamp. An app's
    own headers never replace ours.
    """
    allowed = {name: value for name, value in (keys.headers or {}).items() if not denied(name)}
    return allowed | {
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        "Accept": "*/*",
        "Accept-Encoding": "identity",  # no response is ever inflated
        "Request-ID": request_id,
        "Sentry-Hook-Resource": delivery.resource,
        "Sentry-Hook-Timestamp": str(timestamp),
        **_classic_header(keys, delivery.body),
        "webhook-id": delivery.delivery_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(
            _standard(secret, delivery.delivery_id, timestamp, delivery.body)
            for secret in (keys.current, keys.previous)
            if secret
        ),
    }


def _classic_header(keys: Keys, body: bytes) -> dict[str, str]:
    symmetric = [secret for secret in (keys.previous, keys.current) if secret and signature_of(secret) == HMAC]
    return {"Sentry-Hook-Signature": classic(symmetric[0], body)} if symmetric else {}


def _standard(secret: str, delivery_id: str, timestamp: int, body: bytes) -> str:
    sign = standard if signature_of(secret) == HMAC else asymmetric
    return sign(secret, delivery_id, timestamp, body)


def classic(secret: str, body: bytes) -> str:
    """HMAC-SHA256 of the body, in hex."""
    return hmac.new(secret.encode("ascii"), body, hashlib.sha256).hexdigest()


def standard(secret: str, delivery_id: str, timestamp: int, body: bytes) -> str:
    """The `v1` signature: HMAC-SHA256 of `id.timestamp.body`, in base64."""
    return standard_of(secret.encode("ascii"), delivery_id, timestamp, body)


def standard_of(key: bytes, delivery_id: str, timestamp: int, body: bytes) -> str:
    """The same with the key as bytes, as in the specification."""
    digest = hmac.new(key, signed_bytes(delivery_id, timestamp, body), hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def asymmetric(secret: str, delivery_id: str, timestamp: int, body: bytes) -> str:
    """The `v1a` signature: Ed25519 of the same bytes, in base64."""
    from nacl.signing import SigningKey  # noqa: PLC0415 - 30 ms and 4 MB, only where an app is signed for so

    signature = SigningKey(seed_of(secret)).sign(signed_bytes(delivery_id, timestamp, body)).signature
    return "v1a," + base64.b64encode(signature).decode()


def signed_bytes(delivery_id: str, timestamp: int, body: bytes) -> bytes:
    """What the Standard signatures are of."""
    return f"{delivery_id}.{timestamp}.".encode() + body
