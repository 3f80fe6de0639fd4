"""The indexes by which an app's delivery records are found: all of them, and what can be replayed."""

from typing import Any

from pynamodb.attributes import UnicodeAttribute
from pynamodb.indexes import GlobalSecondaryIndex, IncludeProjection


class ByApp(GlobalSecondaryIndex[Any]):  # type: ignore[no-untyped-call]
    """Every record of an app, by the time at which it was first written."""

    class Meta:
        index_name = "by_app"
        projection = IncludeProjection(["state", "event", "event_id"])

    app_id = UnicodeAttribute(hash_key=True)
    created_at = UnicodeAttribute(range_key=True)


class Replayable(GlobalSecondaryIndex[Any]):  # type: ignore[no-untyped-call]
    """Only what is parked or exhausted is in it, by its place."""

    class Meta:
        index_name = "replayable"
        projection = IncludeProjection(["state", "attempts_made"])

    replayable_for = UnicodeAttribute(hash_key=True)
    replayable_at = UnicodeAttribute(range_key=True)
