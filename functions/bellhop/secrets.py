"""Signing secrets, in a table of their own that only deliver and the operator read."""

from pynamodb.attributes import UnicodeAttribute
from pynamodb.models import Model

MIN_BYTES, MAX_BYTES = 24, 64  # of Standard Webhooks


class SigningSecret(Model):
    """An app's key: text whose ASCII bytes key both signature schemes."""

    class Meta:
        table_name = "secrets"

    app_id = UnicodeAttribute(hash_key=True)
    secret = UnicodeAttribute()

    def __repr__(self) -> str:
        return f"SigningSecret({self.app_id!r})"  # the default would print the secret
