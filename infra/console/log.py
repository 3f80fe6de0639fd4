"""An app's delivery log: the attempts of deliveries that failed or wait, merged with the packed successes."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from bellhop import successes
from bellhop.attempts import DELIVERED, PARKED, RETRYING, DeliveryRecord
from bellhop.successes import SuccessPack
from infra.console.text import first_line

# An attempt may belong to a delivery that first failed long before: as far back as a chain of retries lasts.
CHAIN = timedelta(days=4)
WAITING = "waiting"  # the result of a delivery that was put off before its first attempt
LIMIT = 10_000  # entries at most
RECORDS = 500  # at most, the newest; each is read whole

_MINUTE = timedelta(minutes=1)
_AT_ONCE = 10  # minutes that are read side by side: as many connections as a client keeps
_READ = ["delivery_id", "event_id", "event", "state", "attempts_made", "created_at", "attempts", "next_attempt_at"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One attempt, or a delivery that waits without one.

    `answer` is the first line of what came back. `due` is when the next attempt is, on the newest entry of a
    delivery that waits for it; past, it waits for its app: see its gate.
    """

    at: datetime
    number: int
    result: str
    milliseconds: int | None
    status: int | None
    response: str
    event: str
    event_id: str
    delivery_id: str
    state: str
    request_id: str | None
    due: datetime | None = None

    @property
    def failed(self) -> bool:
        """Whether the endpoint did not take it, or has not got it yet."""
        return not self.result.startswith("http_2")


@dataclass(frozen=True, slots=True)
class Log:
    """The newest entries, newest first, and how far was looked: nothing older than `since`.

    `complete` says whether all since then is here; if not, `limit` or the number of records cut it.
    """

    entries: tuple[Entry, ...]
    since: datetime
    complete: bool


def read(app_id: str, now: datetime, back: timedelta, limit: int, *, failures: bool = False) -> Log:
    """The app's newest `limit` entries since `now - back`."""
    since = now - back
    records, all_read = _records(app_id, since)
    entries = [entry for record in records for entry in _of_record(record) if entry.at >= since]
    if failures:
        entries = [entry for entry in entries if entry.failed]
    else:
        _add_successes(entries, app_id, now, since, limit)
    newest = sorted(entries, key=lambda e: (e.at, e.delivery_id, e.number), reverse=True)
    complete = all_read and len(newest) < limit
    return Log(tuple(newest[:limit]), since, complete)


def _records(app_id: str, since: datetime) -> tuple[list[DeliveryRecord], bool]:
    first = (since - CHAIN).isoformat(timespec="milliseconds")
    rows = DeliveryRecord.by_app.query(
        app_id, DeliveryRecord.created_at >= first, scan_index_forward=False, limit=RECORDS
    )
    found = [row.delivery_id for row in rows]
    whole = DeliveryRecord.batch_get(found, attributes_to_get=_READ)
    return list(whole), len(found) < RECORDS


def _of_record(record: DeliveryRecord) -> Iterator[Entry]:
    names = {name: getattr(record, name) for name in ("event", "event_id", "delivery_id", "state")}
    made = [_entry(dict(row), names) for row in record.attempts]
    if record.state == PARKED or not made:
        result = WAITING if record.state == RETRYING else record.state
        made.append(
            Entry(_created(record), int(record.attempts_made), result, None, None, "", request_id=None, **names)
        )
    yield from made[:-1]
    yield replace(made[-1], due=_due(record))


def _due(record: DeliveryRecord) -> datetime | None:
    return datetime.fromtimestamp(float(record.next_attempt_at), UTC) if record.state == RETRYING else None


def _created(record: DeliveryRecord) -> datetime:
    return datetime.fromisoformat(record.created_at.partition("#")[0])


def _add_successes(entries: list[Entry], app_id: str, now: datetime, since: datetime, limit: int) -> None:
    """Add what was packed, some minutes at a time backward, until nothing older can be among the newest."""
    minute = now.astimezone(UTC).replace(second=0, microsecond=0) + _MINUTE  # deliver's clock may be ahead
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        while minute + _MINUTE > since:
            # What a pack of an earlier minute holds was attempted before that minute ended.
            if sum(entry.at >= minute + _MINUTE for entry in entries) >= limit:
                return
            wave = [minute - number * _MINUTE for number in range(_AT_ONCE)]
            for packed in pool.map(partial(_packed, app_id), wave):
                entries += [entry for entry in packed if entry.at >= since]
            minute -= _AT_ONCE * _MINUTE


def _packed(app_id: str, minute: datetime) -> list[Entry]:
    holds_app = SuccessPack.apps.contains(app_id)
    packs = SuccessPack.query(successes.bucket(minute), filter_condition=holds_app)
    rows = [row for pack in packs for row in pack.entries if row["app"] == app_id]
    return [_entry(row, _names(row)) for row in rows]


def _names(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("event", "event_id", "delivery_id")} | {"state": DELIVERED}


def _entry(row: dict[str, Any], names: dict[str, Any]) -> Entry:
    status = row.get("status")
    return Entry(
        at=datetime.fromisoformat(row["at"]),
        number=int(row["n"]),
        result=row["result"],
        milliseconds=int(row["ms"]),
        status=int(status) if status else None,
        response=first_line(row.get("response", "")),
        request_id=row["request_id"],
        **names,
    )
