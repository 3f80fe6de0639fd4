"""The filters and transforms of stories, each beside what it means, in other words than the product's."""

import json
from collections.abc import Callable

Choice = Callable[[int], bool]  # of an event, by its number
Maker = Callable[[int], dict[str, str] | None]


def _resource(number: int) -> str:
    return "event_alert" if is_alert(number) else "issue"


def is_alert(number: int) -> bool:
    """Whether the event of that number is an alert: every fifth is one."""
    return number % 5 == 4


def number_of(event_id: str) -> int:
    """The number of an event."""
    return int(event_id.removeprefix("ev"))


# One that cannot be evaluated does not filter.
FILTERS: dict[str | None, Choice] = {
    None: lambda number: True,
    "resource == 'issue'": lambda number: not is_alert(number),
    " || ".join(f"ends_with(event_id, '{digit}')" for digit in range(0, 10, 2)): lambda number: number % 2 == 0,
    "sum(event_id) > `1`": lambda number: True,
}
# None: as it is. Where one cannot be applied, there is no webhook.
TRANSFORMS: dict[str | None, Maker | None] = {
    None: None,
    "{event: event_id, of: resource}": lambda number: {"event": f"ev{number}", "of": _resource(number)},
    "{event: join('-', event_id)}": lambda number: None,
}


def chooses(filter_: str | None, event_id: str) -> bool:
    """Whether a filter lets an event through."""
    return FILTERS[filter_](number_of(event_id))


def makes(transform: str | None, event_id: str) -> bool:
    """Whether a transform can be applied to an event."""
    make = TRANSFORMS[transform]
    return make is None or make(number_of(event_id)) is not None


def made_by(transform: str | None, event_id: str, body: bytes) -> bool:
    """Whether a webhook's body is what an app with that transform gets."""
    make, read = TRANSFORMS[transform], json.loads(body)
    if make is None:
        return bool(read.get("event_id") == event_id and read.get("organization_id") == "acme")
    return bool(read == make(number_of(event_id)))
