"""The body of a delivery that has a record: a small one stands in the record, a large one in an item of its own.

Each claim and each result writes the record anew, which costs a write unit for each KiB that it has. So a large
body is written once, before the record that names it, and read only when it is sent, or a person looks for it.
"""

import hashlib
import zlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pynamodb.attributes import BinaryAttribute, NumberAttribute, UnicodeAttribute
from pynamodb.models import Model

from bellhop.deliveries import Delivery
from bellhop.registry import find
from bellhop.tables import UnreadableError, change_unseen

if TYPE_CHECKING:
    from bellhop.attempts import DeliveryRecord

LARGE_BYTES = 2048  # compressed, from which on a body is large; docs/decisions/0090 has the arithmetic
KEPT_LONGER = timedelta(days=1)  # than its record, by whatever clock: what has a record is never without its body
_PREFIX = "body#"  # no delivery's id begins so
_DIGEST = 16  # hex digits


class LostBodyError(Exception):
    """The body of a record is missing, or damaged: nobody can send it any more."""


class LargeBody(Model):
    """A body, compressed. In the table of the records, in none of its indexes.

    Its key has its digest: a delivery that begins anew with another body leaves alone what another worker is about
    to read, and to write one twice changes nothing.
    """

    class Meta:
        table_name = "attempts"

    key = UnicodeAttribute(hash_key=True, attr_name="delivery_id")
    body = BinaryAttribute(legacy_encoding=False)
    expires_at = NumberAttribute()


@dataclass(frozen=True, slots=True)
class Body:
    """What a record has of its body: the whole of it, compressed, or the digest by which it is found."""

    packed: bytes | None
    digest: str | None = None

    def put(self, row: "type[DeliveryRecord]") -> list[Any]:
        """The update that has a record have it in the place of the one before."""
        body = row.body.remove() if self.packed is None else row.body.set(self.packed)
        digest = row.body_digest.remove() if self.digest is None else row.body_digest.set(self.digest)
        return [body, digest]


def keep(delivery: Delivery, expires_at: int) -> Body:
    """What the record of a delivery is to have of its body; a large one is written, to be kept as long as that.

    Raises:
        UpdateError: the table did not respond, or refused.
    """
    packed = zlib.compress(delivery.body)
    if len(packed) < LARGE_BYTES:
        return Body(packed)
    digest = hashlib.sha256(delivery.body).hexdigest()[:_DIGEST]
    large = LargeBody(_named(delivery.delivery_id, digest))
    change_unseen(large, [LargeBody.body.set(packed), LargeBody.expires_at.set(_later(expires_at))])
    return Body(None, digest)


def keep_longer(record: "DeliveryRecord", expires_at: int) -> bool:
    """Have the body of a record be kept as long as that, before the record is; False where it is missing.

    Raises:
        UpdateError: the table did not respond, or refused.
    """
    name = key(record)
    if name is None:
        return True
    longer = [LargeBody.expires_at.set(_later(expires_at))]
    return change_unseen(LargeBody(name), longer, LargeBody.body.exists())


def load(record: "DeliveryRecord") -> Delivery:
    """The delivery of a record, as notify made it.

    Raises:
        LostBodyError: its body is missing, or damaged.
        GetError: the table did not respond, or refused.
    """
    name = key(record)
    try:
        return joined(record, find(LargeBody, name, consistent=True) if name else None)
    except UnreadableError as error:
        raise LostBodyError(str(error)) from error


def key(record: "DeliveryRecord") -> str | None:
    """The key of the item that has the body of a record; None where the record has it.

    One that has both was begun anew by 0.1.0, which knows no digest.
    """
    if record.body or not record.body_digest:
        return None
    return _named(record.delivery_id, record.body_digest)


def joined(record: "DeliveryRecord", large: LargeBody | None) -> Delivery:
    """The delivery of a record, with the item of its key.

    Raises:
        LostBodyError: its body is missing, or damaged.
    """
    packed = large.body if large else record.body
    if packed is None:
        raise LostBodyError(f"nothing is kept under {key(record) or record.delivery_id}")
    try:
        body = zlib.decompress(packed)
    except zlib.error as error:
        raise LostBodyError(f"what is kept under {key(record) or record.delivery_id} is no body") from error
    return Delivery(
        delivery_id=record.delivery_id,
        event_id=record.event_id,
        event=record.event,
        app_id=record.app_id,
        organization_id=record.organization_id,
        installation_id=record.installation_id,
        project_id=record.project_id,
        body=body,
    )


def _named(delivery_id: str, digest: str) -> str:
    return f"{_PREFIX}{delivery_id}#{digest}"


def _later(expires_at: int) -> int:
    return expires_at + int(KEPT_LONGER.total_seconds())
