"""deliver alone: what it makes of a batch, and what its role lets it do."""

import pytest

from bellhop import attempts
from bellhop.attempts import PARKED, RETRYING
from bellhop.deliveries import Delivery, Retry, decode, encode
from bellhop.registry import DISABLED, App
from infra.local.receiver import failing_first, ok
from infra.local.registering import Hook
from tests.integration.invoke_function import batch, delivery, invoke, sent_to, without
from tests.support.tenant import Town

pytestmark = pytest.mark.stack


def deliver(town: Town, *messages: Delivery | str, received: int = 1) -> list[str]:
    bodies = [encode(message) if isinstance(message, Delivery) else message for message in messages]
    return invoke(town.stack, "DeliverFunction", batch(*bodies, received=received))


def log(sent: Delivery) -> tuple[str, int, list[str]] | None:
    """What the delivery log says: the state, the attempts that ended, the result of each."""
    record = attempts.load(sent.delivery_id)
    return record and (record.state, int(record.attempts_made), [entry["result"] for entry in record.attempts])


def reminders(town: Town, hook: Hook) -> list[tuple[str, Delivery | Retry]]:
    """What waits on Retries, and in which message group."""
    return [(m["MessageGroupId"], decode(m["Body"])) for m in sent_to("Retries", town, hook)]


def test_a_webhook_arrives_and_verifies_beside_a_message_that_cannot_be_read(town: Town) -> None:
    hook, endpoint = town.app(ok)
    sent = delivery(town, hook, "created")
    assert deliver(town, sent, encode(sent)[:-9]) == ["m1"]
    [received] = endpoint.received
    assert received.verified
    assert (received.webhook_id, received.body) == (sent.delivery_id, sent.body)
    assert log(sent) is None


def test_a_delivery_whose_endpoint_fails_is_recorded_and_its_retry_waits(town: Town) -> None:
    hook, endpoint = town.app(failing_first(1))
    sent = delivery(town, hook, "flaky")
    assert deliver(town, sent) == []
    assert len(endpoint.received) == 1
    assert log(sent) == (RETRYING, 1, ["http_500"])
    assert reminders(town, hook) == [(hook.app_id, Retry(sent.delivery_id, hook.app_id, 2))]


def test_a_delivery_for_an_app_that_is_off_is_parked(town: Town) -> None:
    hook, endpoint = town.app(ok)
    App(hook.app_id).update(actions=[App.state.set(DISABLED)])
    sent = delivery(town, hook, "late")
    assert deliver(town, sent) == []
    assert endpoint.received == []
    assert log(sent) == (PARKED, 0, [])
    assert [record.delivery_id for record in attempts.replayable(hook.app_id, None, 9)] == [sent.delivery_id]
    assert reminders(town, hook) == []


@pytest.mark.parametrize(
    ("right", "posts"), [("dynamodb:GetItem", 1), ("dynamodb:PutItem", 2), ("sqs:SendMessage", 1)]
)
def test_what_deliver_may_not_do_for_now_it_keeps_and_does_later(town: Town, right: str, posts: int) -> None:
    hook, endpoint = town.app(failing_first(9))
    sent = delivery(town, hook, "kept")
    with without(town.stack, "DeliverRole", right):
        assert deliver(town, sent) == ["m0"]
    assert reminders(town, hook) == []
    assert deliver(town, sent, received=2) == []
    assert len(endpoint.received) == posts
    assert log(sent) == (RETRYING, 1, ["http_500"])
    assert reminders(town, hook) == [(hook.app_id, Retry(sent.delivery_id, hook.app_id, 2))]
