"""Which deliveries a resend is to send: of an app by time and outcome, by their ids, or those of an event."""

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from heapq import merge
from itertools import groupby, islice

from bellhop import app_lists, pings, successes
from bellhop.attempts import DELIVERED, EXHAUSTED, PARKED, RETRYING, STOPPED, DeliveryRecord
from bellhop.deliveries import delivery_id
from bellhop.registry import Installation
from bellhop.successes import LONGEST
from infra.cli import delivered
from infra.cli.chosen_apps import Within
from infra.cli.delivered import Kept
from infra.cli.views import read_records

OUTCOMES = (DELIVERED, EXHAUSTED, STOPPED, PARKED, RETRYING)
BY_DEFAULT = frozenset({DELIVERED, EXHAUSTED, STOPPED, PARKED})  # what is retrying goes on by itself

_PAGE = 100


@dataclass(frozen=True, slots=True)
class Candidate:
    """A delivery that may be resent, as it was found: by its `record`, or by what is `kept` of a success.

    `at` is when it was first attempted or parked; `status` is the last HTTP status that came back, if one did.
    """

    delivery_id: str
    app_id: str
    event: str
    at: datetime
    outcome: str
    attempts_made: int
    status: int | None = None
    record: DeliveryRecord | None = None
    kept: Kept | None = None

    def is_within(self, within: Within) -> bool:
        """Whether it is one of that organisation's."""
        event_id = self.kept.row["event_id"] if self.kept else ""
        return within.has(self.delivery_id, event_id, self.record.organization_id if self.record else None)


@dataclass(frozen=True, slots=True)
class Choice:
    """What an operator asks for of an app's deliveries: those from `since` on and before `until`.

    Empty `statuses` and `events` leave nothing out.
    """

    app_id: str
    since: datetime
    until: datetime
    outcomes: Collection[str] = BY_DEFAULT
    statuses: Collection[int] = ()
    events: Collection[str] = ()
    within: Within | None = None

    def wants(self, found: Candidate) -> bool:
        """Whether a delivery of the app is one of them."""
        return (
            self.since <= found.at < self.until
            and found.outcome in self.outcomes
            and (not self.statuses or found.status in self.statuses)
            and (not self.events or found.event in self.events)
            and found.event != pings.EVENT
            and (self.within is None or found.is_within(self.within))
        )


def in_turn(choices: Iterable[Choice]) -> Iterator[Candidate]:
    """The deliveries that are asked for of several apps: one of each in turn, so that none waits for another."""
    waiting = deque(map(by_choice, choices))
    while waiting:
        of_app = waiting.popleft()
        for found in islice(of_app, 1):
            yield found
            waiting.append(of_app)


def by_choice(choice: Choice) -> Iterator[Candidate]:
    """The deliveries that are asked for, the oldest first; read as they are taken.

    Each comes once, though one that succeeded at once and was resent since has both a success and a record.
    """
    sources = [_of_records(choice.app_id, choice.since, choice.until)]
    if DELIVERED in choice.outcomes:
        sources.append(_of_successes(choice.app_id, choice.since, choice.until))
    seen = set[str]()
    for found in merge(*sources, key=lambda found: found.at):
        if choice.wants(found) and found.delivery_id not in seen:
            seen.add(found.delivery_id)
            yield found


def by_id(wanted: Collection[str]) -> list[Candidate]:
    """Those of these deliveries that have a record, in that order."""
    records = {row.delivery_id: row for row in read_records(wanted)}
    return [of_record(records[each]) for each in wanted if each in records]


def successes_by_id(app_id: str, wanted: Collection[str], since: datetime, until: datetime) -> list[Candidate]:
    """Those of these deliveries that succeeded at once in that time, looked for from the newest on."""
    missing, found = {*wanted}, list[Candidate]()
    for page in successes.pages(app_id, since, until + LONGEST):
        if not missing:
            break
        for each in _of_page(page, app_id, since, until):
            if each.delivery_id in missing:  # once: an event that was published twice may have succeeded twice
                found.append(each)
                missing.discard(each.delivery_id)
    return found


def of_event(organization_id: str, event_id: str, installation_id: str | None) -> dict[str, str]:
    """The deliveries that an event may have: the app of each, by its id."""
    installations: Sequence[Installation] = list(Installation.query(organization_id))
    return {
        delivery_id(organization_id, event_id, each.installation_id): each.app_id
        for each in installations
        if installation_id in {None, each.installation_id}
    }


def of_record(record: DeliveryRecord) -> Candidate:
    """A delivery by its record."""
    status = record.attempts[-1].get("status") if record.attempts else None
    names = (record.delivery_id, record.app_id, record.event)
    number = int(record.attempts_made)
    return Candidate(*names, record.created, record.state, number, int(status) if status else None, record=record)


def _of_records(app_id: str, since: datetime, until: datetime) -> Iterator[Candidate]:
    ids = list[str]()
    for each in app_lists.oldest(app_id, since, until):
        ids.append(each)
        if len(ids) == _PAGE:
            yield from by_id(ids)
            ids = []
    if ids:
        yield from by_id(ids)


def _of_successes(app_id: str, since: datetime, until: datetime) -> Iterator[Candidate]:
    oldest_first = reversed(list(successes.pages(app_id, since, until + LONGEST)))
    for _, pages in groupby(oldest_first, successes.hour_of):
        of_hour = [found for page in pages for found in _of_page(page, app_id, since, until)]
        yield from sorted(of_hour, key=lambda found: found.at)


def _of_page(page: str, app_id: str, since: datetime, until: datetime) -> Iterator[Candidate]:
    return map(_of_row, delivered.rows_of(page, app_id, since, until + LONGEST))


def _of_row(kept: Kept) -> Candidate:
    row = kept.row
    status, at = row.get("status"), datetime.fromisoformat(row["at"])
    return Candidate(
        row["delivery_id"],
        row["app"],
        row["event"],
        at,
        DELIVERED,
        int(row["n"]),
        int(status) if status else None,
        kept=kept,
    )
