"""A batch on its way through notify: enqueued, dead-lettered or skipped, and nothing else."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import boto3
import pytest

from bellhop.deliveries import Delivery, decode
from bellhop.queues import MAX_BATCH_BYTES, Queue
from bellhop.registry import Organization
from notify import intake
from notify.intake import NotifyDependencies
from tests.support.fakes import (
    NOW,
    FakeRegistry,
    Recorder,
    app,
    installation,
    issue_event,
    organization,
    queue_message,
)


@pytest.fixture
def telemetry() -> Recorder:
    return Recorder()


@pytest.fixture
def deps(queue: str, telemetry: Recorder) -> NotifyDependencies:
    sqs = boto3.client("sqs")
    dead = sqs.create_queue(QueueName="dead")["QueueUrl"]
    hooks = FakeRegistry({"acme": organization()}, {"pager": app()}, [installation()])
    return NotifyDependencies(
        hooks,
        Queue(sqs, queue),
        Queue(sqs, dead),
        Queue(sqs, sqs.create_queue(QueueName="events")["QueueUrl"]),
        telemetry,
        lambda _: None,
        NOW.timestamp,
    )


def process(messages: list[dict[str, Any]], deps: NotifyDependencies) -> list[str]:
    return intake.process(messages, deps, lambda: 900.0)


@dataclass
class Refuses:
    """A queue that takes no message of one group."""

    sqs: Any
    group: str

    def send_message_batch(self, QueueUrl: str, Entries: Sequence[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        taken = [entry for entry in Entries if entry["MessageGroupId"] != self.group]
        return dict(self.sqs.send_message_batch(QueueUrl=QueueUrl, Entries=taken)) if taken else {}


class Flaky(FakeRegistry):
    """A registry that does not respond when it is asked for the organisation "other"."""

    def organization(self, organization_id: str) -> Organization | None:
        if organization_id == "other":
            raise ConnectionError("no response")
        return organization()


def received(deps: NotifyDependencies, url: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while messages := deps.deliveries.sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], AttributeNames=["All"]
    ).get("Messages"):
        found += map(dict, messages)
    return found


def test_an_event_becomes_a_delivery_grouped_by_its_app(deps: NotifyDependencies) -> None:
    assert process([queue_message(issue_event())], deps) == []
    [message] = received(deps, deps.deliveries.url)
    assert decode(message["Body"]).app_id == "pager"
    assert message["Attributes"]["MessageGroupId"] == "pager"


def test_a_malformed_event_is_dead_lettered_with_field_and_reason_and_its_neighbours_go_on(
    deps: NotifyDependencies,
    telemetry: Recorder,
) -> None:
    bad = queue_message(issue_event(project_id=7), "bad")
    assert process([bad, queue_message(issue_event(), "good")], deps) == []
    [dead] = received(deps, deps.dead_letters.url)
    assert dead["Body"] == bad["body"]
    assert dead["MessageAttributes"]["field"]["StringValue"] == "project_id"
    [line] = telemetry.logged("event malformed: it was sent to the dead-letter queue")
    assert line["field"] == "project_id"
    assert line["reason"]
    assert len(received(deps, deps.deliveries.url)) == 1


def test_a_filter_that_cannot_be_evaluated_is_told_once_for_an_event_and_nothing_is_retried(
    deps: NotifyDependencies, telemetry: Recorder
) -> None:
    names = [f"app-{n:02}" for n in range(30)]
    hooks = [installation(name, filter="contains(data.issue.culprit, 'x')") for name in names]
    crowd = FakeRegistry({"acme": organization()}, {name: app(name) for name in names}, hooks)
    assert process([queue_message(issue_event())], replace(deps, hooks=crowd)) == []
    assert len(received(deps, deps.deliveries.url)) == 30
    [line] = telemetry.logged("filter could not be evaluated: the event is delivered as if there were none")
    assert (line["event_id"], line["filters"], len(line["faults"])) == ("ev1", 30, 20)
    assert line["faults"]["in-app-00"] == "contains() does not take a value of type null"


def test_an_event_that_a_filter_does_not_want_is_skipped_with_that_reason(
    deps: NotifyDependencies, telemetry: Recorder
) -> None:
    picky = FakeRegistry(
        {"acme": organization()}, {"pager": app()}, [installation(filter="data.issue.level == 'fatal'")]
    )
    assert process([queue_message(issue_event())], replace(deps, hooks=picky)) == []
    [line] = telemetry.logged("event skipped: no installation gets it")
    assert (line["reasons"], line["skipped"]) == ("filtered_out", {"filtered_out": ["in-pager"]})
    assert (telemetry.counts["Skipped_filtered_out"], telemetry.counts["EventSkipped"]) == (1, 1)


def test_a_transform_that_fails_is_told_once_for_an_event_with_app_and_hook_and_nothing_is_retried(
    deps: NotifyDependencies, telemetry: Recorder
) -> None:
    names = [f"app-{n:02}" for n in range(30)]
    apps = {name: app(name, transform="{text: join('', [data.issue.culprit])}") for name in names}
    crowd = FakeRegistry({"acme": organization()}, apps, [installation(name) for name in names])
    assert process([queue_message(issue_event())], replace(deps, hooks=crowd)) == []
    assert received(deps, deps.deliveries.url) == []
    [line] = telemetry.logged("transform failed: these installations do not get the event")
    assert (line["event_id"], line["installations"], len(line["transform_faults"])) == ("ev1", 30, 20)
    reason = "join() does not take a value of type null"
    assert line["transform_faults"]["in-app-00"] == {"app_id": "app-00", "reason": reason}
    assert (telemetry.counts["Skipped_transform_failed"], telemetry.counts["EventSkipped"]) == (30, 1)


@pytest.mark.parametrize("body", ['{"a\\u0000b": 1}', '{"\\ud800": 1}', '{"x": "\\u0001"}', "\x7f", "[" * 5000])
def test_an_event_that_is_malformed_in_its_very_characters_can_be_dead_lettered(
    deps: NotifyDependencies, body: str
) -> None:
    assert process([queue_message(body)], deps) == []
    assert len(received(deps, deps.dead_letters.url)) == 1


def test_a_malformed_event_as_large_as_the_queue_takes_had_no_room_for_the_reason_beside_it(
    deps: NotifyDependencies, telemetry: Recorder
) -> None:
    largest = "a" * MAX_BATCH_BYTES
    assert process([queue_message(largest)], deps) == []
    [dead] = received(deps, deps.dead_letters.url)
    assert dead["Body"] == largest
    assert "MessageAttributes" not in dead
    assert telemetry.logged("event malformed: it was sent to the dead-letter queue")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"type": "delete"}, "type"),
        ({"resource": "error", "type": "resolved"}, "type"),
        ({"resource": "sticker"}, "resource"),
    ],
)
def test_an_event_of_an_unknown_kind_is_dead_lettered_by_its_field_and_delivered_to_nobody(
    deps: NotifyDependencies, change: dict[str, Any], field: str
) -> None:
    event = issue_event(**change)
    listed = [f"{event.get('resource', 'issue')}.{event['type']}"]
    hooks = FakeRegistry({"acme": organization()}, {"pager": app(events=listed)}, [installation(events=listed)])
    assert process([queue_message(event)], replace(deps, hooks=hooks)) == []
    [dead] = received(deps, deps.dead_letters.url)
    assert dead["MessageAttributes"]["field"]["StringValue"] == field
    assert received(deps, deps.deliveries.url) == []


def test_the_log_finds_every_event_by_its_id_whatever_became_of_it(
    deps: NotifyDependencies, telemetry: Recorder
) -> None:
    bad = issue_event(event_id="bad", user="Ada")
    records = [queue_message(issue_event(event_id=name), name) for name in ("ev1", "ev2")]
    process([*records, queue_message(bad)], deps)
    [line] = telemetry.logged("deliveries enqueued")
    assert [row[0] for row in line["events"]] == ["ev1", "ev2"]
    [line] = telemetry.logged("event malformed: it was sent to the dead-letter queue")
    assert (line["event_id"], line["organization_id"]) == ("bad", "acme")
    process([queue_message(issue_event(event_id="ev3", organization_id="other"))], replace(deps, hooks=Flaky()))
    [line] = telemetry.logged("event not handled: what is left will be retried by the queue")
    assert (line["event_id"], line["organization_id"]) == ("ev3", "other")


def test_an_event_nobody_listens_to_is_done_with_a_named_reason_and_a_metric(
    deps: NotifyDependencies, telemetry: Recorder
) -> None:
    assert process([queue_message(issue_event(type="ignored"))], deps) == []
    [line] = telemetry.logged("event skipped: no installation gets it")
    assert line["skipped"] == {"event_not_in_app": ["in-pager"]}
    assert line["reasons"] == "event_not_in_app"
    assert line["event_id"] == "ev1"
    assert telemetry.counts["Skipped_event_not_in_app"] == 1
    assert received(deps, deps.dead_letters.url) == []
    assert received(deps, deps.deliveries.url) == []


def test_an_event_of_an_organisation_without_installations_is_done_and_delivered_to_nobody(
    deps: NotifyDependencies,
    telemetry: Recorder,
) -> None:
    alone = replace(deps, hooks=FakeRegistry({"acme": organization()}, {"pager": app()}))
    assert process([queue_message(issue_event())], alone) == []
    assert telemetry.counts["EventSkipped"] == 1
    assert received(deps, deps.deliveries.url) == []


def test_a_registry_that_does_not_respond_fails_only_the_events_it_was_asked_for(deps: NotifyDependencies) -> None:
    flaky = replace(deps, hooks=Flaky(apps={"pager": app()}, installed=[installation()]))
    records = [queue_message(issue_event(organization_id="other"), "m1"), queue_message(issue_event(), "m2")]
    assert process(records, flaky) == ["m1"]
    assert len(received(deps, deps.deliveries.url)) == 1


def test_a_queue_that_does_not_respond_fails_every_event(deps: NotifyDependencies) -> None:
    nowhere = replace(deps, deliveries=Queue(deps.deliveries.sqs, deps.deliveries.url + "-nowhere"))
    assert process(
        [queue_message(issue_event(), "m1"), queue_message(issue_event(event_id="e2"), "m2")], nowhere
    ) == [
        "m1",
        "m2",
    ]


def test_an_event_of_which_the_queue_refuses_a_delivery_goes_on_with_that_one_and_its_neighbours_are_done(
    deps: NotifyDependencies,
) -> None:
    apps = {"a": app("a"), "b": app("b", events=["issue.created"])}
    refusing = replace(
        deps,
        hooks=FakeRegistry({"acme": organization()}, apps, [installation("a"), installation("b")]),
        deliveries=Queue(Refuses(deps.deliveries.sqs, "b"), deps.deliveries.url),  # type: ignore[arg-type]
    )
    neighbours = [issue_event(event_id=name, type="resolved") for name in ("before", "after")]
    records = [
        queue_message(neighbours[0], "m1"),
        queue_message(issue_event(event_id="both"), "m2"),
        queue_message(neighbours[1], "m3"),
    ]
    assert process(records, refusing) == []
    sent = [decode(message["Body"]) for message in received(deps, deps.deliveries.url)]
    assert {(delivery.event_id, delivery.app_id) for delivery in sent if isinstance(delivery, Delivery)} == {
        ("before", "a"),
        ("both", "a"),
        ("after", "a"),
    }
    attributes = deps.events.sqs.get_queue_attributes(
        QueueUrl=deps.events.url, AttributeNames=["ApproximateNumberOfMessagesDelayed"]
    )
    assert attributes["Attributes"]["ApproximateNumberOfMessagesDelayed"] == "1"


def test_a_dead_letter_queue_that_does_not_respond_fails_the_malformed_event(deps: NotifyDependencies) -> None:
    nowhere = replace(deps, dead_letters=Queue(deps.dead_letters.sqs, deps.dead_letters.url + "-nowhere"))
    assert process([queue_message("{", "bad")], nowhere) == ["bad"]


def test_what_the_customer_wrote_stays_out_of_the_log(deps: NotifyDependencies, telemetry: Recorder) -> None:
    process([queue_message(issue_event(issue={"id": "1", "title": "hunter2"}, user="hunter2"))], deps)
    process([queue_message(json.dumps(issue_event(issue={"id": "1", "title": "hunter2"})))], deps)
    assert "hunter2" not in telemetry.everything()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (json.dumps(issue_event() | {"": 1}), "body"),
        ('{"": 1, "": 2, "event_id": "ev1"}', None),
        ('{"' + "x" * 200_000 + '": "\\ud800"}', None),
    ],
)
def test_a_malformed_event_whose_field_has_an_empty_or_an_endless_name_is_dead_lettered(
    deps: NotifyDependencies, body: str, field: str | None
) -> None:
    assert process([queue_message(body)], deps) == []
    [dead] = received(deps, deps.dead_letters.url)
    name = dead["MessageAttributes"]["field"]["StringValue"]
    assert 0 < len(name) <= 1000
    assert field is None or name == field
    assert dead["Body"] == body
