"""The world in which a story happens: a fleet, its tables, an organisation with four apps."""

import random
from dataclasses import dataclass, field
from typing import Any

from bellhop.deliveries import delivery_id
from bellhop.large_bodies import LARGE_BYTES
from tests.simulation.expressions import is_alert, number_of
from tests.simulation.faults import FREEZES, Faults
from tests.simulation.faulty_fleet import HANGS, SKEWS, FaultyFleet, Post
from tests.simulation.faulty_tables import LAG_SECONDS, FaultyTables
from tests.simulation.history import WANTED, Facts, History
from tests.simulation.operators import new_app, register
from tests.simulation.simulated_functions import CACHE_SECONDS, TEMPLATE, Parameters
from tests.support.fakes import installation, issue_event, organization

APPS = ("pager", "chat", "slow", "flaky")
SKEW_SECONDS = max(SKEWS)
# For so long a process may go by what it read: its cache, and what froze it on the way from there to the POST.
STALE_SECONDS = CACHE_SECONDS + 3 * max(FREEZES) + 10 * HANGS


@dataclass
class World:
    """A fleet, its tables, and what is known from outside: what was published, who wanted it, and who was off.

    `again`: apps and deliveries of which a person had something sent once more. `unfinished`: apps about which a
    command died, or that were deleted by hand: what is left undone there is the sweep's. `copies`: the most
    retries that waited for one delivery at a time. `stranded`: what went on without a message.
    """

    fleet: FaultyFleet
    tables: FaultyTables
    history: History
    published: list[tuple[str, float]] = field(default_factory=list)  # an event's id, and when
    again: set[str] = field(default_factory=set)
    unfinished: set[str] = field(default_factory=set)
    copies: int = 0
    stranded: set[str] = field(default_factory=set)

    def at(self) -> float:
        return self.fleet.clock.seconds()

    def note(self) -> None:
        """Note how the apps and their installations are from now on."""
        for app_id in APPS:
            self.history.note(self.at(), app_id)

    def registered(self, app_id: str) -> bool:
        """Whether the app is registered now."""
        return (app_id, None) in self.tables.tables["apps"].items

    def webhooks(self) -> list[Post]:
        """What was posted, but pings."""
        return [post for post in self.fleet.posts if post.resource != "ping"]

    def source(self, post: Post) -> tuple[str, float]:
        """The event that a webhook is about, and when it was published first."""
        own = (
            each
            for each in self.published
            if post.delivery_id == delivery_id("acme", each[0], f"in-{post.app_id}")
        )
        return next(own)

    def around(self, app_id: str, at: float) -> list[Facts]:
        """What was true of an app at the time of a process's clock."""
        return self.history.between(app_id, at - SKEW_SECONDS, at + SKEW_SECONDS)

    def sent_again(self, app_id: str, delivery_id: str) -> bool:
        """Whether a person may have had that delivery sent once more."""
        return not self.again.isdisjoint((app_id, delivery_id))

    def publish_again(self) -> None:
        """Publish the last event once more."""
        event_id, _ = self.published[-1]
        self.again.update(delivery_id("acme", event_id, f"in-{app_id}") for app_id in APPS)
        self.fleet.publish(event(event_id))


def event(event_id: str) -> dict[str, Any]:
    """The event of that id; of every second one, the body is large."""
    number = number_of(event_id)
    size = LARGE_BYTES if number % 2 else 0
    data = {"noise": random.Random(number).randbytes(size).hex()}
    if is_alert(number):
        return issue_event(event_id=event_id, data=data, resource="event_alert", type="triggered")
    return issue_event(event_id=event_id, data=data)


def begin(tables: FaultyTables, parameters: Parameters = TEMPLATE) -> World:
    """A world in which nothing fails yet: an organisation with four apps, in tables that are empty."""
    organization(owners=["ada@acme.example", "bob@acme.example"]).save()
    fleet = FaultyFleet(None, parameters=parameters, faults=Faults(random.Random(0)))  # type: ignore[arg-type]
    apps = (
        new_app("pager", auto_enable=True),
        new_app("chat", kind="published", max_per_second=0.5),
        new_app("slow", kind="published"),
        new_app("flaky", headers={"Webhook-Signature": "v1,its own"}),
    )
    for each in apps:
        register(each, fleet.clock())
    tables.fault, tables.lags, tables.now = fleet.effect, fleet.lags, fleet.clock.seconds
    tables.changed, tables.down = fleet.counted, lambda: fleet.faults.down
    for app_id in APPS:
        installation(app_id, events=[*WANTED]).save()
    fleet.clock.move(LAG_SECONDS)  # what is registered is known to every read
    world = World(fleet, tables, History(tables.tables))
    tables.noted = world.note
    world.note()
    return world
