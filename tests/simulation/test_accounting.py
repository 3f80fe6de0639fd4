"""Whatever fails, and whenever, each delivery is accounted for once things are well again."""

import dataclasses
import random
from collections.abc import Iterator
from datetime import timedelta

import pytest

from bellhop.deliveries import delivery_id
from bellhop.secrets import SigningSecret
from deliver.http.faults import OurFaultError
from deliver.http.response import Response
from tests.simulation.effects import EFFECTS
from tests.simulation.faults import BOUNDARIES, DIED_AFTER, DeathError, Faults
from tests.simulation.faulty_fleet import FaultyFleet
from tests.simulation.faulty_tables import FaultyTables
from tests.simulation.story import ENDPOINTS, RATES, STRIKE, Step, Story, tell
from tests.simulation.telling import Told, shrunk, tables_in_memory, told
from tests.simulation.world import APPS, begin
from tests.support.endpoint import response
from tests.support.fakes import app, installation, issue_event, organization


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "number" in metafunc.fixturenames:
        metafunc.parametrize("number", range(metafunc.config.getoption("schedules")))


@pytest.fixture
def tables() -> Iterator[FaultyTables]:
    with tables_in_memory() as memory:
        yield memory


def accepted(fleet: FaultyFleet) -> list[tuple[str, str]]:
    """App and webhook-id of what was taken with a 2xx."""
    return [(p.app_id, p.delivery_id) for p in fleet.posts if isinstance(p.outcome, Response) and p.outcome.ok]


def test_every_delivery_is_accounted_for_whatever_failed(number: int, pytestconfig: pytest.Config) -> None:
    ended = told(tell(number))
    if ended.findings:
        shown = ended if pytestconfig.getoption("unshrunk") else shrunk(ended)
        pytest.fail(shown.report(), pytrace=False)
    assert ended.world
    assert ended.world.fleet.faults.calls.keys() <= set(EFFECTS)


def test_every_boundary_of_every_effect_is_struck_by_some_story() -> None:
    steps = [step.what for number in range(len(RATES) * len(EFFECTS)) for step in tell(number).steps]
    strikes = {what for what in steps if what.startswith(STRIKE)}
    assert strikes == {f"{STRIKE}{effect}, {boundary}" for effect in EFFECTS for boundary in BOUNDARIES}


def test_a_strike_befalls_the_next_call_of_its_effect_and_no_other() -> None:
    struck, made = ("deliver: POST", DIED_AFTER), list[str]()
    faults = Faults(random.Random(0), strikes=[struck])
    faults.call("notify", "POST", lambda: made.append("another's"))
    with pytest.raises(DeathError):
        faults.call("deliver", "POST", lambda: made.append("the next"))
    faults.call("deliver", "POST", lambda: made.append("the one after it"))
    assert made == ["another's", "the next", "the one after it"]
    assert faults.met == {struck: 1}


def test_a_story_that_fails_is_shrunk_to_the_steps_that_matter_and_can_be_told_again() -> None:
    steps = tuple(Step(what, "pager", 5, seed) for seed, what in enumerate(("events", "calm", "purge", "rotate")))

    def tell_as_if(story: Story) -> Told:
        what = [step.what for step in story.steps]
        return Told(story, ("it is lost",) if {"events", "purge"} <= set(what) else (), None)

    best = shrunk(tell_as_if(Story(17, 0.01, steps)), tell_as_if)
    assert [step.what for step in best.story.steps] == ["events", "purge"]
    assert "--story 17" in best.report()
    assert "it is lost" in best.report()


def test_a_story_is_the_same_each_time_it_is_told() -> None:
    first, second = told(tell(2)), told(tell(2))
    assert first.world
    assert second.world
    assert first.world.fleet.posts == second.world.fleet.posts
    assert first.world.fleet.faults.met == second.world.fleet.faults.met


def test_deleting_the_queues_under_load_loses_nothing_but_time(tables: FaultyTables) -> None:
    app().save()
    organization().save()
    installation().save()
    SigningSecret("pager", secret="s" * 40).save()
    fleet = FaultyFleet(None)  # type: ignore[arg-type]
    tables.now, tables.changed = fleet.clock.seconds, fleet.counted
    fleet.endpoints["pager"] = response(404)
    published = [f"ev{number}" for number in range(300)]
    for number, event_id in enumerate(published):
        fleet.publish(issue_event(event_id=event_id), number)
    fleet.run(fleet.clock() + timedelta(seconds=200))
    fleet.purge()
    fleet.run(fleet.clock() + timedelta(minutes=40))
    fleet.purge()
    fleet.endpoints.clear()
    assert fleet.purged >= len(published)
    fleet.run(fleet.clock() + timedelta(hours=6))
    assert sorted(accepted(fleet)) == sorted(
        ("pager", delivery_id("acme", name, "in-pager")) for name in published
    )
    assert fleet.telemetry.counts["SweepFound"] > 0


def test_while_no_message_is_lost_the_sweep_finds_nothing(tables: FaultyTables) -> None:
    chance = random.Random(1)
    world = begin(tables)
    fleet = world.fleet
    # What is off waits for a person. What fails on our side for a day is deferred each minute of it.
    lasting = [each for each in ENDPOINTS if each != response(410) and not isinstance(each, OurFaultError)]
    for day in range(2):
        for number in range(20):
            fleet.publish(issue_event(event_id=f"ev{day}-{number}"), chance.randrange(86_400))
        for app_id in APPS:
            fleet.endpoints[app_id] = chance.choice(lasting)
        fleet.run(fleet.clock() + timedelta(days=1))
    fleet.endpoints.clear()
    fleet.run(fleet.clock() + timedelta(days=3))
    assert "SweepFound" not in fleet.telemetry.counts


def in_calm(*steps: str) -> Story:
    """A story of chat's, whose endpoint may respond with 404, in which no call fails."""
    return dataclasses.replace(tell(0), steps=tuple(Step(what, "chat", 1800, 17) for what in steps))


def test_a_world_in_which_a_delivery_vanishes_is_found_to_be_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    calm = in_calm("events")
    assert told(calm).findings == ()
    monkeypatch.setattr(FaultyFleet, "send_message_batch", lambda self, **batch: {"Successful": batch["Entries"]})
    assert any("is lost" in each for each in told(calm).findings)


@pytest.mark.parametrize(
    ("steps", "place", "instead", "words"),
    [
        (
            ("gone", "events"),
            "health.review.INTERNAL",
            "published",
            "it is not internal, and is never switched off",
        ),
        (("endpoint", "events"), "deliver.attempt.retry.jittered", lambda *_: 1, "was made after 1"),
        (("endpoint", "events"), "deliver.next_step._send_soon", lambda *_: set(), "the sweep found"),
        (("gone", "events"), "deliver.attempt.ending.outcome_delta", lambda *_: None, "has 0 counted as fatal"),
        (("endpoint", "events"), "deliver.attempt.chain.write", lambda *_: None, "is not in its record"),
    ],
)
def test_a_world_that_breaks_a_rule_is_found_to_be_broken(
    steps: tuple[str, ...], place: str, instead: object, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = in_calm(*steps)
    assert told(story).findings == ()
    monkeypatch.setattr(place, instead)
    assert any(words in each for each in told(story).findings)
