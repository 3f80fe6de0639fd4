"""The entries of an app's delivery log: each attempt, or what waits without one; and which of them are wanted."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any

from bellhop import long_responses
from bellhop.attempts import DELIVERED, RETRYING, DeliveryRecord
from infra.cli.attempt_text import PUBLISHED_AGAIN, with_repeats
from infra.cli.chosen_apps import Within
from infra.cli.delivered import Kept
from infra.cli.errors import UsageError
from infra.cli.text import first_line

DEFERRED = "deferred"  # the result of a delivery that was deferred before its first attempt

_GOOD = "2"  # the first digit of the status of a success


@dataclass(frozen=True, slots=True)
class Source:
    """What an entry was read from: `kept` of what succeeded at once, else the delivery's record.

    `sending` tells apart what is sent of one delivery: at first, by a resend, when its event is published again.
    `response` is whole, as far as it is kept. The log of what succeeded at once names no organisation.
    """

    sending: str
    response: str = ""
    organization_id: str | None = None
    kept: Kept | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One attempt, or a delivery that waits without having had one.

    `response` is the first line of what came back. `state` is how the delivery stands now, and `due` when its next
    attempt is due: only the newest attempt of a delivery has them. A success has its own state, delivered. When
    `due` is past, the app is paused or over its rate. `resent`: a person had the delivery resent before.
    `published_again`: with this attempt it began anew, as its event was published again.
    """

    app_id: str
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
    source: Source
    due: datetime | None = None
    resent: bool = False
    published_again: bool = False

    @property
    def is_made(self) -> bool:
        """Whether it is an attempt; otherwise the delivery waits for its first."""
        return self.number > 0

    @property
    def failed(self) -> bool:
        """Whether the endpoint did not accept it, or has not been sent it yet."""
        return not self.result.startswith(f"http_{_GOOD}")

    @property
    def key(self) -> tuple[str, int, str, datetime]:
        """What tells it from every other entry."""
        return self.delivery_id, self.number, self.result, self.at

    def document(self) -> dict[str, Any]:
        """As JSON."""
        due = self.due.isoformat(timespec="seconds") if self.due else None
        values = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "source"}
        return values | {"at": self.at.isoformat(timespec="milliseconds"), "due": due}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries are wanted; what is not set allows all.

    `event` is an event's id or name, `status` three digits or such as 5xx, `error` a part of the result of an
    attempt that failed, such as timeout; `within` the organisation whose deliveries are wanted.
    """

    failures: bool = False
    event: str | None = None
    status: str | None = None
    error: str | None = None
    within: Within | None = None

    def __contains__(self, entry: Entry) -> bool:
        if self.within is not None and not self.within.has(
            entry.delivery_id, entry.event_id, entry.source.organization_id
        ):
            return False
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


def read_status(text: str | None) -> str | None:
    """The status given for `--status`.

    Raises:
        UsageError: it is none.
    """
    if text is None or re.fullmatch(r"[1-5](\d\d|xx)", text, re.ASCII):
        return text
    raise UsageError(f"--status {text!r} is no HTTP status: write 503, or 5xx for all that begin with 5")


def of_record(record: DeliveryRecord) -> Iterator[Entry]:
    """The entries of a delivery that has a record."""
    names = {name: getattr(record, name) for name in ("app_id", "event", "event_id", "delivery_id")}
    entries = [_of_attempt(row, names, _source(record, row)) for row in with_repeats(long_responses.rows(record))]
    if not entries:
        result = DEFERRED if record.state == RETRYING else record.state
        resent = bool(record.resent_at)
        waits = Entry(
            at=datetime.fromtimestamp(float(record.resent_at), UTC) if resent else record.created,
            number=0,
            result=result,
            milliseconds=None,
            status=None,
            response="",
            state=None,
            request_id=None,
            source=_source(record, {"resent": resent}),
            resent=resent,
            **names,
        )
        entries.append(waits)
    yield from entries[:-1]
    yield replace(entries[-1], state=record.state, due=_due(record))


def of_success(kept: Kept) -> Entry:
    """The entry of what succeeded at once."""
    row = kept.row
    names = {"app_id": row["app"]} | {name: row[name] for name in ("event", "event_id", "delivery_id")}
    return _of_attempt(row, names, Source(row["request_id"], kept=kept))


def _source(record: DeliveryRecord, row: Mapping[str, Any]) -> Source:
    resent = f" {record.resent_at}" if row.get("resent") else ""
    sending = f"{record.opened_at}{resent}"
    return Source(sending, str(row.get("response", "")), record.organization_id)


def _due(record: DeliveryRecord) -> datetime | None:
    return datetime.fromtimestamp(float(record.next_attempt_at), UTC) if record.state == RETRYING else None


def _of_attempt(row: Mapping[str, Any], names: Mapping[str, Any], source: Source) -> Entry:
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
        source=source,
        resent=bool(row.get("resent")),
        published_again=bool(row.get(PUBLISHED_AGAIN)),
        **names,
    )
    return entry if entry.failed else replace(entry, state=DELIVERED)


def _has_status(entry: Entry, status: str) -> bool:
    found = str(entry.status or "")
    return found.startswith(status.removesuffix("xx")) and bool(found)
