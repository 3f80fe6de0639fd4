"""Invoking one deployed function as its sources do, reading what it sent, taking rights from its role."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from bellhop.deliveries import Delivery
from bellhop.events import parse
from bellhop.outcomes import OutcomeDay
from bellhop.registry import Registry
from infra.local.paused_triggers import messages_in
from infra.local.registering import Hook
from infra.local.sam_local_fixture import EVENTS
from infra.local.stack import Stack
from notify.fanout import FanOut
from tests.support.tenant import Tenant


def invoke(stack: Stack, function: str, event: dict[str, Any]) -> list[str]:
    """Invoke the function and return the batch items that it reports as failed."""
    response = stack.client("lambda").invoke(FunctionName=stack.resource(function), Payload=json.dumps(event))
    result = json.load(response["Payload"])
    assert "FunctionError" not in response, result
    assert set(result) == {"batchItemFailures"}
    return [failure["itemIdentifier"] for failure in result["batchItemFailures"]]


def batch(*bodies: str, receive_count: int = 1) -> dict[str, Any]:
    """A batch of queue messages, m0, m1 and so on, that are received for the `receive_count`th time."""
    [message] = _records("notify/issue-created")
    message["attributes"]["ApproximateReceiveCount"] = str(receive_count)
    return {"Records": [message | {"messageId": f"m{n}", "body": body} for n, body in enumerate(bodies)]}


def stream(*rows: OutcomeDay) -> dict[str, Any]:
    """A batch of the Outcomes stream: the new images of these rows."""
    [message] = _records("health/outcomes-stream")
    images = [{"NewImage": row.to_dynamodb_dict(), "SequenceNumber": sequence(n)} for n, row in enumerate(rows)]
    return {"Records": [message | {"dynamodb": message["dynamodb"] | image} for image in images]}


def sequence(position: int) -> str:
    """The sequence number of the message at this position of a `stream` batch."""
    return str(4421584500000000017450439091 + position)


def delivery(tenant: Tenant, hook: Hook, event_id: str) -> Delivery:
    """The delivery that notify makes of an event for this app, enqueued just now."""
    event = parse(json.dumps(tenant.event(event_id)))
    sent_at = int(_records("notify/issue-created")[0]["attributes"]["SentTimestamp"]) / 1000  # as in batch()
    fanned_out = FanOut(event, Registry(0, time.monotonic), sent_at).steps()
    [for_app] = [delivery for delivery in fanned_out if delivery and delivery.app_id == hook.app_id]
    return replace(for_app, enqueued_at=time.time())


def sent_to(queue: str, tenant: Tenant, hook: Hook) -> list[dict[str, Any]]:
    """The messages about an app that are on a queue."""
    return [message for message in messages_in(tenant.stack, queue) if hook.app_id in message["Body"]]


@contextmanager
def role_without(stack: Stack, role: str, *actions: str) -> Iterator[None]:
    """Remove the statements about any of these actions from a role's policy for the length of the block."""
    iam, name = stack.client("iam"), stack.resource(role)
    [policy] = iam.list_role_policies(RoleName=name)["PolicyNames"]
    original = iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
    remaining = [s for s in original["Statement"] if not set(actions) & set(_actions(s))]
    assert remaining != original["Statement"]

    def put(statements: list[dict[str, Any]]) -> None:
        document = json.dumps(original | {"Statement": statements})
        iam.put_role_policy(RoleName=name, PolicyName=policy, PolicyDocument=document)

    put(remaining)
    try:
        yield
    finally:
        put(original["Statement"])


def _records(event: str) -> list[dict[str, Any]]:
    return list(json.loads((EVENTS / f"{event}.json").read_text())["Records"])


def _actions(statement: dict[str, Any]) -> list[str]:
    action = statement["Action"]
    return [action] if isinstance(action, str) else action
