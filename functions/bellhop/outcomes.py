"""The buffer health judges by: counters per app, organisation, epoch and UTC day."""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta

from pynamodb.attributes import BooleanAttribute, NumberAttribute, UnicodeAttribute
from pynamodb.exceptions import PynamoDBException
from pynamodb.expressions.update import Action
from pynamodb.models import Model

from bellhop.tables import throttled

KEPT = timedelta(days=40)  # past the seven days that decide, as evidence
ADDS = 5


class OutcomeDay(Model):
    """What one app's endpoint answered in one organisation, epoch and UTC day."""

    class Meta:
        table_name = "outcomes"

    scope = UnicodeAttribute(hash_key=True)
    epoch_day = UnicodeAttribute(range_key=True)
    app_id = UnicodeAttribute()
    organization_id = UnicodeAttribute()
    epoch = NumberAttribute()
    day = UnicodeAttribute()
    success = NumberAttribute(default=0)
    error = NumberAttribute(default=0)
    timeout = NumberAttribute(default=0)
    fatal = NumberAttribute(default=0)
    held_failure = BooleanAttribute(default=False)
    last_failure = UnicodeAttribute(null=True)  # JSON of a Failure
    expires_at = NumberAttribute()


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed attempt, as evidence: which delivery, what it ended with, what the endpoint said."""

    at: str
    delivery_id: str
    event_id: str
    event: str
    error: str
    answer: str


@dataclass(frozen=True, slots=True)
class Tally:
    """What a batch adds to one counter row."""

    app_id: str
    organization_id: str
    epoch: int
    day: date
    success: int = 0
    error: int = 0
    timeout: int = 0
    fatal: int = 0
    last_failure: Failure | None = None

    def __add__(self, other: "Tally") -> "Tally":
        return replace(
            self,
            success=self.success + other.success,
            error=self.error + other.error,
            timeout=self.timeout + other.timeout,
            fatal=self.fatal + other.fatal,
            last_failure=other.last_failure or self.last_failure,
        )

    def counting(self, counter: str, failure: Failure | None) -> "Tally":
        """With one more of `counter` ("success", "error", "timeout" or "fatal")."""
        return replace(self, **{counter: getattr(self, counter) + 1, "last_failure": failure})

    @property
    def held_failure(self) -> bool:
        """Whether health has anything to judge."""
        return bool(self.error or self.timeout or self.fatal)


def merge(tallies: Iterable[Tally]) -> list[Tally]:
    """One tally per app, organisation, epoch and day."""
    rows: dict[tuple[str, str, int, date], Tally] = {}
    for tally in tallies:
        key = (tally.app_id, tally.organization_id, tally.epoch, tally.day)
        rows[key] = rows[key] + tally if key in rows else tally
    return list(rows.values())


def scope(app_id: str, organization_id: str) -> str:
    """The key of an app's counters in an organisation."""
    return f"{app_id}#{organization_id}"


def epoch_day(epoch: int, day: date) -> str:
    """The sort key: all days of an epoch stand together, in order."""
    return f"{epoch:08d}#{day.isoformat()}"


def add(tally: Tally, pause: Callable[[int], None]) -> OutcomeDay:
    """Count `tally` in one atomic ADD; returns the row with what all functions have counted in it.

    Policy: repeated only on a definite throttle, because an unknown result may have counted.

    Raises:
        UpdateError: the table did not answer, or throttled `ADDS` times.
    """
    row = _row(tally)
    for attempt in range(ADDS):
        try:
            row.update(actions=_actions(tally))
            break
        except PynamoDBException as error:
            if attempt == ADDS - 1 or not throttled(error):
                raise
            pause(attempt + 1)
    return row


def days(app_id: str, organization_id: str, epoch: int, today: date, number: int) -> list[OutcomeDay]:
    """The counters of `number` days up to and including `today`, those that exist, oldest first."""
    first = epoch_day(epoch, today - timedelta(days=number - 1))
    condition = OutcomeDay.epoch_day.between(first, epoch_day(epoch, today))
    return list(OutcomeDay.query(scope(app_id, organization_id), condition, consistent_read=True))


def _row(tally: Tally) -> OutcomeDay:
    return OutcomeDay(scope(tally.app_id, tally.organization_id), epoch_day(tally.epoch, tally.day))


def _actions(tally: Tally) -> list[Action]:
    row = OutcomeDay
    actions: list[Action] = [
        getattr(row, name).add(getattr(tally, name))
        for name in ("success", "error", "timeout", "fatal")
        if getattr(tally, name)
    ]
    actions += [
        row.app_id.set(tally.app_id),
        row.organization_id.set(tally.organization_id),
        row.epoch.set(tally.epoch),
        row.day.set(tally.day.isoformat()),
        row.held_failure.set(tally.held_failure),
        row.expires_at.set(_expiry(tally.day)),
    ]
    if tally.last_failure:
        failure = json.dumps(asdict(tally.last_failure), ensure_ascii=False, separators=(",", ":"))
        actions.append(row.last_failure.set(failure))
    return actions


def _expiry(day: date) -> int:
    return ((day - date(1970, 1, 1)) + KEPT).days * 86_400
