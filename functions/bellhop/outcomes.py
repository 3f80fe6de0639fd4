"""The outcome counters by which health judges: one row per app, organisation, generation and UTC day."""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta

from pynamodb.attributes import BooleanAttribute, NumberAttribute, UnicodeAttribute
from pynamodb.exceptions import PynamoDBException
from pynamodb.expressions.update import Action
from pynamodb.models import Model

from bellhop.tables import throttled

COUNTERS = ("success", "error", "timeout", "fatal")

KEPT = timedelta(days=40)  # past the seven days that decide, as evidence
ADDS = 5


class OutcomeDay(Model):
    """What became of the attempts at one app's endpoint in one organisation, generation and UTC day."""

    class Meta:
        table_name = "outcomes"

    scope = UnicodeAttribute(hash_key=True)
    generation_day = UnicodeAttribute(range_key=True)
    app_id = UnicodeAttribute()
    organization_id = UnicodeAttribute()
    generation = NumberAttribute()
    day = UnicodeAttribute()
    success = NumberAttribute(default=0)
    error = NumberAttribute(default=0)
    timeout = NumberAttribute(default=0)
    fatal = NumberAttribute(default=0)
    has_failure = BooleanAttribute(default=False)
    last_failure = UnicodeAttribute(null=True)  # JSON of a Failure
    expires_at = NumberAttribute()


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed attempt, as evidence: which delivery, what it ended with, the first line of the response."""

    at: str
    delivery_id: str
    event_id: str
    event: str
    error: str
    response: str


@dataclass(frozen=True, slots=True)
class OutcomeDelta:
    """What a batch adds to one counter row."""

    app_id: str
    organization_id: str
    generation: int
    day: date
    success: int = 0
    error: int = 0
    timeout: int = 0
    fatal: int = 0
    last_failure: Failure | None = None

    def __add__(self, other: "OutcomeDelta") -> "OutcomeDelta":
        return replace(
            self,
            success=self.success + other.success,
            error=self.error + other.error,
            timeout=self.timeout + other.timeout,
            fatal=self.fatal + other.fatal,
            last_failure=other.last_failure or self.last_failure,
        )

    def counting(self, counter: str, failure: Failure | None) -> "OutcomeDelta":
        """With one more of `counter` ("success", "error", "timeout" or "fatal")."""
        return replace(self, **{counter: getattr(self, counter) + 1, "last_failure": failure})

    @property
    def has_failure(self) -> bool:
        """Whether health has anything to judge."""
        return bool(self.error or self.timeout or self.fatal)


def merge(deltas: Iterable[OutcomeDelta]) -> list[OutcomeDelta]:
    """One delta per app, organisation, generation and day."""
    rows: dict[tuple[str, str, int, date], OutcomeDelta] = {}
    for delta in deltas:
        key = (delta.app_id, delta.organization_id, delta.generation, delta.day)
        rows[key] = rows[key] + delta if key in rows else delta
    return list(rows.values())


def scope(app_id: str, organization_id: str) -> str:
    """The key of an app's counters in an organisation."""
    return f"{app_id}#{organization_id}"


def generation_day(generation: int, day: date) -> str:
    """The sort key: all days of a generation stand together, in order."""
    return f"{generation:08d}#{day.isoformat()}"


def add(delta: OutcomeDelta, backoff: Callable[[int], None]) -> OutcomeDay:
    """Add `delta` in one atomic ADD; returns the row with what all functions have counted in it.

    A row with `has_failure` wakes health: the event source mapping of the Outcomes stream filters by it.

    Policy: repeated only on a definite throttle, because a call whose response is lost may have counted.

    Raises:
        UpdateError: the table did not respond, or throttled `ADDS` times.
    """
    row = _row(delta)
    for calls in range(1, ADDS + 1):
        try:
            row.update(actions=_actions(delta))
            break
        except PynamoDBException as error:
            if calls == ADDS or not throttled(error):
                raise
            backoff(calls)
    return row


def days(app_id: str, organization_id: str, generation: int, today: date, number: int) -> list[OutcomeDay]:
    """The counters of `number` days up to and including `today`, those that exist, oldest first."""
    first = generation_day(generation, today - timedelta(days=number - 1))
    condition = OutcomeDay.generation_day.between(first, generation_day(generation, today))
    return list(OutcomeDay.query(scope(app_id, organization_id), condition, consistent_read=True))


def _row(delta: OutcomeDelta) -> OutcomeDay:
    return OutcomeDay(scope(delta.app_id, delta.organization_id), generation_day(delta.generation, delta.day))


def _actions(delta: OutcomeDelta) -> list[Action]:
    row = OutcomeDay
    actions: list[Action] = [
        getattr(row, name).add(getattr(delta, name)) for name in COUNTERS if getattr(delta, name)
    ]
    actions += [
        row.app_id.set(delta.app_id),
        row.organization_id.set(delta.organization_id),
        row.generation.set(delta.generation),
        row.day.set(delta.day.isoformat()),
        row.has_failure.set(delta.has_failure),
        row.expires_at.set(_expiry(delta.day)),
    ]
    if delta.last_failure:
        failure = json.dumps(asdict(delta.last_failure), ensure_ascii=False, separators=(",", ":"))
        actions.append(row.last_failure.set(failure))
    return actions


def _expiry(day: date) -> int:
    return ((day - date(1970, 1, 1)) + KEPT).days * 86_400
