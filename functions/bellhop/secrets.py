"""Signing secrets, in a table of their own that only deliver and the operator read."""

from pynamodb.attributes import NumberAttribute, UnicodeAttribute
from pynamodb.models import Model

MIN_BYTES, MAX_BYTES = 24, 64  # of Standard Webhooks


class SigningSecret(Model):
    """An app's key: text whose ASCII bytes key both signature schemes.

    While two overlap, until `previous_until` (Unix seconds), `previous` is the one before.
    """

    class Meta:
        table_name = "secrets"

    app_id = UnicodeAttribute(hash_key=True)
    secret = UnicodeAttribute()
    previous = UnicodeAttribute(null=True)
    previous_until = NumberAttribute(null=True)

    def live_previous(self, now: float) -> str | None:
        """The secret before this one while it is still good; `now` in Unix seconds."""
        return self.previous if self.previous_until and float(self.previous_until) > now else None

    def __repr__(self) -> str:
        return f"SigningSecret({self.app_id!r})"  # the default would print the secret
