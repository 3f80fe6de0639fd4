"""Processes that have so small a share of an app's first key that much of what is parked is under further ones."""

from collections import defaultdict

from bellhop.index_keys import KeyChoice
from tests.support.endpoint import Clock

PROCESSES = 120  # as by default, of which a story has three


class NotedKeys(KeyChoice):
    """Notes for each delivery whether it was listed under a further key, each time; `under` is shared by all."""

    def __init__(self, clock: Clock, under: defaultdict[str, set[bool]]) -> None:
        super().__init__(PROCESSES, clock.seconds)
        self.under = under

    def list_key(self, app_id: str, delivery_id: str, organization_id: str | None = None) -> str:
        key = super().list_key(app_id, delivery_id, organization_id)
        self.under[delivery_id].add(key != app_id)
        return key
