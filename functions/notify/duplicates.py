"""Copies of events that were fanned out before, where the operators want them dropped."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from pynamodb.connection import Connection
from pynamodb.exceptions import PynamoDBException

from bellhop import handled_events
from bellhop.budget import OutOfBudgetError
from bellhop.events import IssueEvent
from bellhop.telemetry import Telemetry

DUPLICATE = "duplicate"  # the reason why a copy is skipped


@dataclass(frozen=True)
class Duplicates:
    """Knows which events were fanned out within the last `keep`.

    Policy: an event is marked once every delivery of it is on its queue, so a copy of what is lost before that is
    no duplicate. Where the table does not respond, copies are sent: receivers recognise them by their webhook-id.
    """

    connection: Connection
    keep: timedelta
    telemetry: Telemetry
    now: Callable[[], float]  # Unix seconds

    def find(self, events: Sequence[IssueEvent]) -> dict[str, float]:
        """When those of the events that were fanned out before were, by their keys (`handled_events.key`)."""
        try:
            return handled_events.find(events, self.connection, self.now())
        except (PynamoDBException, OutOfBudgetError):
            self.telemetry.warning(
                "duplicates not looked for: copies of events are sent again", events=len(events)
            )
            return {}

    def mark(self, events: Sequence[IssueEvent]) -> None:
        """Every delivery of these events is on its queue now."""
        try:
            handled_events.mark(events, self.now(), self.keep)
        except (PynamoDBException, OutOfBudgetError):
            self.telemetry.warning("events not marked: copies of them will be sent again", events=len(events))
