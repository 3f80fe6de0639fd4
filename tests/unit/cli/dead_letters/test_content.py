"""What a dead letter is, and whether it may go back."""

import json
from dataclasses import replace

import pytest

from bellhop import deliveries
from bellhop.deliveries import Retry, Trial
from bellhop.replays import Replay
from health import messages
from infra.cli.dead_letters.content import (
    DELIVERIES,
    ISSUE_EVENTS,
    RETRIES,
    SCHEDULES,
    TRANSITIONS,
    describe,
    outgoing_attributes,
)
from notify import continuation
from notify.continuation import Cursor
from tests.support.fakes import delivery, issue_event

RETRY = deliveries.encode(Retry("msg_1", "pager", 3))
POINTER = json.dumps(
    {"requestContext": {"condition": "RetryAttemptsExhausted"}, "DDBStreamBatchInfo": {"shardId": "shardId-1"}}
)


def test_a_malformed_event_names_the_field_and_is_not_to_go_back() -> None:
    content = describe(ISSUE_EVENTS, json.dumps({"event_id": "ev7"}), {"field": "type", "reason": "is missing"})
    assert (content.kind, content.reason) == ("malformed event", "type: is missing")
    assert content.names == {"event_id": "ev7"}
    assert content.obstacle is not None


def test_a_malformed_event_without_room_for_the_reason_is_judged_by_what_it_is() -> None:
    content = describe(ISSUE_EVENTS, "no JSON", {})
    assert content.kind == "malformed event"
    assert content.reason
    assert content.obstacle is not None


def test_an_event_that_fits_the_contract_by_now_may_go_back_without_what_was_said_of_it() -> None:
    told = {"field": "type", "reason": "is missing", "trace": "t1"}
    content = describe(ISSUE_EVENTS, json.dumps(issue_event()), told)
    assert (content.kind, content.obstacle, content.names["event_id"]) == ("event", None, "ev1")
    gone_back = outgoing_attributes(ISSUE_EVENTS, told, 0.0)
    assert gone_back.keys() == {"trace", continuation.ATTRIBUTE}


def test_an_event_that_was_redriven_got_another_body_under_the_same_webhook_id() -> None:
    gone_back = outgoing_attributes(ISSUE_EVENTS, {}, 1_800_000_000.25)
    cursor = continuation.decode({name: {"stringValue": text} for name, text in gone_back.items()})
    assert cursor == Cursor(published_at=1_800_000_000.25)
    again = describe(ISSUE_EVENTS, json.dumps(issue_event()), gone_back)
    assert again.kind == "event"


def test_the_rest_of_an_event_goes_back_with_its_cursor() -> None:
    attributes = continuation.encode(Cursor("in-a"))
    content = describe(ISSUE_EVENTS, json.dumps(issue_event()), attributes)
    assert (content.kind, content.obstacle) == ("rest of an event", None)
    assert outgoing_attributes(ISSUE_EVENTS, attributes, 1.0) == attributes


@pytest.mark.parametrize(
    ("queue", "body", "kind"),
    [
        (DELIVERIES, deliveries.encode(delivery()), "first attempt"),
        (DELIVERIES, deliveries.encode(replace(delivery(), ping=True)), "ping"),
        (RETRIES, RETRY, "retry"),
        (RETRIES, deliveries.encode(Trial("pager", 1, 4)), "trial"),
        (SCHEDULES, RETRY, "retry"),
        (TRANSITIONS, messages.encode(Replay("pager", 1, ("parked",), 1.0, 0, 0)), "replay"),
        (RETRIES, json.dumps({"v": 2}), "message of a newer version"),
        (TRANSITIONS, json.dumps({"kind": "later"}), "message of a newer version"),
    ],
)
def test_what_deliver_and_health_can_read_may_go_back(queue: str, body: str, kind: str) -> None:
    content = describe(queue, body, {})
    assert (content.kind, content.obstacle) == (kind, None)
    if "newer" not in kind:
        assert content.names["app_id"] == "pager"


def test_of_a_first_attempt_the_webhooks_own_body_is_shown() -> None:
    assert describe(DELIVERIES, deliveries.encode(delivery()), {}).body == delivery().body.decode()


@pytest.mark.parametrize("queue", [DELIVERIES, RETRIES, SCHEDULES, TRANSITIONS])
@pytest.mark.parametrize(
    "body", ["", "[]", "7", '"text"', "{}", '{"v": 1, "body": "eA=="}', '{"v": 1, "body": 5}', "[" * 100_000]
)
def test_what_nothing_can_read_is_not_to_go_back(queue: str, body: str) -> None:
    content = describe(queue, body, {})
    assert (content.kind, content.obstacle is None) == ("unreadable", False)


def test_a_pointer_to_the_stream_is_not_to_go_back_and_says_why_it_is_there() -> None:
    content = describe(TRANSITIONS, POINTER, {})
    assert (content.kind, content.reason) == ("pointer to the stream", "RetryAttemptsExhausted")
    assert content.obstacle is not None


def test_what_the_scheduler_says_is_the_reason() -> None:
    told = {"ERROR_CODE": "AWS.SQS.NonExistentQueue", "ERROR_MESSAGE": "no such queue", "RULE_ARN": "arn"}
    content = describe(SCHEDULES, RETRY, told)
    assert content.reason == "AWS.SQS.NonExistentQueue: no such queue"
    assert outgoing_attributes(SCHEDULES, told, 1.0) == {}
