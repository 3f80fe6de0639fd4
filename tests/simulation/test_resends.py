"""A resend of many: whatever health meets, each delivery on the list is sent once more, and none is lost."""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

import pytest

from bellhop import app_lists, attempts, resend_jobs
from bellhop.attempts import DELIVERED
from bellhop.resend_jobs import ResendJob
from deliver.http.response import Response
from tests.simulation import resending
from tests.simulation.effects import EFFECTS
from tests.simulation.faults import BOUNDARIES, DIED_BEFORE, FROZE_AFTER
from tests.simulation.faulty_tables import FaultyTables
from tests.simulation.telling import tables_in_memory
from tests.simulation.world import World, begin
from tests.support.fakes import issue_event

EVENTS = 8  # so that the list has three pages
STRUCK = [
    f"health: {name}"
    for name in (
        *("GetItem attempts", "UpdateItem attempts", "GetItem apps", "GetItem installations"),
        *("SendMessageBatch retries", "SendMessage transitions"),
    )
]


@pytest.fixture
def world() -> Iterator[World]:
    """Every app got everything, at once."""
    with tables_in_memory() as memory:
        yield delivered(memory)


def delivered(memory: FaultyTables) -> World:
    world = begin(memory)
    for number in range(EVENTS):
        world.fleet.publish(issue_event(event_id=f"ev{number}"))
    pass_time(world, 600)
    return world


def pass_time(world: World, seconds: float) -> None:
    world.fleet.run(world.fleet.clock() + timedelta(seconds=seconds))


def accepted(world: World, app_id: str) -> dict[str, int]:
    """How often the app accepted each of its deliveries."""
    taken = (p for p in world.fleet.posts if isinstance(p.outcome, Response) and p.outcome.ok)
    return Counter(p.delivery_id for p in taken if p.app_id == app_id)


def job(job_id: str) -> ResendJob:
    found = resend_jobs.load(job_id)
    assert found
    return found


def test_each_delivery_arrives_once_more_and_no_other_apps(world: World) -> None:
    before = accepted(world, "chat")
    job_id = resending.begin(world.fleet, "pager")
    pass_time(world, 3600)
    assert set(accepted(world, "pager").values()) == {2}
    assert len(accepted(world, "pager")) == EVENTS
    assert accepted(world, "chat") == before
    assert (job(job_id).sent, job(job_id).left) == (EVENTS, {})
    assert job(job_id).end is None
    assert world.fleet.idle


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("effect", STRUCK)
def test_wherever_health_dies_or_freezes_none_is_left_out_and_the_job_ends(
    world: World, effect: str, boundary: str
) -> None:
    assert effect in EFFECTS
    job_id = resending.begin(world.fleet, "pager")
    world.fleet.faults.strikes += 2 * [(effect, boundary)]
    pass_time(world, 6 * 3600)
    assert world.fleet.faults.met[effect, boundary] == 2
    # Nothing but an attempt whose worker died arrives more often than it was asked for, and no such worker did.
    assert set(accepted(world, "pager").values()) == {2}
    assert len(accepted(world, "pager")) == EVENTS
    assert (job(job_id).sent, job(job_id).left, job(job_id).page) == (EVENTS, {}, job(job_id).pages)
    assert job(job_id).ended
    assert (world.fleet.idle, world.fleet.dead) == (True, [])


@pytest.mark.parametrize("boundary", [DIED_BEFORE, FROZE_AFTER])
@pytest.mark.parametrize("seconds", [1, 7, 13])
def test_a_stop_leaves_the_rest_delivered_whatever_health_meets(
    world: World, boundary: str, seconds: float
) -> None:
    job_id = resending.begin(world.fleet, "pager")
    world.fleet.faults.strikes += [("health: UpdateItem attempts", boundary)]
    pass_time(world, seconds)
    resending.stop(world.fleet, "pager")
    pass_time(world, 6 * 3600)
    counts = accepted(world, "pager")
    twice = [name for name, number in counts.items() if number == 2]
    assert set(counts.values()) <= {1, 2}
    assert len(twice) >= job(job_id).sent
    for name in counts:
        record = attempts.load(name)
        assert record
        assert record.state == DELIVERED
    assert app_lists.replayable("pager", None, 9) == []
    assert world.fleet.idle


def test_of_two_resends_at_once_the_second_leaves_what_the_first_has_changed_meanwhile(
    world: World,
) -> None:
    jobs = [resending.begin(world.fleet, "pager")]
    pass_time(world, 0.5)
    jobs.append(resending.begin(world.fleet, "pager"))
    pass_time(world, 3600)
    sent = sum(int(job(each).sent) for each in jobs)
    assert sent + sum(sum(job(each).left.values()) for each in jobs) == 2 * EVENTS
    assert set(accepted(world, "pager").values()) <= {2, 3}  # of two that ask for the same attempt, one is made
