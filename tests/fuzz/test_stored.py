"""Messages, changes and items of every released format, damaged: they cost themselves, and no neighbour."""

import json
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bellhop import deliveries
from deliver.http.response import Response
from notify import continuation
from tests.fuzz.mutation import mutated
from tests.simulation.faulty_tables import FaultyTables
from tests.simulation.simulated_functions import DELIVERIES, EVENTS, RETRIES, STREAM, TRANSITIONS
from tests.simulation.telling import tables_in_memory
from tests.simulation.world import World, begin
from tests.support.fakes import delivery, issue_event
from tests.unit.formats.samples import ITEMS, VERSIONS, Sample, item, samples

QUEUES = {"delivery": DELIVERIES, "retry": RETRIES, "trial": RETRIES, "stream": STREAM}
SECRETS = ("pager-0", "chat-0")  # how their keys begin; see tests/simulation/world.py
SAMPLES = [sample for version in VERSIONS for sample in samples(version)]
MESSAGES = [sample for sample in SAMPLES if sample.kind not in ITEMS and sample.kind != "continuation"]
STORED = [sample for sample in SAMPLES if sample.kind in ITEMS and sample.kind != "successes"]
VALUES = st.one_of(
    st.text(max_size=10).map(lambda text: {"S": text}),
    st.integers(-(10**20), 10**20).map(lambda number: {"N": str(number)}),
    st.booleans().map(lambda flag: {"BOOL": flag}),
    st.just({"NULL": True}),
    st.lists(st.text(max_size=5).map(lambda text: {"S": text}), max_size=2).map(lambda each: {"L": each}),
    st.just({"M": {}}),
    st.just({"B": b"\x78\x9c\xff"}),
)


def neighbour() -> deliveries.Delivery:
    return delivery(delivery_id="msg_" + "f" * 32, app_id="chat", installation_id="in-chat")


def without_history(tables: FaultyTables) -> World:
    """A world whose history is not noted: it reads whole items only."""
    world = begin(tables)
    tables.noted = lambda: None
    return world


def arrives(world: World) -> bool:
    """Whether the webhook of an app that has nothing to do with it arrives; nobody's secret is written down."""
    fleet = world.fleet
    fleet.put(DELIVERIES, deliveries.encode(neighbour()), 0)
    fleet.run(fleet.clock() + timedelta(hours=1))
    written = fleet.telemetry.everything() + json.dumps(fleet.published) + "".join(m.body for m in fleet.dead)
    assert not [secret for secret in SECRETS if secret in written]
    took = [p for p in fleet.posts if isinstance(p.outcome, Response) and p.outcome.ok]
    return neighbour().delivery_id in {post.delivery_id for post in took}


@given(sample=st.sampled_from(MESSAGES), data=st.data())
def test_a_damaged_message_keeps_nothing_of_its_neighbours(sample: Sample, data: st.DataObject) -> None:
    written = sample.written
    body = data.draw(mutated(written["dynamodb"]["NewImage"] if sample.kind == "stream" else written))
    with tables_in_memory() as tables:
        world = without_history(tables)
        world.fleet.put(QUEUES.get(sample.kind, TRANSITIONS), json.dumps(body), 0)
        assert arrives(world)


@given(data=st.data())
def test_a_damaged_cursor_keeps_nothing_of_its_neighbours(data: st.DataObject) -> None:
    [sample] = [each for each in SAMPLES if each.kind == "continuation"]
    text = json.dumps(data.draw(mutated(sample.written)))
    with tables_in_memory() as tables:
        world = without_history(tables)
        attributes = {continuation.ATTRIBUTE: {"StringValue": text}}
        world.fleet.put(EVENTS, json.dumps(issue_event()), 0, attributes)
        assert arrives(world)


@given(text=st.text() | mutated(issue_event()).map(json.dumps))
def test_what_is_no_event_keeps_nothing_of_its_neighbours(text: str) -> None:
    with tables_in_memory() as tables:
        world = without_history(tables)
        world.fleet.put(EVENTS, text, 0)
        assert arrives(world)


@given(sample=st.sampled_from(STORED), data=st.data())
def test_a_damaged_item_keeps_nothing_of_its_neighbours(sample: Sample, data: st.DataObject) -> None:
    with tables_in_memory() as tables:
        world = without_history(tables)
        table = tables.tables[ITEMS[sample.kind].Meta.table_name]
        keys = {
            name for pair in (table.keys, *(each.keys for each in table.indexes.values())) for name in pair if name
        }
        stored = item(sample.written)
        damaged = data.draw(st.dictionaries(st.sampled_from(sorted(stored)), VALUES | st.none(), max_size=3))
        changed: dict[str, Any] = stored | {n: v for n, v in damaged.items() if n not in keys}
        whole = {name: value for name, value in changed.items() if value is not None}
        table.items[table.key(whole)] = whole
        fleet = world.fleet
        fleet.put(DELIVERIES, deliveries.encode(delivery()), 0)
        fleet.put(RETRIES, deliveries.encode(deliveries.Retry(delivery().delivery_id, "pager", 2)), 0)
        fleet.put(RETRIES, deliveries.encode(deliveries.Trial("pager", 1, 0)), 0)
        assert arrives(world)
