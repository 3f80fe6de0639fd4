"""Whether a webhook is signed by a secret, in each scheme, as a receiver finds out."""

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Mapping

from standardwebhooks import Webhook, WebhookVerificationError

from bellhop.secrets import ED25519, PUBLIC_PREFIX, public_key, signature_of
from deliver.attempt.signing import signed_bytes

TOLERANCE_SECONDS = 300  # as the libraries of Standard Webhooks have it

Headers = Mapping[str, str]  # with names in lower case


class Verifier:
    """Verifies by a secret, or by the public key of one."""

    def __init__(self, secret: str) -> None:
        if signature_of(secret) == ED25519:
            secret = public_key(secret)
        self._public = base64.b64decode(secret.removeprefix(PUBLIC_PREFIX)) if _is_public(secret) else None
        self._key = secret.encode()

    @property
    def has_classic(self) -> bool:
        """Whether the classic header can be signed by this secret."""
        return self._public is None

    def is_standard(self, headers: Headers, body: bytes) -> bool:
        """Whether a signature of Standard Webhooks is of this secret, and recent."""
        if self._public is not None:
            return _is_asymmetric(self._public, headers, body)
        try:
            Webhook(f"whsec_{base64.b64encode(self._key).decode()}").verify(body, dict(headers))
        except (WebhookVerificationError, ValueError):  # a signature may be anything but base64
            return False
        return True

    def is_classic(self, headers: Headers, body: bytes) -> bool:
        """Whether the classic signature is of this secret."""
        expected = hmac.new(self._key, body, hashlib.sha256).hexdigest()
        return hmac.compare_digest(expected.encode(), headers.get("sentry-hook-signature", "").encode())


def _is_public(secret: str) -> bool:
    return secret.startswith(PUBLIC_PREFIX)


def _is_asymmetric(key: bytes, headers: Headers, body: bytes) -> bool:
    timestamp = headers.get("webhook-timestamp", "")
    if not timestamp.isdecimal() or abs(time.time() - int(timestamp)) > TOLERANCE_SECONDS:
        return False
    signed = signed_bytes(headers.get("webhook-id", ""), int(timestamp), body)
    given = (text.partition(",") for text in headers.get("webhook-signature", "").split(" "))
    return any(version == "v1a" and _verifies(key, signed, signature) for version, _, signature in given)


def _verifies(key: bytes, signed: bytes, signature: str) -> bool:
    from nacl.exceptions import BadSignatureError  # noqa: PLC0415 - few receivers need it
    from nacl.signing import VerifyKey  # noqa: PLC0415

    try:
        VerifyKey(key).verify(signed, base64.b64decode(signature, validate=True))
    except (BadSignatureError, binascii.Error, ValueError):
        return False
    return True
