import json
from typing import Any

import pytest

from bellhop.client import check
from bellhop.events import SCHEMA_PATH, parse
from infra.cli import events_file, example_events
from infra.cli.registry.events import events_of
from notify.fanout import FanOut
from tests.support.fakes import NOW, FakeRegistry, app, installation, organization
from tests.unit.cli.cli_runner import EXAMPLE, refused, succeed

NAMES = [name for of_resource in events_of().values() for name in of_resource]


@pytest.mark.parametrize("name", NAMES)
def test_the_example_of_each_name_is_valid_and_goes_to_an_app_that_listens_to_it(name: str) -> None:
    text = succeed("example", name)
    assert check(text) == []
    hooks = FakeRegistry({"acme": organization()}, {"pager": app(events=[name])}, [installation(events=[name])])
    fan_out = FanOut(parse(text), hooks, NOW.timestamp())
    [delivery] = [step for step in fan_out.steps() if step]
    assert delivery.event == name
    body: dict[str, Any] = json.loads(delivery.body)
    assert (body["resource"], body["action"]) == tuple(name.split("."))
    assert body["data"]


def test_each_resource_of_the_schema_has_an_example_and_nothing_else_has() -> None:
    schema = json.loads(SCHEMA_PATH.read_text())
    assert set(example_events._contents()) == set(schema["properties"]["resource"]["enum"])


def test_several_examples_are_a_file_that_publish_reads() -> None:
    lines = succeed("example", "comment", "error.created", "comment.deleted")
    names = [each.event.name for each in events_file.read(lines)]
    assert names == ["comment.created", "comment.updated", "comment.deleted", "error.created"]
    assert len({each.event.event_id for each in events_file.read(lines)}) == 4
    array = succeed("example", "comment", "--json")
    assert len(json.loads(array)) == len(events_file.read(array)) == 3


@pytest.mark.usefixtures("cloudformation")
def test_an_example_can_be_published_as_it_is() -> None:
    succeed("apply", EXAMPLE, "--yes")
    event = succeed("example", "issue.created", "--organization", "4501", "--project", "17")
    assert "1 published. Next: bellhop event 4501 example-" in succeed("publish", "-", stdin=event)
    assert json.loads(event)["project_id"] == "17"


def test_without_a_name_it_lists_which_there_are() -> None:
    assert json.loads(succeed("example", "--json")) == NAMES
    assert "metric_alert.open, metric_alert.resolved" in succeed("example")


def test_a_name_that_nothing_has_is_refused_with_what_may_be_meant() -> None:
    assert "no event 'issue.resolvd': did you mean issue.resolved? `bellhop" in refused("example", "issue.resolvd")
    assert "`bellhop example` lists them" in refused("example", "\x1b")
