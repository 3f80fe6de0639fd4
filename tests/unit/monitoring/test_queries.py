"""The saved queries, and those of the dashboard, find the lines that the functions really write."""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import boto3
import pytest

from bellhop import attempts, circuits
from bellhop.attempts import PARKED, RETRYING, NextState
from bellhop.deliveries import Trial
from bellhop.powertools import PowertoolsTelemetry
from bellhop.queues import Queue
from bellhop.registry import App
from bellhop.telemetry import Telemetry
from deliver.dependencies import DeliverDependencies
from deliver.http.faults import OurFaultError
from deliver.http.response import Response, SendFailure
from health.app import handle
from health.messages import AppSweep, RetrySweep
from notify import intake
from notify.intake import NotifyDependencies
from tests.docs.pages import RUNBOOK, blocks
from tests.support import insights
from tests.support.endpoint import Clock, Endpoint, Secrets, response, run
from tests.support.fakes import (
    NOW,
    FakeRegistry,
    app,
    delivery,
    installation,
    issue_event,
    organization,
    queue_message,
)
from tests.support.health import health_dependencies
from tests.support.monitoring import queries, widgets
from tests.support.ses import disabled

Line = dict[str, Any]

SAVED = {name: (query["QueryString"], query["LogGroupNames"]) for name, query in queries().items()}
SHOWN = {
    widget["properties"]["title"]: (widget["properties"]["query"], ["DeliverLogs"]) for widget in widgets("log")
}
QUERIES = SAVED | SHOWN


class Faulty:
    """A transport that reaches nobody, by a fault of ours."""

    def post(self, *request: Any) -> Response | SendFailure:
        raise OurFaultError("no resolver was free")


@pytest.fixture
def apps() -> dict[str, App]:
    return {"pager": app(), "chat": app("chat", state="disabled")}


@pytest.fixture
def written(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str, Callable[[Telemetry], None]], list[Line]]:
    """What a function writes to its log, as CloudWatch gets it."""
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Bellhop")

    def log(service: str, hour: Callable[[Telemetry], None]) -> list[Line]:
        # A service's logger is made once in a process and keeps the stream of then: each use has its own.
        monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", f"{service} in {request.node.name}")
        capsys.readouterr()
        hour(PowertoolsTelemetry())
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return log


@pytest.fixture
def lines(deps: DeliverDependencies, queue: str, clock: Clock, written: Any) -> dict[str, list[Line]]:
    """What the functions write in an eventful hour, by their log groups."""
    return {
        "NotifyLogs": written("notify", lambda telemetry: notify_hour(telemetry, queue)),
        "DeliverLogs": written("deliver", lambda telemetry: deliver_hour(deps, telemetry, clock)),
        "HealthLogs": written("health", health_hour),
    }


def notify_hour(telemetry: Telemetry, queue: str) -> None:
    work = Queue(boto3.client("sqs"), queue)
    hooks = FakeRegistry({"acme": organization()}, {"pager": app()}, [installation()])
    deps = NotifyDependencies(hooks, work, work, work, telemetry, lambda _: None, NOW.timestamp)
    events = [issue_event(), issue_event(event_id="ev2", type="ignored")]
    hooks.installed.append(installation("chat"))
    intake.process([queue_message(event, f"m{n}") for n, event in enumerate(events)], deps, lambda: 900.0)


def deliver_hour(quiet: DeliverDependencies, telemetry: Telemetry, clock: Clock) -> None:
    deps = replace(quiet, telemetry=telemetry)
    well, ill = Endpoint(response(200)), Endpoint(response(500))
    run(deps, well, queue_message(delivery()))
    run(deps, Faulty(), queue_message(delivery(delivery_id="msg_ours")))
    run(replace(deps, secrets=Secrets(None)), well, queue_message(delivery(delivery_id="msg_secret")))
    run(deps, well, queue_message(delivery(delivery_id="msg_off", app_id="chat")))
    run(deps, ill, *(queue_message(delivery(delivery_id=f"msg_ill{n}"), f"m{n}") for n in range(10)))
    clock.move(60)
    run(deps, well, queue_message(delivery(delivery_id="msg_paused")))
    run(deps, well, queue_message(Trial("pager", 1, 0)), queue_message(Trial("chat", 1, 0), "m2"))


def health_hour(telemetry: Telemetry) -> None:
    """A sweep, of what was lost hours ago."""
    then = NOW - timedelta(days=1)
    attempts.open_record(delivery(delivery_id="msg_lost"), NextState(RETRYING, then.timestamp()), then)
    attempts.open_record(delivery(delivery_id="msg_left"), NextState(PARKED), then)
    for kept in (app(), app("chat", state="disabled", generation=2)):
        kept.save()
    circuits.open_circuit("pager", 1, 0.0, 0.0)
    circuits.claim_trial("pager", 1, 0, "worker", now=1.0, seconds=30)
    circuits.close_circuit("pager", "worker", 1.0)
    circuits.note_chain("pager", 2.0)
    disabled().save()
    deps = health_dependencies(
        telemetry=telemetry,
        retry=lambda _: set(),
        send_later=lambda *_: None,
        announce=lambda _: None,
        now=tomorrow,
    )
    handle(RetrySweep(), deps)
    handle(AppSweep(), deps)


def tomorrow() -> datetime:
    return NOW + timedelta(days=1)


def found(query: str, among: Iterable[Line]) -> list[Line]:
    """The lines that a query's filter finds by message and level; all of them if it looks at neither."""
    whole, parts = insights.whole_messages(query), insights.parts_of_messages(query)
    levels = insights.levels(query)

    def is_found(line: Line) -> bool:
        text = line.get("message", "")
        return text in whole or line.get("level") in levels or any(part in text for part in parts)

    return [line for line in among if is_found(line) or not whole + parts + levels]


def test_every_query_is_looked_at() -> None:
    assert len(SAVED) == 8
    assert len(SHOWN) == 2


@pytest.mark.parametrize("name", QUERIES)
def test_every_field_of_a_query_is_one_of_the_lines_that_it_finds(name: str, lines: dict[str, list[Line]]) -> None:
    query, groups = QUERIES[name]
    matching = found(query, [line for group in groups for line in lines[group]])
    assert matching
    assert insights.fields(query) <= {field for line in matching for field in line}


@pytest.mark.parametrize("name", QUERIES)
def test_every_message_that_a_query_looks_for_is_written_by_one_of_its_functions(
    name: str, lines: dict[str, list[Line]]
) -> None:
    query, groups = QUERIES[name]
    messages = {line.get("message", "") for group in groups for line in lines[group]}
    assert set(insights.whole_messages(query)) <= messages
    for part in insights.parts_of_messages(query):
        assert any(part in message for message in messages), part


def test_a_pattern_reads_the_app_and_the_milliseconds_of_a_delivery_from_its_line(
    lines: dict[str, list[Line]],
) -> None:
    pattern = re.findall(r"parse text /(.+)/", SAVED["SlowestEndpoints"][0])[0].replace("(?<", "(?P<")
    line = next(line for line in lines["DeliverLogs"] if line.get("message") == "delivered")
    for separators in [(",", ":"), (", ", ": ")]:
        [text] = [json.dumps(each, separators=separators) for each in line["deliveries"]]
        read = re.fullmatch(pattern, text)
        assert read
        assert read.groupdict() == {"app": "pager", "ms": str(line["deliveries"][0][-1])}


def test_the_runbooks_query_reads_a_row_of_notifys_record(lines: dict[str, list[Line]]) -> None:
    [query] = [block.text for block in blocks(RUNBOOK) if "deliveries enqueued" in block.text]
    pattern = re.findall(r"parse text /(.+)/", query)[0].replace("(?<", "(?P<")
    line = next(line for line in lines["NotifyLogs"] if line.get("message") == "deliveries enqueued")
    assert insights.fields(query) <= {*line, *re.findall(r"\(\?P<(\w+)>", pattern)}
    about = dict(zip(line["columns"], line["events"][0], strict=True))
    for separators in [(",", ":"), (", ", ": ")]:
        read = re.match(pattern, json.dumps(line["events"][0], separators=separators))
        assert read
        assert read.groupdict() == {
            "event_id": about["event_id"],
            "name": about["event"],
            "organization_id": about["organization_id"],
        }


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ('filter message = "x y" | display @timestamp, app_id', {"message", "app_id"}),
        ("fields jsonParse(@message) as line | unnest line.deliveries into each", {"deliveries"}),
        ("stats max(milliseconds) as longest by app_id | sort longest desc", {"milliseconds", "app_id"}),
        (r"filter @message like /Task timed out|\[ERROR\]/", set()),
    ],
)
def test_the_fields_of_a_query_are_found(query: str, fields: set[str]) -> None:
    assert insights.fields(query) == fields
