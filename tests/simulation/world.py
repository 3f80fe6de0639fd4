"""The world in which a story happens: a fleet, its tables, an organisation with four apps."""

import random
from dataclasses import dataclass, field

from bellhop.secrets import SigningSecret
from tests.simulation.faults import Faults
from tests.simulation.faulty_fleet import FaultyFleet
from tests.simulation.faulty_tables import FaultyTables
from tests.simulation.history import History
from tests.simulation.operators import register
from tests.support.fakes import app, installation, organization

APPS = ("pager", "chat", "slow", "flaky")


@dataclass
class World:
    """A fleet, its tables, and what is known from outside: what was published, who wanted it, and who was off."""

    fleet: FaultyFleet
    tables: FaultyTables
    history: History
    published: list[tuple[str, float]] = field(default_factory=list)  # an event's id, and when
    again: bool = False  # something that had arrived was sent once more, by a person's will

    def at(self) -> float:
        return self.fleet.clock.seconds()

    def note(self) -> None:
        """Note how the apps and their installations are from now on."""
        for app_id in APPS:
            self.history.note(self.at(), app_id)


def begin(tables: FaultyTables) -> World:
    """A world in which nothing fails yet: an organisation with four apps, in tables that are empty."""
    organization(owners=["ada@acme.example", "bob@acme.example"]).save()
    fleet = FaultyFleet(None, faults=Faults(random.Random(0)))  # type: ignore[arg-type]
    pager, flaky, slow = app(auto_enable=True), app("flaky"), app("slow", kind="published")
    for each in (pager, app("chat", kind="published", max_per_second=0.5), slow, flaky):
        register(each, fleet.clock())
    tables.fault, tables.lags, tables.now = fleet.effect, fleet.lags, fleet.clock.seconds
    tables.changed, tables.down = fleet.counted, lambda: fleet.faults.down
    for app_id in APPS:
        SigningSecret(app_id, secret=f"{app_id}-0".ljust(40, "x")).save()
        installation(app_id).save()
    world = World(fleet, tables, History(tables.tables["apps"], tables.tables["installations"]))
    tables.registry_changed = world.note
    world.note()
    return world
