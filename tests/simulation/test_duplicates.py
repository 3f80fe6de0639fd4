"""The same stories where copies of events are dropped: each delivery is accounted for as well."""

from dataclasses import replace
from datetime import timedelta

import pytest

from bellhop.registry import App
from notify.duplicates import Duplicates
from notify.intake import NotifyDependencies
from tests.simulation.simulated_functions import Fleet
from tests.simulation.story import tell
from tests.simulation.telling import told
from tests.support.endpoint import Clock

STORIES = range(18)  # with each rate of faults, six
KEEP = timedelta(hours=24)
MAKE = Fleet._notify_dependencies


def dropping(fleet: Fleet, clock: Clock) -> NotifyDependencies:
    """notify's dependencies, with what drops copies."""
    connection = App._get_connection().connection
    return replace(MAKE(fleet, clock), duplicates=Duplicates(connection, KEEP, fleet.telemetry, clock.seconds))


@pytest.mark.parametrize("story", STORIES)
def test_no_delivery_is_lost_by_dropping_copies(story: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fleet, "_notify_dependencies", dropping)
    assert told(tell(story)).findings == ()
