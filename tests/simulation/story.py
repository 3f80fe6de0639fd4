"""A story: what happens, step by step, by the number of a seed; and the world in which it happens.

Each step has a seed of its own, for what fails by chance while it lasts. So a story that fails can be shrunk: steps
that are left out do not change what the others meet.
"""

import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from pynamodb.exceptions import PynamoDBException
from pynamodb.transactions import TransactWrite

from bellhop import circuits
from bellhop.attempts import REPLAYABLE, DeliveryRecord
from bellhop.deliveries import Retry, encode
from bellhop.queues import OutgoingMessage
from bellhop.registry import DISABLED, ENABLED, App, AuditEntry, Installation
from bellhop.replays import Replay
from bellhop.secrets import SigningSecret
from deliver.http.faults import OurFaultError
from deliver.http.response import Response, SendFailure
from health import transitions
from health.transitions import Update
from tests.simulation.faults import DeathError, Faults
from tests.simulation.faulty_fleet import FaultyFleet
from tests.simulation.faulty_tables import FaultyTables
from tests.simulation.history import History
from tests.simulation.simulated_functions import RETRIES
from tests.support.endpoint import TIMEOUT, response
from tests.support.fakes import app, installation, issue_event, organization

APPS = ("pager", "chat", "slow", "flaky")
STEPS = 30
RATES = (0.0, 0.01, 0.05)  # of calls at which something goes wrong
PAUSES = (5, 60, 300, 1800)  # seconds after a step
ENDPOINTS: tuple[Response | SendFailure | OurFaultError, ...] = (
    *[response(200)] * 4,
    response(500),
    response(503, headers={"retry-after": "120"}),
    response(429, headers={"retry-after": "40"}),
    response(404),
    response(410),
    TIMEOUT,
    OurFaultError("no descriptor is left"),
)
SERVICES = (
    *("circuits", "attempts", "outcomes", "delivered", "apps", "secrets", "installations", "audit"),
    *("SendEmail", "PutEvents", "CreateSchedule", "retries", "transitions", "deliveries"),
)
OFTEN = ("events",) * 8 + ("endpoint",) * 6
ONCE = (
    *(
        "again",
        "switch",
        "switch",
        "redrive",
        "outage",
        "outage",
        "calm",
        "purge",
        "url",
        "replay",
        "retry",
        "rotate",
    ),
    *("uninstall", "install", "narrow", "widen", "leave", "come", "move", "deploy", "roll back", "kind"),
)
TROUBLE = (ClientError, BotoCoreError, PynamoDBException)


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happens to an app, and how many seconds pass then; `seed` decides the rest."""

    what: str
    app_id: str
    seconds: int
    seed: int

    def __str__(self) -> str:
        return f"{self.what} ({self.app_id}), then {self.seconds} s; seed {self.seed}"


@dataclass(frozen=True, slots=True)
class Story:
    """The steps, and the rate at which calls fail meanwhile."""

    number: int
    rate: float
    steps: tuple[Step, ...]


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


def tell(number: int) -> Story:
    """The story of that number."""
    chance = random.Random(number)
    rate = RATES[number % len(RATES)]
    steps = [
        Step(chance.choice(OFTEN + ONCE), chance.choice(APPS), chance.choice(PAUSES), chance.randrange(1 << 30))
        for _ in range(STEPS)
    ]
    return Story(number, rate, tuple(steps))


def begin(tables: FaultyTables) -> World:
    """A world in which nothing fails yet: an organisation with four apps, in tables that are empty."""
    organization(owners=["ada@acme.example", "bob@acme.example"]).save()
    fleet = FaultyFleet(None, faults=Faults(random.Random(0)))  # type: ignore[arg-type]
    pager, flaky, slow = app(auto_enable=True), app("flaky"), app("slow", kind="published")
    for each in (pager, app("chat", kind="published", max_per_second=0.5), slow, flaky):
        _register(each, fleet.clock())
    tables.fault, tables.lags, tables.now = fleet.effect, fleet.lags, fleet.clock.seconds
    tables.changed, tables.down = fleet.counted, lambda: fleet.faults.down
    for app_id in APPS:
        SigningSecret(app_id, secret=f"{app_id}-0".ljust(40, "x")).save()
        installation(app_id).save()
    world = World(fleet, tables, History(tables.tables["apps"], tables.tables["installations"]))
    tables.registry_changed = world.note
    world.note()
    return world


def live(world: World, story: Story) -> None:
    """Let the story happen."""
    for step in story.steps:
        world.fleet.faults.chance = random.Random(step.seed)
        world.fleet.faults.rate = story.rate
        _happen(world, step)
        world.fleet.run(world.fleet.clock() + timedelta(seconds=step.seconds))


def settle(world: World) -> None:
    """All is well again: endpoints, services; what is off is switched on, dead letters are redriven."""
    fleet = world.fleet
    fleet.faults.rate, fleet.faults.down = 0.0, None
    fleet.versions.mixed = fleet.versions.behind = False
    fleet.endpoints.clear()
    for _ in range(4):
        fleet.run(fleet.clock() + timedelta(hours=6))  # for whom a disabling was under way
        for app_id in APPS:
            found = _app(app_id)
            if found and found.state == DISABLED:
                _switch(world, found)
        fleet.redrive()
        fleet.run(fleet.clock() + timedelta(hours=36))


def _happen(world: World, step: Step) -> None:
    fleet, chance = world.fleet, world.fleet.faults.chance
    match step.what:
        case "events":
            for _ in range(chance.randrange(1, 6)):
                event_id = f"ev{len(world.published)}"
                seconds = chance.randrange(60)
                world.published.append((event_id, world.at() + seconds))
                fleet.publish(issue_event(event_id=event_id), seconds)
        case "again" if world.published:
            world.again = True
            fleet.publish(issue_event(event_id=world.published[-1][0]))
        case "endpoint":
            fleet.endpoints[step.app_id] = chance.choice(ENDPOINTS)
        case "redrive":
            fleet.redrive()
        case "purge":
            fleet.purge()
        case "outage":
            fleet.faults.down = chance.choice(SERVICES)
        case "calm":
            fleet.faults.down = None
        case "deploy":
            fleet.versions.mixed = not fleet.versions.mixed
        case "roll back":
            fleet.versions.behind = not fleet.versions.behind
        case _:
            fleet.start("operator", lambda: _operate(world, step))


def _operate(world: World, step: Step) -> None:
    """What a person does by a command, which may fail or die as everything else."""
    with suppress(DeathError, *TROUBLE):
        _command(world, step)


def _command(world: World, step: Step) -> None:
    found = _app(step.app_id)
    if step.what in {"uninstall", "install", "narrow", "widen"}:
        _change_installation(step)
    elif step.what == "come" and found is None:
        _register(app(step.app_id), world.fleet.clock())
    elif found is None:
        return
    elif step.what == "switch":
        _switch(world, found)
    elif step.what == "url":
        _change_url(world, found)
    elif step.what == "leave":
        found.delete()
    elif step.what == "move":
        other = "globex" if found.organization_id == "acme" else "acme"
        found.update(actions=[App.organization_id.set(other)])
    elif step.what == "kind":
        kind = "internal" if found.kind == "published" else "published"
        found.update(actions=[App.kind.set(kind)])
    elif step.what == "rotate":
        _rotate(world, step.app_id)
    else:
        _send_kept(world, found, step.what)


def _app(app_id: str) -> App | None:
    try:
        return App.get(app_id, consistent_read=True)
    except App.DoesNotExist:
        return None


def _change_installation(step: Step) -> None:
    row = Installation("acme", f"in-{step.app_id}")
    action: dict[str, Any] = {
        "uninstall": Installation.status.set("uninstalled"),
        "install": Installation.status.set("installed"),
        "narrow": Installation.events.set(["issue.resolved"]),
        "widen": Installation.events.set(["issue.created", "issue.resolved"]),
    }
    row.update(actions=[action[step.what]])


def _register(made: App, now: datetime) -> None:
    entry = transitions.registration(made, "operator:ann", now)
    with TransactWrite(connection=AuditEntry._get_connection().connection) as transaction:
        transaction.save(entry)
        transaction.save(made)


def _transition_dependencies(world: World) -> transitions.TransitionDependencies:
    fleet = world.fleet
    connection = AuditEntry._get_connection().connection
    return transitions.TransitionDependencies(connection, fleet.queues().announce, fleet.telemetry, fleet.clock)


def _switch(world: World, found: App) -> None:
    evidence: dict[str, Any] = {"rule": "operator", "days": []}
    deps = _transition_dependencies(world)
    if found.state == ENABLED:
        transitions.disable(found, "acme", "operator:ann", evidence, deps)
    else:
        replay = {"replay": {"states": ["parked"]}}
        transitions.enable(found, "operator:ann", evidence | replay, deps, tell_owners=False)


def _change_url(world: World, found: App) -> None:
    url = f"{found.url}/{found.generation}"
    update = Update([App.url.set(url)], App.url == found.url)
    transitions.change_url(found, url, "operator:ann", update, _transition_dependencies(world))


def _rotate(world: World, app_id: str) -> None:
    row = SigningSecret.get(app_id, consistent_read=True)
    number = int(row.secret.rstrip("x").rpartition("-")[2]) + 1
    row.previous, row.previous_until = row.secret, int(world.at() + 3600)
    row.secret = f"{app_id}-{number}".ljust(40, "x")
    row.save()


def _send_kept(world: World, found: App, what: str) -> None:
    """Replay everything of an app, or retry one delivery of it."""
    world.again = True
    if what == "replay" and found.state == ENABLED and not circuits.is_paused(found.app_id, int(found.generation)):
        now = world.at()
        replay = Replay(found.app_id, int(found.generation), REPLAYABLE, 10.0, now, now)
        world.fleet.queues().announce(replay)
    elif what == "retry":
        rows: Sequence[DeliveryRecord] = [row for row in DeliveryRecord.scan() if row.app_id == found.app_id]
        if rows:
            row = world.fleet.faults.chance.choice(rows)
            retry = Retry(row.delivery_id, row.app_id, int(row.attempts_made) + 1, replay=True)
            world.fleet.queue(RETRIES).send(OutgoingMessage(encode(retry), row.app_id))
