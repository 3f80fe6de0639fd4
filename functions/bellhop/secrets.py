"""Signing secrets, in a table of their own that only deliver and the operator can read."""

from pynamodb.attributes import NumberAttribute, UnicodeAttribute
from pynamodb.models import Model

# https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
MIN_BYTES, MAX_BYTES = 24, 64


class SigningSecret(Model):
    """An app's secret: text whose ASCII bytes are the key of both signature schemes.

    After a rotation two secrets overlap: `previous` stays valid until `previous_until` (Unix seconds).
    """

    class Meta:
        table_name = "secrets"

    app_id = UnicodeAttribute(hash_key=True)
    secret = UnicodeAttribute()
    previous = UnicodeAttribute(null=True)
    previous_until = NumberAttribute(null=True)

    def live_previous(self, now: float) -> str | None:
        """The previous secret while it is still valid at `now` (Unix seconds), else None."""
        return self.previous if self.previous_until and float(self.previous_until) > now else None

    def __repr__(self) -> str:
        return f"SigningSecret({self.app_id!r})"  # the default would print the secret
