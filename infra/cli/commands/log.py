"""bellhop log: an app's attempts, of deliveries that failed or wait and of those that succeeded at once.

A terminal gets a row for each attempt, or a few lines where rows would not fit.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console
from rich.text import Text

from bellhop import attempts
from bellhop.attempts import DELIVERED, KEPT, PARKED, RETRYING, DeliveryRecord
from bellhop.text import printable
from infra.cli import delivered, stack, terminal
from infra.cli.terminal import cell, line, state, table
from infra.cli.text import duration, first_line, utc
from infra.cli.views import load_app

LIMIT = 10_000  # entries at most
RECORDS = 500  # at most, the newest; each is read whole
# An attempt may belong to a delivery that first failed long before: as long as a chain of retries lasts.
CHAIN = timedelta(days=4)
DEFERRED = "deferred"  # the result of a delivery that was deferred before its first attempt
WIDE = 170  # columns that a row needs with both ids in one piece

_READ = ["delivery_id", "event_id", "event", "state", "attempts_made", "created_at", "opened_at", "attempts"]
_READ += ["next_attempt_at"]
_MORE = 500  # attempts to ask for when fewer were cut off
_RESPONSE = 100  # characters of a response that are shown
_FURTHER = {"1d": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30)}


@dataclass(frozen=True, slots=True)
class Entry:
    """One attempt, or a delivery that waits without having had one.

    `response` is the first line of what came back. `due` is when the next attempt is due; only the newest entry of
    a delivery that waits for it has one. When it is past, the app is paused or over its rate.
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
        """Whether the endpoint did not accept it, or has not been sent it yet."""
        return not self.result.startswith("http_2")


@dataclass(frozen=True, slots=True)
class Log:
    """The newest entries, newest first, none older than `since`.

    `complete` says whether these are all since then; if not, the limit or the number of records cut them off.
    """

    entries: tuple[Entry, ...]
    since: datetime
    complete: bool


def run(stack_name: str, app_id: str, *, limit: int, since: str, failures: bool, as_json: bool) -> None:
    """Read the log, print it."""
    back = terminal.read_duration("--since", since, KEPT)
    stack.bind(stack.find(stack_name))
    load_app(app_id)
    log = read(app_id, datetime.now(UTC), back, limit, failures=failures)
    if as_json:
        terminal.print_json({"app_id": app_id} | document(log))
    else:
        print_log(app_id, log, terminal.console(), failures=failures, since=since)


def read(app_id: str, now: datetime, back: timedelta, limit: int, *, failures: bool = False) -> Log:
    """The app's newest `limit` entries since `now - back`."""
    since = now - back
    records, all_read = _records(app_id, since)
    entries = [entry for record in records for entry in _record_entries(record) if entry.at >= since]
    if failures:
        entries = [entry for entry in entries if entry.failed]
    else:
        _add_successes(entries, app_id, now, since, limit)
    newest = sorted(entries, key=lambda e: (e.at, e.delivery_id, e.number), reverse=True)
    return Log(tuple(newest[:limit]), since, complete=all_read and len(newest) < limit)


def document(log: Log) -> dict[str, Any]:
    """The log as JSON."""
    return {
        "since": log.since.isoformat(timespec="seconds"),
        "complete": log.complete,
        "attempts": [_entry_document(entry) for entry in log.entries],
    }


def print_log(app_id: str, log: Log, console: Console, *, failures: bool = False, since: str = "") -> None:
    """Print the attempts and how far back they reach; `failures` and `since` are what was asked for."""
    now = datetime.now(UTC)
    if console.width >= WIDE:
        _print_rows(log.entries, now, console)
    else:
        _print_paragraphs(log.entries, now, console)
    extent = "all" if log.complete else "the newest"
    number = len(log.entries)
    line(console, f"{number} attempt{'' if number == 1 else 's'}, {extent} since {utc(log.since)} UTC.", "bold")
    command = f"bellhop log {app_id}" + (" --failures" if failures else "")
    if not log.complete:
        more = min(max(10 * number, _MORE), LIMIT)
        line(console, f"Others: {command}{f' --since {since}' if since else ''} --limit {more}")
    elif not log.entries and (further := _further_back(log, now)):
        line(console, f"Further back: {command} --since {further}")


def _records(app_id: str, since: datetime) -> tuple[list[DeliveryRecord], bool]:
    ids = attempts.newest(app_id, since - CHAIN, RECORDS)
    found = DeliveryRecord.batch_get(ids, attributes_to_get=_READ)
    return list(found), len(ids) < RECORDS


def _record_entries(record: DeliveryRecord) -> Iterator[Entry]:
    names = {name: getattr(record, name) for name in ("event", "event_id", "delivery_id", "state")}
    entries = [_attempt_entry(dict(row), names) for row in record.attempts]
    if record.state == PARKED or not entries:
        result = DEFERRED if record.state == RETRYING else record.state
        attempts_made = int(record.attempts_made)
        entries.append(Entry(record.created, attempts_made, result, None, None, "", request_id=None, **names))
    yield from entries[:-1]
    yield replace(entries[-1], due=_due(record))


def _due(record: DeliveryRecord) -> datetime | None:
    return datetime.fromtimestamp(float(record.next_attempt_at), UTC) if record.state == RETRYING else None


def _add_successes(entries: list[Entry], app_id: str, now: datetime, since: datetime, limit: int) -> None:
    """Add what succeeded at once, backwards, until nothing older can be among the newest."""
    for begin, rows in delivered.newest(app_id, since, now):
        found = [_attempt_entry(row, _success_names(row)) for row in rows]
        entries += [entry for entry in found if entry.at >= since]
        if sum(entry.at >= begin for entry in entries) >= limit:
            return


def _success_names(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("event", "event_id", "delivery_id")} | {"state": DELIVERED}


def _attempt_entry(row: dict[str, Any], names: dict[str, Any]) -> Entry:
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


def _entry_document(entry: Entry) -> dict[str, Any]:
    due = entry.due.isoformat(timespec="seconds") if entry.due else None
    return asdict(entry) | {"at": entry.at.isoformat(timespec="milliseconds"), "due": due}


def _print_rows(entries: Sequence[Entry], now: datetime, console: Console) -> None:
    columns = ("time (UTC)", "event", "event id", "n", "result", "ms", "state", "next", "delivery", "response")
    rows = []
    for entry in entries:
        when, event, *rest = _cells(entry, now)
        rows.append(
            [when, event, cell(entry.event_id), *rest, cell(entry.delivery_id), cell(_shortened(entry.response))]
        )
    table(console, columns, rows)


def _print_paragraphs(entries: Sequence[Entry], now: datetime, console: Console) -> None:
    # An id is never broken: it is copied into the next command.
    for entry in entries:
        when, event, number, result, milliseconds, stands, due = _cells(entry, now)
        parts = [
            when,
            event,
            Text(f"attempt {number}"),
            result,
            milliseconds and Text(f"{milliseconds} ms"),
            stands,
        ]
        parts += [Text(f"next {due}")] if due else []
        console.print(Text("  ").join(part for part in parts if part), soft_wrap=True)
        line(console, f"    {entry.delivery_id}  event {entry.event_id}")
        if entry.response:
            line(console, f"    {_shortened(entry.response)}")


def _cells(entry: Entry, now: datetime) -> tuple[Text, ...]:
    return (
        cell(utc(entry.at)),
        cell(entry.event),
        cell(entry.number),
        Text(printable(entry.result), "red" if entry.failed else "green"),
        cell("" if entry.milliseconds is None else entry.milliseconds),
        state(entry.state),
        cell(_next_attempt(entry, now)),
    )


def _shortened(response: str) -> str:
    return response if len(response) <= _RESPONSE else response[:_RESPONSE] + "..."


def _next_attempt(entry: Entry, now: datetime) -> str:
    if entry.due is None:
        return ""
    return f"in {duration((entry.due - now).total_seconds())}" if entry.due > now else "due"


def _further_back(log: Log, now: datetime) -> str | None:
    back = now - log.since + timedelta(minutes=1)
    return next((name for name, longer in _FURTHER.items() if longer > back), None)
