"""An app's delivery records, as lists that are read from the indexes: what can be replayed, and its log."""

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Any

from bellhop import attempts, index_keys
from bellhop.attempts import EXHAUSTED, PARKED, DeliveryRecord


def replayable(app_id: str, after: str | None, limit: int, *, exhausted: bool = True) -> list[DeliveryRecord]:
    """What can be replayed of an app after the `replayable_at` of the last that was seen.

    What is parked comes first, oldest first, and then what is `exhausted`, if that is wanted. Rows of the index:
    each has its ids, `replayable_at`, `state` and `attempts_made`. The index lags: what became replayable in the
    last moments may be missing, and what was taken may still be there.
    """
    if not exhausted:
        return _listed(app_id, DeliveryRecord.replayable_at.between(f"{after or ''}!", EXHAUSTED), limit)
    return _listed(app_id, DeliveryRecord.replayable_at > after if after else None, limit)


def count_listed(app_id: str, until: str, limit: int) -> int:
    """How many of what can be replayed stand up to a `replayable_at`; of each key at most `limit` are counted."""
    return index_keys.count(DeliveryRecord.replayable, app_id, DeliveryRecord.replayable_at <= until, limit)


def newest(app_id: str, since: datetime, until: datetime, limit: int) -> tuple[list[str], bool]:
    """The deliveries of an app whose records were opened, or resent, between these times, newest first; if all.

    Their ids are of `limit` rows; a delivery that was resent may have several.
    """
    rows = [*islice(_logged(app_id, since, until, limit, backwards=True), limit)]
    return [*index_keys.delivery_ids(rows)], len(rows) < limit


def oldest(app_id: str, since: datetime, until: datetime) -> Iterator[str]:
    """All of these, oldest first; read as they are taken."""
    return index_keys.delivery_ids(_logged(app_id, since, until, None))


def waiting(app_id: str, until: datetime, limit: int, *, since: datetime | None = None) -> list[DeliveryRecord]:
    """What was parked of an app `since` then and is due `until` then, oldest first.

    Rows as `replayable` gives them. Among them are some that were exhausted where they stood, and not moved yet.
    """
    last = attempts.moment(until, "~")  # no id comes after that
    if since is None:
        return _listed(app_id, DeliveryRecord.replayable_at <= last, limit)
    return _listed(app_id, DeliveryRecord.replayable_at.between(attempts.moment(since, ""), last), limit)


def is_parked(row: DeliveryRecord) -> bool:
    """Whether a row of that list is released with what is parked.

    So is what a pause exhausted where it stood, as long as that is not announced: nothing else would find it once
    the pause is over.
    """
    in_its_place = not str(row.replayable_at).startswith(f"{EXHAUSTED}#")
    return bool(row.state == PARKED or (row.state == EXHAUSTED and in_its_place))


def place_at(at: datetime) -> str:
    """The cursor before everything that was parked at that moment or later."""
    return attempts.moment(at, "")


def listed_since(row: DeliveryRecord) -> str:
    """Since when a row of that list is on it, as ISO 8601."""
    return str(row.replayable_at).removeprefix(f"{EXHAUSTED}#").partition("#")[0]


def _logged(
    app_id: str, since: datetime, until: datetime, limit: int | None, *, backwards: bool = False
) -> Iterator[Any]:
    within = DeliveryRecord.created_at.between(attempts.moment(since, ""), attempts.moment(until, "~"))
    return index_keys.read(DeliveryRecord.by_app, app_id, within, limit, "created_at", backwards=backwards)


def _listed(app_id: str, condition: Any, limit: int) -> list[DeliveryRecord]:
    rows = [*islice(index_keys.read(DeliveryRecord.replayable, app_id, condition, limit, "replayable_at"), limit)]
    for row in rows:
        row.app_id = app_id
    return rows
