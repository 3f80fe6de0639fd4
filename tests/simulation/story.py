"""A story: what happens, step by step, by the number of a seed.

Each step has a seed of its own, for what fails by chance while it lasts. So a story that fails can be shrunk:
steps that are left out do not change what the others meet.

Where calls fail, four of the steps are strikes: at the next call of one effect, which the number decides, a
process dies or freezes, before or after it. So what is seldom called is struck as often as what is called always.
"""

import random
from dataclasses import dataclass
from datetime import timedelta

from botocore.exceptions import BotoCoreError, ClientError
from pynamodb.exceptions import PynamoDBException

from bellhop.registry import DISABLED
from deliver.http.faults import OurFaultError
from deliver.http.response import Response, SendFailure
from health.rules import Thresholds
from tests.simulation import under_way
from tests.simulation.effects import EFFECTS
from tests.simulation.faults import BOUNDARIES, FROZE_BEFORE, DeathError
from tests.simulation.faulty_fleet import FaultyFleet
from tests.simulation.operators import AGAIN, BY_HAND, Operator, find_app
from tests.simulation.simulated_functions import TEMPLATE, Parameters
from tests.simulation.world import APPS, World, event
from tests.support.endpoint import TIMEOUT, response

STEPS = 30
STRIKE = "strike: "  # before the effect and the boundary
RATES = (0.0, 0.01, 0.05)  # of calls at which something goes wrong
PAUSES = (*(5, 60, 300, 1800) * 2, 21_600)  # seconds after a step
# Of half of the stories: retries end, limits are reached, copies of events are dropped.
SHORT = Parameters((5, 60, 1000), Thresholds(6, 2, 1), timedelta(hours=6))
GONE = response(410)  # switches an internal app off
ENDPOINTS: tuple[Response | SendFailure | OurFaultError, ...] = (
    *[response(200)] * 4,
    response(500),
    response(503, headers={"retry-after": "120"}),
    response(503, headers={"retry-after": "99999999"}),
    response(429, headers={"retry-after": "40"}),
    response(404),
    GONE,
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
        "url",
        "replay",
        "retry",
        "resend",
        "resend",
        "stop resend",
        "rotate",
        "at once",
    ),
    *("uninstall", "install", "narrow", "limit", "widen", "leave", "delete", "come", "move", "deploy", "kind"),
    *("filter", "transform", "transform"),
    "gone",
)
# In three stories of five: what loses messages, or keeps them for hours. In the others, the sweep finds nothing.
ROUGH = ("redrive", "outage", "outage", "calm", "purge", "roll back")
LEADING = {  # to what is seldom called: drawn often where it is struck
    "health: SendMessage deliveries": ("gone", "events"),
    "health: TransactWriteItems several": ("gone", "events"),
    "health: UpdateItem attempts": ("endpoint", "purge"),
    "operator: DeleteItem apps": ("leave", "come"),
    "operator: Query audit": ("leave", "come"),
    "health: GetItem installations": ("resend", "events"),
    "operator: BatchGetItem several": ("resend", "endpoint"),
    "operator: GetItem attempts": ("resend", "events"),
    "operator: GetItem delivered": ("resend", "events"),
    "operator: Query attempts": ("resend", "stop resend"),
    "operator: Query delivered": ("resend", "events"),
    "operator: SendMessage retries": ("retry",),
    "operator: UpdateItem attempts": ("resend", "events"),
}
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
    """The steps, the rate at which calls fail meanwhile, and the template's parameters."""

    number: int
    rate: float
    steps: tuple[Step, ...]
    parameters: Parameters = TEMPLATE


def tell(number: int) -> Story:
    """The story of that number."""
    chance = random.Random(number)
    rate = RATES[number % len(RATES)]
    struck = EFFECTS[number // len(RATES) % len(EFFECTS)]
    rough, parameters = chance.random() < 0.6, chance.choice((TEMPLATE, SHORT))
    kinds = OFTEN + ONCE + (ROUGH if rough else ()) + 8 * LEADING.get(struck, ())
    what = [chance.choice(kinds) for _ in range(STEPS)]
    if rate:
        for boundary in BOUNDARIES:
            what.insert(chance.randrange(STEPS), f"{STRIKE}{struck}, {boundary}")
    steps = [Step(each, chance.choice(APPS), chance.choice(PAUSES), chance.randrange(1 << 30)) for each in what]
    return Story(number, rate, tuple(steps), parameters)


def live(world: World, story: Story) -> None:
    """Let the story happen."""
    for step in story.steps:
        world.fleet.faults.chance = random.Random(step.seed)
        world.fleet.faults.rate = story.rate
        _happen(world, step)
        # What waits for a newer version comes twice now and then, each quarter of an hour.
        seconds = min(step.seconds, 1800) if world.fleet.versions.behind else step.seconds
        world.fleet.run(world.fleet.clock() + timedelta(seconds=seconds))
        under_way.look(world)


def settle(world: World) -> None:
    """All is well again: endpoints, services; what is off is switched on, dead letters are redriven.

    A strike that has met no call yet may still meet one in the first quarter of that time.
    """
    fleet = world.fleet
    fleet.faults.rate, fleet.faults.down = 0.0, None
    fleet.versions.mixed = fleet.versions.behind = False
    fleet.endpoints.clear()
    fleet.sweep_seconds *= 4  # little is left to be found, and half of a story's calls are a sweep's
    for _ in range(4):
        fleet.run(fleet.clock() + timedelta(hours=6))  # for whom a disabling was under way
        for app_id in APPS:
            found = find_app(app_id)
            if found and found.state == DISABLED:
                _command(world, app_id, "switch")
        fleet.redrive()
        fleet.run(fleet.clock() + timedelta(hours=36))
        fleet.faults.strikes.clear()


def _happen(world: World, step: Step) -> None:
    fleet, chance = world.fleet, world.fleet.faults.chance
    match step.what:
        case "events":
            _publish(world, chance)
        case "again" if world.published:
            world.publish_again()
        case "endpoint" | "gone":
            fleet.endpoints[step.app_id] = GONE if step.what == "gone" else chance.choice(ENDPOINTS)
        case "at once":  # of two people, the first is slow
            fleet.faults.strikes.append(("operator: TransactWriteItems several", FROZE_BEFORE))
            for what in chance.sample(("switch", "url", "url"), 2):
                _command(world, step.app_id, what)
        case "deploy" | "roll back":
            _deploy(world, step.what)
        case what if what in ROUGH or what.startswith(STRIKE):
            _break(world.fleet, what)
        case what:
            _command(world, step.app_id, what)


def _break(fleet: FaultyFleet, what: str) -> None:
    match what:
        case "outage" | "calm":
            fleet.faults.down = fleet.faults.chance.choice(SERVICES) if what == "outage" else None
        case "redrive":
            fleet.redrive()
        case "purge":
            fleet.purge()
        case strike:
            effect, _, boundary = strike.removeprefix(STRIKE).rpartition(", ")
            fleet.faults.strikes.append((effect, boundary))


def _publish(world: World, chance: random.Random) -> None:
    for _ in range(chance.randrange(1, 6)):
        event_id, seconds = f"ev{len(world.published)}", chance.randrange(60)
        world.published.append((event_id, world.at() + seconds))
        world.fleet.publish(event(event_id), seconds)


def _deploy(world: World, what: str) -> None:
    versions = world.fleet.versions
    if what == "deploy":
        versions.mixed = not versions.mixed
    else:
        versions.behind = not versions.behind


def _command(world: World, app_id: str, what: str) -> None:
    """Have a person do something; the command may fail or die."""
    fleet = world.fleet
    if what in AGAIN:
        world.again.add(app_id)
    if what in BY_HAND:
        world.unfinished.add(app_id)

    def work() -> None:
        try:
            Operator(fleet, app_id, fleet.faults.chance).do(what)
        except (DeathError, *TROUBLE):
            world.unfinished.add(app_id)

    fleet.start("operator", work)
