"""An app's attempts, newest first: of deliveries that failed or wait, and of those that succeeded at once."""

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bellhop import attempts
from bellhop.attempts import DELIVERED, RETRYING, DeliveryRecord
from infra.cli import delivered
from infra.cli.errors import CommandError
from infra.cli.text import first_line
from infra.cli.views import read_records

RECORDS = 500  # at most, the newest; each is read whole
# An attempt may belong to a delivery that first failed long before: as long as a chain of retries lasts.
CHAIN = timedelta(days=4)
DEFERRED = "deferred"  # the result of a delivery that was deferred before its first attempt

_GOOD = "2"  # the first digit of the status of a success


@dataclass(frozen=True, slots=True)
class Entry:
    """One attempt, or a delivery that waits without having had one.

    `response` is the first line of what came back. `state` is how the delivery stands now, and `due` when its next
    attempt is due: only the newest attempt of a delivery has them. A success has its own state, delivered. When
    `due` is past, the app is paused or over its rate. `resent`: a person had the delivery resent before.
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
    state: str | None
    request_id: str | None
    due: datetime | None = None
    resent: bool = False

    @property
    def failed(self) -> bool:
        """Whether the endpoint did not accept it, or has not been sent it yet."""
        return not self.result.startswith(f"http_{_GOOD}")

    @property
    def key(self) -> tuple[str, int, str]:
        """What tells it from every other entry."""
        return self.delivery_id, self.number, self.result

    def document(self) -> dict[str, Any]:
        """As JSON."""
        due = self.due.isoformat(timespec="seconds") if self.due else None
        return asdict(self) | {"at": self.at.isoformat(timespec="milliseconds"), "due": due}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries are wanted; what is not set allows all.

    `event` is an event's id or name, `status` three digits or such as 5xx, `error` a part of the result of an
    attempt that failed, such as timeout.
    """

    failures: bool = False
    event: str | None = None
    status: str | None = None
    error: str | None = None

    def __contains__(self, entry: Entry) -> bool:
        if (self.failures or self.error is not None) and not entry.failed:
            return False
        if self.event is not None and self.event not in {entry.event_id, entry.event}:
            return False
        if self.status is not None and not _has_status(entry, self.status):
            return False
        return self.error is None or self.error in entry.result

    @property
    def only_failures(self) -> bool:
        """Whether nothing that succeeded at once is among them."""
        return self.failures or self.error is not None or not (self.status or _GOOD).startswith(_GOOD)


@dataclass(frozen=True, slots=True)
class Log:
    """The newest entries, newest first, none older than `since`.

    `complete` says whether these are all since then; if not, the limit or the number of records cut them off.
    """

    entries: tuple[Entry, ...]
    since: datetime
    complete: bool


def read_status(text: str | None) -> str | None:
    """The status given for `--status`.

    Raises:
        CommandError: it is none.
    """
    if text is None or re.fullmatch(r"[1-5](\d\d|xx)", text, re.ASCII):
        return text
    raise CommandError(f"--status {text!r} is no HTTP status: write 503, or 5xx for all that begin with 5")


def read(app_id: str, since: datetime, until: datetime, limit: int, wanted: Wanted = Wanted()) -> Log:
    """The app's newest `limit` entries between these times."""
    records, all_read = _records(app_id, since, until)
    found = (entry for record in records for entry in _record_entries(record))
    entries = [entry for entry in found if since <= entry.at <= until and entry in wanted]
    if not wanted.only_failures:
        _add_successes(entries, app_id, (since, until), limit, wanted)
    newest = sorted(entries, key=lambda e: (e.at, e.delivery_id, e.number), reverse=True)
    return Log(tuple(newest[:limit]), since, complete=all_read and len(newest) < limit)


def _records(app_id: str, since: datetime, until: datetime) -> tuple[list[DeliveryRecord], bool]:
    ids, complete = attempts.newest(app_id, since - CHAIN, until + delivered.AHEAD, RECORDS)
    return read_records(ids), complete


def _record_entries(record: DeliveryRecord) -> Iterator[Entry]:
    names = {name: getattr(record, name) for name in ("event", "event_id", "delivery_id")}
    entries = [_attempt_entry(dict(row), names) for row in record.attempts]
    if not entries:
        result = DEFERRED if record.state == RETRYING else record.state
        entries.append(Entry(record.created, 0, result, None, None, "", state=None, request_id=None, **names))
    yield from entries[:-1]
    yield replace(entries[-1], state=record.state, due=_due(record))


def _due(record: DeliveryRecord) -> datetime | None:
    return datetime.fromtimestamp(float(record.next_attempt_at), UTC) if record.state == RETRYING else None


def _add_successes(
    entries: list[Entry], app_id: str, within: tuple[datetime, datetime], limit: int, wanted: Wanted
) -> None:
    """Add what succeeded at once, backwards, until nothing older can be among the newest."""
    since, until = within
    for begin, rows in delivered.newest(app_id, since, until):
        found = [_attempt_entry(row, _success_names(row)) for row in rows]
        entries += [entry for entry in found if since <= entry.at <= until and entry in wanted]
        if sum(entry.at >= begin for entry in entries) >= limit:
            return


def _success_names(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("event", "event_id", "delivery_id")}


def _attempt_entry(row: dict[str, Any], names: dict[str, Any]) -> Entry:
    status = row.get("status")
    entry = Entry(
        at=datetime.fromisoformat(row["at"]),
        number=int(row["n"]),
        result=row["result"],
        milliseconds=int(row["ms"]),
        status=int(status) if status else None,
        response=first_line(row.get("response", "")),
        state=None,
        request_id=row["request_id"],
        resent=bool(row.get("resent")),
        **names,
    )
    return entry if entry.failed else replace(entry, state=DELIVERED)


def _has_status(entry: Entry, status: str) -> bool:
    found = str(entry.status or "")
    return found.startswith(status.removesuffix("xx")) and bool(found)
