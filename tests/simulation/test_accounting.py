"""Whatever fails, and whenever, each delivery is accounted for once things are well again."""

import random
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from bellhop import attempts, circuits, tables
from bellhop.attempts import DELIVERED, EXHAUSTED, PARKED, RETRYING, DeliveryRecord
from bellhop.circuits import Share, SlowList
from bellhop.deliveries import delivery_id
from bellhop.index_keys import Entry
from bellhop.outcomes import OutcomeDay
from bellhop.registry import App, AuditEntry
from deliver.http.response import Response, SendFailure
from health import transitions
from tests.conftest import MODELS
from tests.simulation.faulty_fleet import Faults, FaultyDynamoDB, FaultyFleet
from tests.simulation.simulated_functions import streaming
from tests.support.endpoint import TIMEOUT, response
from tests.support.fakes import app, installation, issue_event, organization
from tests.support.memory_dynamodb import MemoryConnection

APPS = ("pager", "chat", "slow")
ENDPOINTS: tuple[Response | SendFailure, ...] = (
    *[response(200)] * 4,
    response(500),
    response(503, headers={"retry-after": "120"}),
    response(429, headers={"retry-after": "40"}),
    response(404),
    TIMEOUT,
)
TABLES = ("circuits", "attempts", "outcomes", "delivered", "apps", "secrets", "installations")
STEPS = 30


def switch(fleet: FaultyFleet, app_id: str, *, on: bool) -> None:
    """What an operator does by hand."""
    deps = transitions.TransitionDependencies(
        AuditEntry._get_connection().connection, fleet.queues().announce, fleet.telemetry, fleet.clock
    )
    found = App.get(app_id, consistent_read=True)
    if on:
        evidence: dict[str, Any] = {"rule": "operator", "days": [], "replay": {"states": ["parked"]}}
        transitions.enable(found, "operator:ann", evidence, deps, tell_owners=False)
    else:
        evidence = {"rule": "operator", "days": []}
        transitions.disable(found, "acme", "operator:ann", evidence, deps)


def publish_again(fleet: FaultyFleet, event_ids: list[str]) -> None:
    for event_id in event_ids:
        fleet.publish(issue_event(event_id=event_id))


def step(fleet: FaultyFleet, chance: random.Random, published: list[str]) -> None:
    """One thing that happens, and some time."""
    app_id = chance.choice(APPS)
    happens = ("again", "switch", "redrive", "outage", "calm", "purge")
    match chance.choice(("events",) * 8 + ("endpoint",) * 6 + happens):
        case "events":
            for _ in range(chance.randrange(1, 6)):
                published.append(f"ev{len(published)}")
                fleet.publish(issue_event(event_id=published[-1]), chance.randrange(60))
        case "again":
            publish_again(fleet, published[-1:])
        case "endpoint":
            fleet.endpoints[app_id] = chance.choice(ENDPOINTS)
        case "switch":
            with fleet.faults.suspended():
                switch(fleet, app_id, on=App.get(app_id, consistent_read=True).state == "disabled")
        case "redrive":
            fleet.redrive()
        case "purge":
            fleet.purge()
        case outage:
            fleet.faults.down = chance.choice(TABLES) if outage == "outage" else None
    fleet.run(fleet.clock() + timedelta(seconds=chance.choice((5, 60, 300, 1800))))


def settle(fleet: FaultyFleet) -> None:
    """All is well again: endpoints, services; what is off is switched on, dead letters are redriven."""
    fleet.faults.rate, fleet.faults.down = 0.0, None
    fleet.endpoints.clear()
    for app_id in APPS:
        if App.get(app_id, consistent_read=True).state == "disabled":
            switch(fleet, app_id, on=True)
    for _ in range(3):
        fleet.redrive()
        fleet.run(fleet.clock() + timedelta(days=2))


def unaccounted(fleet: FaultyFleet, published: list[str]) -> list[str]:
    """Deliveries that came to no end that a person was told of.

    Where a queue was purged, the message that would have told of an exhausted one may have been on it.
    """
    records = {row.delivery_id: row for row in DeliveryRecord.scan()}
    accepted = set(fleet.accepted)
    announced = {entry["Detail"].split('"delivery_id": "')[1][:36] for entry in _exhausted(fleet)}
    missing = []
    for event_id in published:
        for app_id in APPS:
            name = delivery_id("acme", event_id, f"in-{app_id}")
            row = records.get(name)
            if row is not None and row.state in {RETRYING, PARKED}:
                missing.append(f"{name} of {app_id} is {row.state} for ever")
            elif row is not None and row.state == EXHAUSTED and name not in announced and not fleet.purged:
                missing.append(f"{name} of {app_id} is exhausted, and nobody was told")
            elif (row is None or row.state == DELIVERED) and (app_id, name) not in accepted:
                missing.append(f"{name} of {app_id} was never accepted")
    return missing


def _exhausted(fleet: FaultyFleet) -> list[dict[str, Any]]:
    return [entry for entry in fleet.published if entry["DetailType"].endswith("exhausted")]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", range(metafunc.config.getoption("schedules")))


@pytest.fixture
def dynamodb() -> Iterator[FaultyDynamoDB]:
    memory, models = FaultyDynamoDB(), [*MODELS, Share, SlowList, Entry]
    for model in MODELS:
        memory.add(model)
    tables.bind(MemoryConnection(memory), {model: model.Meta.table_name for model in models})
    yield memory
    for model in models:
        model._connection = None


def registered_fleet(chance: random.Random, monkeypatch: pytest.MonkeyPatch) -> FaultyFleet:
    """A fleet with an organisation and its apps; nothing fails yet."""
    app().save()
    app("chat", kind="published", max_per_second=0.5).save()
    app("slow", kind="published").save()
    organization().save()
    for app_id in APPS:
        installation(app_id).save()
    fleet = FaultyFleet(None, faults=Faults(chance))  # type: ignore[arg-type]
    streaming(fleet, monkeypatch)
    return fleet


def test_every_delivery_is_accounted_for_whatever_failed(
    seed: int, dynamodb: FaultyDynamoDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    fleet = registered_fleet(chance, monkeypatch)
    dynamodb.faults = fleet.faults
    fleet.faults.rate = chance.choice((0.0, 0.02, 0.1))
    published: list[str] = []
    for _ in range(STEPS):
        step(fleet, chance, published)
    settle(fleet)
    assert published
    assert fleet.dead == []
    assert unaccounted(fleet, published) == []
    assert not any(circuits.is_paused(app_id, int(App.get(app_id).generation)) for app_id in APPS)
    counted = sum(int(row.success) for row in OutcomeDay.scan())
    assert counted <= len(fleet.accepted)
    assert [
        row.delivery_id for app_id in APPS for row in attempts.replayable(app_id, None, 9, exhausted=False)
    ] == []


def test_deleting_the_queues_under_load_loses_nothing_but_time(
    dynamodb: FaultyDynamoDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    app().save()
    organization().save()
    installation().save()
    fleet = FaultyFleet(None)  # type: ignore[arg-type]
    streaming(fleet, monkeypatch)
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
    assert sorted(fleet.accepted) == sorted(("pager", delivery_id("acme", name, "in-pager")) for name in published)
    assert fleet.telemetry.counts["SweepFound"] == len(published)


def test_while_no_message_is_lost_the_sweep_finds_nothing(
    dynamodb: FaultyDynamoDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(1)
    fleet = registered_fleet(chance, monkeypatch)
    for day in range(2):
        for number in range(20):
            fleet.publish(issue_event(event_id=f"ev{day}-{number}"), chance.randrange(86_400))
        for app_id in APPS:
            fleet.endpoints[app_id] = chance.choice(ENDPOINTS)
        fleet.run(fleet.clock() + timedelta(days=1))
    fleet.endpoints.clear()
    fleet.run(fleet.clock() + timedelta(days=3))
    assert "SweepFound" not in fleet.telemetry.counts
