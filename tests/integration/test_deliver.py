"""The deliver function alone: what it does with a batch, and what its role allows."""

import random
from dataclasses import replace

import pytest

from bellhop import app_lists, attempts, large_bodies
from bellhop.attempts import DELIVERED, PARKED, RETRYING
from bellhop.deliveries import Delivery, Retry, Trial, decode, encode
from bellhop.large_bodies import LargeBody
from bellhop.registry import DISABLED, App
from infra.local.receiver import failing_first, ok
from infra.local.registering import Hook
from tests.integration.invoke_function import batch, delivery, invoke, role_without, sent_to
from tests.support.tenant import Tenant

pytestmark = pytest.mark.stack


def deliver(tenant: Tenant, *messages: Delivery | str, receive_count: int = 1) -> list[str]:
    bodies = [encode(message) if isinstance(message, Delivery) else message for message in messages]
    return invoke(tenant.stack, "DeliverFunction", batch(*bodies, receive_count=receive_count))


def logged(sent: Delivery) -> tuple[str, int, list[str]] | None:
    """The delivery record: its state, the number of attempts made, the result of each."""
    record = attempts.load(sent.delivery_id)
    if record is None:
        return None
    return record.state, int(record.attempts_made), [attempt["result"] for attempt in record.attempts]


def scheduled_retries(tenant: Tenant, hook: Hook) -> list[tuple[str, Delivery | Retry | Trial]]:
    """The app's messages on the Retries queue, each with its message group."""
    return [(m["MessageGroupId"], decode(m["Body"])) for m in sent_to("Retries", tenant, hook)]


def test_a_webhook_arrives_and_verifies_beside_a_message_that_cannot_be_read(tenant: Tenant) -> None:
    hook, endpoint = tenant.app(ok)
    sent = delivery(tenant, hook, "created")
    assert deliver(tenant, sent, encode(sent)[:-9]) == ["m1"]
    [received] = endpoint.received
    assert received.verified
    assert (received.webhook_id, received.body) == (sent.delivery_id, sent.body)
    assert logged(sent) is None


def test_a_delivery_whose_endpoint_fails_is_recorded_and_its_retry_is_scheduled(tenant: Tenant) -> None:
    hook, endpoint = tenant.app(failing_first(1))
    sent = delivery(tenant, hook, "flaky")
    assert deliver(tenant, sent) == []
    assert len(endpoint.received) == 1
    assert logged(sent) == (RETRYING, 1, ["http_500"])
    assert scheduled_retries(tenant, hook) == [
        (hook.app_id, Retry(sent.delivery_id, hook.app_id, 2, organization_id=tenant.organization))
    ]


def test_a_large_body_stands_beside_its_record_and_is_sent_again_from_there(tenant: Tenant) -> None:
    hook, endpoint = tenant.app(failing_first(1))
    sent = replace(delivery(tenant, hook, "large"), body=random.Random(1).randbytes(200_000))
    assert deliver(tenant, sent) == []
    record = attempts.load(sent.delivery_id)
    assert record
    assert LargeBody.get(str(large_bodies.key(record))).expires_at > record.expires_at
    retry = Retry(sent.delivery_id, hook.app_id, 2, organization_id=tenant.organization)
    assert deliver(tenant, encode(retry)) == []
    assert [each.body for each in endpoint.received] == [sent.body] * 2
    assert logged(sent) == (DELIVERED, 2, ["http_500", "http_200"])


def test_a_delivery_for_an_app_that_is_off_is_parked(tenant: Tenant) -> None:
    hook, endpoint = tenant.app(ok)
    App(hook.app_id).update(actions=[App.state.set(DISABLED)])
    sent = delivery(tenant, hook, "late")
    assert deliver(tenant, sent) == []
    assert endpoint.received == []
    assert logged(sent) == (PARKED, 0, [])
    assert [record.delivery_id for record in app_lists.replayable(hook.app_id, None, 9)] == [sent.delivery_id]
    assert scheduled_retries(tenant, hook) == []


@pytest.mark.parametrize(
    ("rights", "posts"),
    [
        (["dynamodb:BatchGetItem", "dynamodb:GetItem"], 1),
        (["dynamodb:PutItem"], 2),
        (["sqs:SendMessage"], 1),
    ],
)
def test_deliver_returns_what_it_may_not_do_to_the_queue_and_does_it_later(
    tenant: Tenant, rights: list[str], posts: int
) -> None:
    hook, endpoint = tenant.app(failing_first(9))
    sent = delivery(tenant, hook, "returned")
    with role_without(tenant.stack, "DeliverRole", *rights):
        assert deliver(tenant, sent) == ["m0"]
    assert scheduled_retries(tenant, hook) == []
    assert deliver(tenant, sent, receive_count=2) == []
    assert len(endpoint.received) == posts
    assert logged(sent) == (RETRYING, 1, ["http_500"])
    assert scheduled_retries(tenant, hook) == [
        (hook.app_id, Retry(sent.delivery_id, hook.app_id, 2, organization_id=tenant.organization))
    ]
