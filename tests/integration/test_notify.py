"""The notify function alone: what it does with a batch, and what its role allows."""

import json
from dataclasses import replace
from typing import Any

import pytest

from bellhop.deliveries import Delivery, decode
from infra.local.paused_triggers import messages_in
from infra.local.receiver import ok
from notify import continuation
from notify.continuation import Cursor
from tests.integration.invoke_function import batch, delivery, invoke, role_without, sent_to
from tests.support.tenant import Tenant

pytestmark = pytest.mark.stack


def notify(tenant: Tenant, *events: dict[str, Any]) -> list[str]:
    return invoke(tenant.stack, "NotifyFunction", batch(*map(json.dumps, events)))


def dead_letter_reasons(tenant: Tenant, event: dict[str, Any]) -> list[dict[str, str]]:
    """The attributes that explain why an event is on the dead-letter queue."""
    messages = [m for m in messages_in(tenant.stack, "IssueEventsDeadLetters") if m["Body"] == json.dumps(event)]
    return [{name: text["StringValue"] for name, text in m["MessageAttributes"].items()} for m in messages]


def is_copy(body: str, expected: Delivery) -> bool:
    """Whether a queue message is this delivery, whenever it was enqueued."""
    decoded = decode(body)
    assert isinstance(decoded, Delivery)
    assert decoded.enqueued_at > 0
    return replace(decoded, enqueued_at=expected.enqueued_at) == expected


def test_an_event_becomes_a_delivery_for_each_app_in_a_message_group_of_its_own(tenant: Tenant) -> None:
    hooks = [tenant.app(ok)[0] for _ in range(2)]
    assert notify(tenant, tenant.event("created")) == []
    for hook in hooks:
        [message] = sent_to("Deliveries", tenant, hook)
        assert message["MessageGroupId"] == hook.app_id
        assert is_copy(message["Body"], delivery(tenant, hook, "created"))


def test_a_continuation_goes_only_to_the_installations_that_are_left(tenant: Tenant) -> None:
    first, last = (tenant.app(ok)[0] for _ in range(2))
    event = batch(json.dumps(tenant.event("continued")))
    cursor = continuation.encode(Cursor(after=f"installation-{first.app_id}", enqueued=1))
    attributes = {name: {"stringValue": text, "dataType": "String"} for name, text in cursor.items()}
    event["Records"][0]["messageAttributes"] = attributes
    assert invoke(tenant.stack, "NotifyFunction", event) == []
    assert sent_to("Deliveries", tenant, first) == []
    [message] = sent_to("Deliveries", tenant, last)
    assert is_copy(message["Body"], delivery(tenant, last, "continued"))


def test_a_malformed_event_is_dead_lettered_with_its_reason_beside_a_good_one(tenant: Tenant) -> None:
    hook, _ = tenant.app(ok)
    wrong = tenant.event("wrong", "exploded")
    assert notify(tenant, wrong, tenant.event("right")) == []
    [explained] = dead_letter_reasons(tenant, wrong)
    assert explained["field"] == "type"
    assert explained["reason"].startswith("is none of created, ")
    [message] = sent_to("Deliveries", tenant, hook)
    assert is_copy(message["Body"], delivery(tenant, hook, "right"))


@pytest.mark.parametrize(("right", "returned"), [("dynamodb:Query", ["m1"]), ("sqs:SendMessage", ["m0", "m1"])])
def test_notify_returns_what_it_may_not_do_to_the_queue_and_does_it_later(
    tenant: Tenant, right: str, returned: list[str]
) -> None:
    hook, _ = tenant.app(ok)
    events = {"m0": tenant.event("wrong", "exploded"), "m1": tenant.event("right")}
    with role_without(tenant.stack, "NotifyRole", right):
        assert notify(tenant, *events.values()) == returned
    assert sent_to("Deliveries", tenant, hook) == []
    assert notify(tenant, *(events[message] for message in returned)) == []
    [message] = sent_to("Deliveries", tenant, hook)
    assert is_copy(message["Body"], delivery(tenant, hook, "right"))
    assert len(dead_letter_reasons(tenant, events["m0"])) == 1
