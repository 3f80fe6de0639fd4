"""What a batch needs to know of its apps, read in one call before its attempts begin."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from pynamodb.connection import Connection
from pynamodb.exceptions import PynamoDBException
from pynamodb.models import Model

from bellhop.budget import OutOfBudgetError
from bellhop.tables import ItemKey, read_at_once
from bellhop.telemetry import Telemetry


class Cache(Protocol):
    """Items that this process has read already."""

    def lacks(self, key: ItemKey) -> bool:
        """Whether the item would have to be read."""

    def take_in(self, key: ItemKey, item: Model | None) -> None:
        """Keep an item that was just read; None if there is none with that key."""


@dataclass(frozen=True)
class Prefetch:
    """Fills the caches, each of one model, in that order. A batch of ten apps takes one call, not thirty.

    `connection` must not retry: a table that is silent would take the time in which each app could be read alone.
    """

    caches: Mapping[type[Model], Cache]
    connection: Connection
    telemetry: Telemetry

    def read(self, app_ids: Iterable[str], left_out: Collection[type[Model]] = ()) -> None:
        """Read what the caches lack of these apps, but for the models that are `left_out`.

        Policy: what is not read here is read again for each app alone, where a failure is that app's alone.
        """
        models = [model for model in self.caches if model not in left_out]
        keys = [ItemKey(model, app_id) for app_id in sorted(set(app_ids)) for model in models]
        lacking = [key for key in keys if self.caches[key.model].lacks(key)]
        if len(lacking) < 2:  # noqa: PLR2004 - a single one costs no less here
            return
        try:
            items = read_at_once(lacking, self.connection)
        except (PynamoDBException, OutOfBudgetError):
            self.telemetry.warning("apps not read together: each will be read alone", number=len(lacking))
            return
        for model, cache in self.caches.items():
            for key in items:
                if key.model is model:
                    cache.take_in(key, items[key])
