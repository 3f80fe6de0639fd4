"""What is due: the index of the records that are `retrying`, by the time of their next attempt, and their retries.

The messages that announce retries can be lost; the sweep finds their records here.
"""

import zlib
from typing import TYPE_CHECKING, Any

from pynamodb.attributes import NumberAttribute
from pynamodb.indexes import GlobalSecondaryIndex, KeysOnlyProjection

from bellhop.deliveries import Retry

if TYPE_CHECKING:
    from bellhop.attempts import DeliveryRecord

SHARDS = 64  # keys, so that no app's failures throttle anybody else; docs/capacity.md has the arithmetic


class Due(GlobalSecondaryIndex[Any]):  # type: ignore[no-untyped-call]
    """Only records with a `due_shard` are in it, which are those that are `retrying`."""

    class Meta:
        index_name = "due"
        projection = KeysOnlyProjection()

    due_shard = NumberAttribute(hash_key=True)
    next_attempt_at = NumberAttribute(range_key=True)


def shard(delivery_id: str) -> int:
    """The key in the index of a delivery's record."""
    return zlib.crc32(delivery_id.encode()) % SHARDS


def next_retry(record: "DeliveryRecord") -> Retry:
    """The message for the record's next attempt."""
    next_attempt = int(record.attempts_made) + 1
    return Retry(
        record.delivery_id,
        record.app_id,
        next_attempt,
        deferral=int(record.deferrals or 0),
        organization_id=record.organization_id,
    )
