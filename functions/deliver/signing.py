"""The headers that identify and sign a webhook, in the classic scheme and in Standard Webhooks.

Sources: https://docs.sentry.io/organization/integrations/integration-platform/webhooks/ and
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hashlib
import hmac

from bellhop.deliveries import Delivery

USER_AGENT = "Bellhop/1 (webhooks)"


def headers(delivery: Delivery, secret: str, request_id: str, timestamp: int) -> dict[str, str]:
    """Every header of one attempt. `timestamp` is in Unix seconds; it and `request_id` are new each attempt.

    `secret` keys both schemes by its ASCII bytes. Only the Standard signature covers the timestamp.
    """
    key = secret.encode("ascii")
    return {
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        "Accept": "*/*",
        "Accept-Encoding": "identity",  # an answer is never inflated
        "Request-ID": request_id,
        "Sentry-Hook-Resource": delivery.resource,
        "Sentry-Hook-Timestamp": str(timestamp),
        "Sentry-Hook-Signature": classic(key, delivery.body),
        "webhook-id": delivery.delivery_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": standard(key, delivery.delivery_id, timestamp, delivery.body),
    }


def classic(key: bytes, body: bytes) -> str:
    """HMAC-SHA256 of the body, in hex."""
    return hmac.new(key, body, hashlib.sha256).hexdigest()


def standard(key: bytes, delivery_id: str, timestamp: int, body: bytes) -> str:
    """The `v1` signature: HMAC-SHA256 of `id.timestamp.body`, in base64."""
    signed = f"{delivery_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
