"""An app's delivery records, as lists that are read from the indexes: what can be replayed, and its log."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from bellhop import attempts, index_keys
from bellhop.attempts import EXHAUSTED, PARKED, DeliveryRecord

# Begins a cursor under the further keys. It sorts after every place: 0.1.0, which knows only the first key, finds
# nothing after such a cursor, and its replay goes on with the next pass.
FURTHER = "further#"


def replayable(
    app_id: str,
    after: str | None,
    limit: int,
    *,
    since: str | None = None,
    exhausted: bool = True,
    apart: bool = True,
) -> list[DeliveryRecord]:
    """What can be replayed of an app after the `cursor` of the last that was seen, listed after the place `since`.

    What is parked comes first, oldest first, and then what is `exhausted`, if that is wanted. Where the keys are
    `apart`, that is so under the app's first key, and then under the further ones. Rows of the index: each has its
    ids, `replayable_at`, `state` and `attempts_made`. The index lags: what became replayable in the last moments
    may be missing, and what was taken may still be there.
    """
    rows = list[DeliveryRecord]()
    for keys, place in _parts(app_id, after, since, apart=apart):
        if len(rows) < limit:
            rows += _listed(app_id, keys, _after(place, exhausted=exhausted), limit - len(rows))
    return rows


def cursor(row: DeliveryRecord, *, apart: bool = True) -> str:
    """The cursor after a row of that list."""
    place = str(row.replayable_at)
    return f"{FURTHER}{place}" if apart and row.replayable_for != row.app_id else place


def count_listed(app_id: str, until: str, limit: int, *, apart: bool = True) -> int:
    """How many of what can be replayed stand up to a cursor; of each key at most `limit` are counted.

    Up to one under the further keys, that is all that is parked under the first.
    """
    place, further = until.removeprefix(FURTHER), index_keys.further_keys(app_id)
    counted = {app_id: DeliveryRecord.replayable_at <= place}
    if until.startswith(FURTHER):
        counted[app_id] = DeliveryRecord.replayable_at < EXHAUSTED
    if until.startswith(FURTHER) or not apart:
        counted |= dict.fromkeys(further, DeliveryRecord.replayable_at <= place)
    index = DeliveryRecord.replayable
    return sum(index_keys.count(index, [key], condition, limit) for key, condition in counted.items())


def newest(app_id: str, since: datetime, until: datetime, limit: int) -> tuple[list[str], bool]:
    """The deliveries of an app whose records were opened, or resent, between these times, newest first; if all.

    Their ids are of `limit` rows; a delivery that was resent may have several.
    """
    rows = [*islice(_logged(app_id, since, until, limit, backwards=True), limit)]
    return [*index_keys.delivery_ids(rows)], len(rows) < limit


def oldest(app_id: str, since: datetime, until: datetime) -> Iterator[str]:
    """All of these, oldest first; read as they are taken."""
    return index_keys.delivery_ids(_logged(app_id, since, until, None))


def waiting(app_id: str, until: datetime, limit: int) -> list[DeliveryRecord]:
    """What was parked of an app and is due `until` then, oldest first, whatever its key.

    Rows as `replayable` gives them. Among them are some that were exhausted where they stood, and not moved yet.
    """
    return _listed(app_id, index_keys.all_keys(app_id), _due(until), limit)


def waiting_by_turns(app_id: str, until: datetime, limit: int, turn: int) -> list[DeliveryRecord]:
    """The oldest of these under the app's first key and one further key, each of which has its `turn`."""
    further = index_keys.further_keys(app_id)
    return _listed(app_id, [app_id, further[turn % len(further)]], _due(until), limit)


def waiting_first(app_id: str, until: datetime, limit: int) -> list[DeliveryRecord]:
    """The newest of these under the app's first key, where no organisation has many."""
    return _listed(app_id, [app_id], _due(until), limit, backwards=True)


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


def owner(row: DeliveryRecord) -> str:
    """Whose the delivery of a row of that list is; empty where an older version listed it."""
    return str(row.replayable_at).removeprefix(f"{EXHAUSTED}#").partition("#")[2].partition("#")[2]


def _logged(
    app_id: str, since: datetime, until: datetime, limit: int | None, *, backwards: bool = False
) -> Iterator[Any]:
    within = DeliveryRecord.created_at.between(attempts.moment(since, ""), attempts.moment(until, "~"))
    keys = index_keys.all_keys(app_id)
    return index_keys.read(DeliveryRecord.by_app, keys, within, limit, "created_at", backwards=backwards)


def _parts(
    app_id: str, after: str | None, since: str | None, *, apart: bool
) -> list[tuple[Sequence[str], str | None]]:
    """The keys that are read one after another, each with the place after which it is."""
    further = index_keys.further_keys(app_id)
    if not apart:
        place = (after or since or "").removeprefix(FURTHER)
        return [(index_keys.all_keys(app_id), place or None)]
    if after and after.startswith(FURTHER):
        return [(further, after.removeprefix(FURTHER))]
    return [([app_id], after or since), (further, since)]


def _after(place: str | None, *, exhausted: bool) -> Any:
    if not exhausted:
        return DeliveryRecord.replayable_at.between(f"{place or ''}!", EXHAUSTED)
    return DeliveryRecord.replayable_at > place if place else None


def _due(until: datetime) -> Any:
    return DeliveryRecord.replayable_at <= attempts.moment(until, "~")  # no id comes after that


def _listed(
    app_id: str, keys: Sequence[str], condition: Any, limit: int, *, backwards: bool = False
) -> list[DeliveryRecord]:
    index, place = DeliveryRecord.replayable, "replayable_at"
    rows = [*islice(index_keys.read(index, keys, condition, limit, place, backwards=backwards), limit)]
    for row in rows:
        row.app_id = app_id
    return rows
