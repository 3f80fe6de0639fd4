"""notify alone: what it makes of a batch, and what its role lets it do."""

import json
from typing import Any

import pytest

from bellhop.deliveries import decode
from infra.local.paused_triggers import waiting
from infra.local.receiver import ok
from tests.integration.invoke_function import batch, delivery, invoke, sent_to, without
from tests.support.tenant import Town

pytestmark = pytest.mark.stack


def notify(town: Town, *events: dict[str, Any]) -> list[str]:
    return invoke(town.stack, "NotifyFunction", batch(*map(json.dumps, events)))


def dead_letters(town: Town, event: dict[str, Any]) -> list[dict[str, str]]:
    """What is said of an event in the dead-letter queue."""
    letters = [m for m in waiting(town.stack, "IssueEventsDeadLetters") if m["Body"] == json.dumps(event)]
    return [{name: said["StringValue"] for name, said in m["MessageAttributes"].items()} for m in letters]


def test_an_event_becomes_a_delivery_for_each_app_in_a_message_group_of_its_own(town: Town) -> None:
    hooks = [town.app(ok)[0] for _ in range(2)]
    assert notify(town, town.event("created")) == []
    for hook in hooks:
        [message] = sent_to("Deliveries", town, hook)
        assert message["MessageGroupId"] == hook.app_id
        assert decode(message["Body"]) == delivery(town, hook, "created")


def test_a_malformed_event_is_dead_lettered_with_its_reason_beside_a_good_one(town: Town) -> None:
    hook, _ = town.app(ok)
    wrong = town.event("wrong", "exploded")
    assert notify(town, wrong, town.event("right")) == []
    [said] = dead_letters(town, wrong)
    assert said["field"] == "type"
    assert said["reason"].startswith("must be one of ['created', ")
    [message] = sent_to("Deliveries", town, hook)
    assert decode(message["Body"]) == delivery(town, hook, "right")


@pytest.mark.parametrize(("right", "kept"), [("dynamodb:Query", ["m1"]), ("sqs:SendMessage", ["m0", "m1"])])
def test_what_notify_may_not_do_for_now_it_keeps_and_does_later(town: Town, right: str, kept: list[str]) -> None:
    hook, _ = town.app(ok)
    events = {"m0": town.event("wrong", "exploded"), "m1": town.event("right")}
    with without(town.stack, "NotifyRole", right):
        assert notify(town, *events.values()) == kept
    assert sent_to("Deliveries", town, hook) == []
    assert notify(town, *(events[message] for message in kept)) == []
    [message] = sent_to("Deliveries", town, hook)
    assert decode(message["Body"]) == delivery(town, hook, "right")
    assert len(dead_letters(town, events["m0"])) == 1
