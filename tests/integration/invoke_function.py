"""Invoking one deployed function as its sources do, looking at what it sent, and taking rights from its role."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bellhop.deliveries import Delivery
from bellhop.events import parse
from bellhop.outcomes import OutcomeDay
from bellhop.registry import Registry
from infra.local.paused_triggers import waiting
from infra.local.registering import Hook
from infra.local.sam_local_fixture import EVENTS
from infra.local.stack import Stack
from notify.fanout import fan_out
from tests.support.tenant import Town


def invoke(stack: Stack, function: str, event: dict[str, Any]) -> list[str]:
    """What of the event's batch is to come back."""
    response = stack.client("lambda").invoke(FunctionName=stack.resource(function), Payload=json.dumps(event))
    said = json.load(response["Payload"])
    assert "FunctionError" not in response, said
    assert set(said) == {"batchItemFailures"}
    return [failure["itemIdentifier"] for failure in said["batchItemFailures"]]


def batch(*bodies: str, received: int = 1) -> dict[str, Any]:
    """A batch of a queue, its messages m0, m1 and so on; this is the `received`th time that they come."""
    [record] = _records("notify/issue-created")
    record["attributes"]["ApproximateReceiveCount"] = str(received)
    return {"Records": [record | {"messageId": f"m{n}", "body": body} for n, body in enumerate(bodies)]}


def stream(*rows: OutcomeDay) -> dict[str, Any]:
    """A batch of the Outcomes stream: these rows, as they became."""
    [record] = _records("health/outcomes-stream")
    images = [{"NewImage": row.to_dynamodb_dict(), "SequenceNumber": sequence(n)} for n, row in enumerate(rows)]
    return {"Records": [record | {"dynamodb": record["dynamodb"] | image} for image in images]}


def sequence(position: int) -> str:
    """The sequence number of a record of `stream`."""
    return str(4421584500000000017450439091 + position)


def delivery(town: Town, hook: Hook, event_id: str) -> Delivery:
    """The delivery that notify makes of an event for this app."""
    out = fan_out(parse(json.dumps(town.event(event_id))), Registry(0, time.monotonic))
    [made] = [delivery for delivery in out.deliveries if delivery.app_id == hook.app_id]
    return made


def sent_to(queue: str, town: Town, hook: Hook) -> list[dict[str, Any]]:
    """The messages about an app that a queue holds."""
    return [message for message in waiting(town.stack, queue) if hook.app_id in message["Body"]]


@contextmanager
def without(stack: Stack, role: str, action: str) -> Iterator[None]:
    """A role that lost what its policy says of an action."""
    iam, name = stack.client("iam"), stack.resource(role)
    [policy] = iam.list_role_policies(RoleName=name)["PolicyNames"]
    whole = iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
    left = [statement for statement in whole["Statement"] if action not in _actions(statement)]
    assert left != whole["Statement"]

    def put(statements: list[dict[str, Any]]) -> None:
        document = json.dumps(whole | {"Statement": statements})
        iam.put_role_policy(RoleName=name, PolicyName=policy, PolicyDocument=document)

    put(left)
    try:
        yield
    finally:
        put(whole["Statement"])


def _records(event: str) -> list[dict[str, Any]]:
    return list(json.loads((EVENTS / f"{event}.json").read_text())["Records"])


def _actions(statement: dict[str, Any]) -> list[str]:
    action = statement["Action"]
    return [action] if isinstance(action, str) else action
