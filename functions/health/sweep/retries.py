"""The sweep of retries: records that are long overdue, since a queue was purged or a schedule deleted.

Policy: a page is sent first, and each record then notes that its retry was sent now. If the worker dies between
the two, it is sent twice, and deliver drops the second. What is lost once more is found again as much later.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from bellhop import attempts, deliveries
from bellhop.attempts import LEASE, RETRYING, DeliveryRecord
from bellhop.budget import OutOfBudgetError
from bellhop.due import SHARDS, next_retry
from bellhop.newer import UnknownKindError
from bellhop.queues import MAX_DELAY, OutgoingMessage
from bellhop.tables import change
from health import pages
from health.dependencies import HealthDependencies
from health.messages import RetrySweep

PAGE = 100  # rows of the index, each of whose records is read
MOST_WAITING = 1000  # messages on the Retries queue: behind so many, what is overdue is rather late than lost
EVERY_SECONDS = 3600
RUN_SECONDS = 3000.0  # then the next sweep takes over


class SweepError(Exception):
    """SQS did not take all that was overdue; the message must come back."""


def step(message: RetrySweep, deps: HealthDependencies) -> None:
    """Send a page of overdue retries again, and the message for the next page.

    Raises:
        SweepError: SQS did not take the whole page.
    """
    now = deps.now().timestamp()
    ends_at = message.ends_at or now + RUN_SECONDS
    waiting = deps.retries_waiting()
    first = int(ends_at - RUN_SECONDS) // EVERY_SECONDS  # each hour another, so that none is always the last
    turn, page, after = _first_page(message, first, now - deps.overdue_seconds)
    lost = [record for row in page if (record := _looked_at(row, now, deps))]
    if waiting >= MOST_WAITING:
        lost = _one_of_each_app(lost, waiting, deps)
    _send_again(lost, now, deps)
    if page and now < ends_at:
        following = RetrySweep(turn, after, ends_at) if after else RetrySweep(turn + 1, ends_at=ends_at)
        deps.send_later(following, _seconds(lost, deps.replay_per_second))


def _first_page(
    message: RetrySweep, first: int, until: float
) -> tuple[int, list[DeliveryRecord], dict[str, Any] | None]:
    """The first page with anything on it from the message's cursor on, with its turn and the cursor after it."""
    after = message.after
    for turn in range(message.shard, SHARDS):
        overdue = DeliveryRecord.next_attempt_at <= until
        found = DeliveryRecord.due.query((first + turn) % SHARDS, overdue, limit=PAGE, last_evaluated_key=after)
        page, after = [*found], None
        if page:
            return turn, page, found.last_evaluated_key
    return SHARDS, [], None


def _looked_at(row: DeliveryRecord, now: float, deps: HealthDependencies) -> DeliveryRecord | None:
    """What `_lost` says; None where it cannot tell, so that one record does not stop the sweep of the others."""
    try:
        return _lost(row, now, deps)
    except OutOfBudgetError:
        raise
    except Exception:  # noqa: BLE001 - the record boundary
        deps.telemetry.error("record not swept: the next sweep looks at it again", delivery_id=row.delivery_id)
        return None


def _lost(row: DeliveryRecord, now: float, deps: HealthDependencies) -> DeliveryRecord | None:
    """The record of a row, if its retry was due long ago and nobody attempts it. The index may lag behind it."""
    try:
        record = attempts.load(row.delivery_id)
    except UnknownKindError:  # its message waits for a newer version
        return None
    if record is None or record.due_shard is None:
        return None
    if record.state != RETRYING or float(record.expires_at) <= now:
        # Version 0.1.0 leaves the row where it was, and DynamoDB deletes what has expired days late.
        gone = (DeliveryRecord.state != RETRYING) | (DeliveryRecord.expires_at <= int(now))
        change(record, [DeliveryRecord.due_shard.remove()], gone)
        return None
    overdue = float(record.next_attempt_at) <= now - deps.overdue_seconds
    leased = float(record.lease_until or 0.0) >= now
    return record if overdue and not leased else None


def _one_of_each_app(
    lost: Sequence[DeliveryRecord], waiting: int, deps: HealthDependencies
) -> list[DeliveryRecord]:
    """What of a page is sent again while so many messages wait on the Retries queue.

    Policy: most of what is overdue is among them, and copies of all would make it later. One of each app does not,
    and an app of whose messages none waits gets its own all the same.
    """
    chosen = [*{record.app_id: record for record in reversed(lost)}.values()]
    if len(chosen) < len(lost):
        deps.telemetry.warning(
            "most overdue retries not sent again, only one of each app: so many messages wait on the retry queue "
            "that the others may be among them; the next sweep looks again",
            waiting=waiting,
        )
    return chosen


def _send_again(lost: Sequence[DeliveryRecord], now: float, deps: HealthDependencies) -> None:
    if not lost:
        return
    failed = deps.retry(_paced(lost, deps.replay_per_second))
    sent = [record for number, record in enumerate(lost) if number not in failed]
    if sent:
        deps.telemetry.warning(
            "overdue retries sent again: their messages are lost or hours late",
            deliveries={record.delivery_id: record.app_id for record in sent},
        )
        deps.telemetry.count("SweepFound", len(sent))
    for record in sent:
        row = DeliveryRecord
        unchanged = (row.state == RETRYING) & (row.next_attempt_at == record.next_attempt_at) & LEASE.free(now)
        change(DeliveryRecord(record.delivery_id), [row.next_attempt_at.set(now)], unchanged)
    if failed:
        raise SweepError(f"SQS did not take {len(failed)} of {len(lost)} retries")


def _paced(lost: Sequence[DeliveryRecord], rate: float) -> list[OutgoingMessage]:
    """The retries, those of one app spread as a replay would spread them."""
    before: Counter[str] = Counter()
    messages = []
    for record in lost:
        delay = pages.delay(before[record.app_id], rate)
        messages.append(OutgoingMessage(deliveries.encode(next_retry(record)), record.app_id, delay))
        before[record.app_id] += 1
    return messages


def _seconds(lost: Sequence[DeliveryRecord], rate: float) -> int:
    """Until the next page: as long as the app with the most retries on this one takes."""
    most = max(Counter(record.app_id for record in lost).values(), default=0)
    return min(MAX_DELAY, math.ceil(most / rate))
