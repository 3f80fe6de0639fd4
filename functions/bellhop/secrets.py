"""What an app keeps secret, in a table that only deliver and the operator can read.

That is its signing secrets, its own headers, and its OAuth2 client credentials.
"""

import base64
from collections.abc import Mapping

from pynamodb.attributes import JSONAttribute, NumberAttribute, UnicodeAttribute
from pynamodb.models import Model

from bellhop.registry import App

# https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
MIN_BYTES, MAX_BYTES = 24, 64

# How an app's webhooks are signed.
HMAC, ED25519 = SIGNATURES = ("hmac", "ed25519")
PRIVATE_PREFIX, PUBLIC_PREFIX = "whsk_", "whpk_"
SEED_BYTES = 32  # of an Ed25519 key pair; the public key, as long, stands behind it


class SigningSecret(Model):
    """An app's secret: text whose ASCII bytes are the key of both HMAC schemes, or an Ed25519 key pair.

    That is `whsk_` and the base64 of seed and public key, longer than any other secret. After a rotation two
    secrets overlap: `previous` stays valid until `previous_until` (Unix seconds). `headers` are the app's own,
    sent with every webhook. They may be secret too, such as a bearer token. `oauth2`: where and as whom an access
    token for its endpoint is asked for (see deliver.attempt.oauth2).
    """

    class Meta:
        table_name = "secrets"

    app_id = UnicodeAttribute(hash_key=True)
    secret = UnicodeAttribute()
    previous = UnicodeAttribute(null=True)
    previous_until = NumberAttribute(null=True)
    headers: JSONAttribute = JSONAttribute(null=True)
    oauth2: JSONAttribute = JSONAttribute(null=True)

    def live_previous(self, now: float) -> str | None:
        """The previous secret while it is still valid at `now` (Unix seconds), else None."""
        return self.previous if self.previous_until and float(self.previous_until) > now else None

    def __repr__(self) -> str:
        return f"SigningSecret({self.app_id!r})"  # the default would print the secret


def headers_of(app: App, row: SigningSecret | None) -> Mapping[str, str] | None:
    """An app's own headers, None without any.

    Where the app's own row has some, that row was written last: an older version wrote it, or nobody has moved
    them yet, and moving takes them away from there.
    """
    headers: Mapping[str, str] | None = app.headers if app.headers is not None or row is None else row.headers
    return headers


def signature_of(secret: str) -> str:
    """How webhooks are signed with this secret: HMAC or ED25519."""
    return ED25519 if secret.startswith(PRIVATE_PREFIX) and len(secret) > MAX_BYTES else HMAC


def seed_of(secret: str) -> bytes:
    """What makes the key pair of an Ed25519 secret."""
    return _pair(secret)[:SEED_BYTES]


def public_key(secret: str) -> str:
    """The public key of an Ed25519 secret, as the libraries of Standard Webhooks take it."""
    return PUBLIC_PREFIX + base64.b64encode(_pair(secret)[SEED_BYTES:]).decode()


def _pair(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(PRIVATE_PREFIX))
