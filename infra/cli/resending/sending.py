"""Opening the records of chosen deliveries, and resending a few of them at once; many are resent by a job."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from bellhop import deliveries, resends, successes
from bellhop.attempts import DELIVERED
from bellhop.backoff import Backoff
from bellhop.deliveries import Retry
from bellhop.queues import OutgoingMessage, Queue
from bellhop.resends import NOT_KEPT, UNREADABLE, Chosen, Hooks, Times
from bellhop.tables import UnreadableError
from infra.cli.resending.selection import Candidate

NOT_TAKEN = "the retry queue did not take it"

AT_ONCE = 10  # records written side by side

_BACKOFF_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a delivery: RESENT, or why it was left; `retry` is what has deliver attempt it."""

    found: Candidate
    outcome: str
    retry: Retry | None = None


def opened(found: Candidate, now: datetime) -> Chosen | str:
    """The delivery with its record, which is opened if it has none; or why it is left.

    That changes nothing for a delivery: the record of one that succeeded at once says so.
    """
    try:
        return _opened(found, now)
    except UnreadableError:
        return UNREADABLE


def _opened(found: Candidate, now: datetime) -> Chosen | str:
    record = found.record or resends.look(found.delivery_id, now)
    if record is None and found.kept:
        kept = found.kept
        delivery = successes.kept(kept.page, kept.place, kept.number, kept.row)
        if delivery is None:
            return NOT_KEPT
        if resends.open_delivered(delivery, found.attempts_made, found.at, now):
            return Chosen(found.delivery_id, DELIVERED, found.attempts_made)
        record = resends.look(found.delivery_id, now)  # somebody opened it meanwhile, or this call came twice
    return Chosen(record.delivery_id, record.state, int(record.attempts_made)) if record else NOT_KEPT


def send(chosen: Sequence[Candidate], retries: Queue, now: datetime) -> list[Sent]:
    """Resend a few deliveries at once; what became of each.

    The record is written before its message is sent. What was not sent after all is sent by another resend, or by
    the sweep, which finds it overdue.
    """
    one = partial(_send_one, hooks=Hooks(), now=now)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        results = list(pool.map(one, chosen))
    ready = [number for number, each in enumerate(results) if each.retry]
    messages = [OutgoingMessage(deliveries.encode(r.retry), r.found.app_id) for r in results if r.retry]
    for refused in retries.send_all(messages, Backoff(_BACKOFF_SECONDS)):
        number = ready[refused]
        results[number] = Sent(results[number].found, NOT_TAKEN)
    return results


def _send_one(found: Candidate, hooks: Hooks, now: datetime) -> Sent:
    chosen = opened(found, now)
    if isinstance(chosen, str):
        return Sent(found, chosen)
    made = resends.resend(chosen, Times(now.timestamp(), now.timestamp()), hooks, now)
    return Sent(found, made.outcome, made.retry)
