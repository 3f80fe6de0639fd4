"""How far an event's fan-out has come: what a continuation carries beside the event.

A continuation is the event's own text with the cursor in a message attribute. Its publisher cannot set it by
accident, because nothing in an event becomes an attribute. Who sets it on purpose keeps their own event from some
of their own installations, and gains nothing. A notify that does not know continuations yet takes one for the
event: all installations get the event, some of them a second time under the same webhook-id.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from bellhop.newer import check_version

VERSION = 1
ATTRIBUTE = "bellhop-continuation"


@dataclass(frozen=True, slots=True)
class Cursor:
    """What of an event's fan-out is done.

    Installations up to the id `after` were handled, or all of them if `finished`, except for `refused`: the queue
    refused their deliveries. `enqueued` is the number of deliveries so far. `published_at` (Unix seconds) is when
    the event was published; a version that did not know it left it out.
    """

    after: str | None = None
    finished: bool = False
    refused: tuple[str, ...] = ()
    enqueued: int = 0
    published_at: float | None = None


def encode(cursor: Cursor) -> dict[str, str]:
    """The cursor as the attributes of a queue message."""
    return {ATTRIBUTE: json.dumps({"v": VERSION} | asdict(cursor), ensure_ascii=False, separators=(",", ":"))}


def decode(attributes: Mapping[str, Any]) -> Cursor | None:
    """The cursor in the attributes of a received message; None if it is an event as it was published.

    Raises:
        UnknownKindError: the cursor is of a newer version.
        ValueError: the cursor was not written by notify.
    """
    if ATTRIBUTE not in attributes:
        return None
    try:
        values = json.loads(attributes[ATTRIBUTE]["stringValue"])
        check_version("continuation", values.pop("v"), VERSION)
        known = {each.name for each in fields(Cursor)}  # a field that a newer version added is ignored
        cursor = Cursor(**{name: value for name, value in values.items() if name in known})
        return _checked(replace(cursor, refused=tuple(cursor.refused)))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("a cursor that notify did not write") from error


def _checked(cursor: Cursor) -> Cursor:
    ids = (*cursor.refused, "" if cursor.after is None else cursor.after)
    numbers = (cursor.enqueued, cursor.published_at or 0.0)
    if not (all(isinstance(each, str) for each in ids) and all(isinstance(each, int | float) for each in numbers)):
        raise ValueError("a cursor that notify did not write")
    return cursor
