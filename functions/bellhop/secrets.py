"""An app's signing secrets and its own headers, in a table that only deliver and the operator can read."""

from collections.abc import Mapping

from pynamodb.attributes import JSONAttribute, NumberAttribute, UnicodeAttribute
from pynamodb.models import Model

from bellhop.registry import App

# https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
MIN_BYTES, MAX_BYTES = 24, 64


class SigningSecret(Model):
    """An app's secret: text whose ASCII bytes are the key of both signature schemes.

    After a rotation two secrets overlap: `previous` stays valid until `previous_until` (Unix seconds). `headers`
    are the app's own, sent with every webhook. They may be secret too, such as a bearer token.
    """

    class Meta:
        table_name = "secrets"

    app_id = UnicodeAttribute(hash_key=True)
    secret = UnicodeAttribute()
    previous = UnicodeAttribute(null=True)
    previous_until = NumberAttribute(null=True)
    headers: JSONAttribute = JSONAttribute(null=True)

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
