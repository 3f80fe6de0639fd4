"""What becomes of deliveries: watched in the delivery log until each has ended or waits, or the time is up."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bellhop.attempts import DELIVERED, PARKED, RETRYING, DeliveryRecord
from infra.cli import delivered
from infra.cli.destinations import Destination
from infra.cli.views import read_records

PERIOD_SECONDS = 1.0  # between two looks


@dataclass(frozen=True, slots=True)
class Arrival:
    """How far a delivery has come: its state, and the result of its last attempt, None before the first.

    `due` (Unix seconds) is when the next attempt is due. `status` is what came back at the last one.
    """

    state: str
    result: str | None = None
    due: float | None = None
    status: int | None = None


def watch(
    destinations: Sequence[Destination],
    since: datetime,
    seconds: float,
    now: Callable[[], datetime],
    sleep: Callable[[float], None],
) -> Iterator[dict[str, Arrival]]:
    """What became of deliveries, by id, as far as it was seen, after each look. They were published at `since`.

    The last look is when all were seen, or after `seconds`.
    """
    until = now() + timedelta(seconds=seconds)
    found: dict[str, Arrival] = {}
    while True:
        missing = [each for each in destinations if each.delivery_id not in found]
        found = found | _look(missing, since, now())
        if len(found) == len({each.delivery_id for each in destinations}):
            yield found
            return
        if now() >= until:
            yield _standing(destinations) | found
            return
        yield found
        sleep(PERIOD_SECONDS)


def _look(missing: Sequence[Destination], since: datetime, now: datetime) -> dict[str, Arrival]:
    found = {}
    wanted = {each.delivery_id for each in missing}
    for record in read_records(wanted):
        if _moved(record, since):
            found[record.delivery_id] = _arrival(record)
    for app_id in {each.app_id for each in missing if each.delivery_id not in found}:
        found |= dict.fromkeys(_succeeded(app_id, since, now) & wanted, Arrival(DELIVERED))
    return found


def _standing(destinations: Sequence[Destination]) -> dict[str, Arrival]:
    """Those that waited before they were published again, and still do."""
    records = read_records({each.delivery_id for each in destinations})
    return {each.delivery_id: _arrival(each) for each in records if each.state in {PARKED, RETRYING}}


def _moved(record: DeliveryRecord, since: datetime) -> bool:
    """Whether the record is of this publication: an event that was published before may have an older one."""
    last = datetime.fromisoformat(record.attempts[-1]["at"]) if record.attempts else record.created
    return last >= since or record.created >= since


def _arrival(record: DeliveryRecord) -> Arrival:
    due = float(record.next_attempt_at) if record.state == RETRYING else None
    last = record.attempts[-1] if record.attempts else {}
    return Arrival(record.state, last.get("result"), due, int(last.get("status") or 0) or None)


def _succeeded(app_id: str, since: datetime, now: datetime) -> set[str]:
    spans = delivered.newest(app_id, since, now)
    return {kept.row["delivery_id"] for _, rows in spans for kept in rows}
