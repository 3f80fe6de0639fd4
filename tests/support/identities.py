"""Somebody with one of the policies of infra/policies, on the embedded AWS."""

import json
import re
import uuid
from typing import Any, Protocol

from infra.local.build import ROOT

POLICIES = ROOT / "infra" / "policies"
GROUP = "schedule/bellhop-Schedules-*/"  # which the embedded AWS ignores
LOGS = re.compile(r"log-group:([\w-]+)-\*")  # which it names otherwise


class Clients(Protocol):
    """Somebody who makes clients with all rights."""

    def client(self, service: str) -> Any: ...


def policy(name: str, stack: str = "bellhop") -> dict[str, Any]:
    """A policy of the repository, for a stack of that name."""
    return dict(json.loads((POLICIES / f"{name}.json").read_text().replace("bellhop", stack)))


def listed(one_or_more: Any) -> list[str]:
    """A policy's value, which may stand alone, as a list."""
    return [one_or_more] if isinstance(one_or_more, str) else list(one_or_more)


def credentials(aws: Clients, document: dict[str, Any]) -> dict[str, str]:
    """The environment variables of a new user with that policy."""
    iam, name = aws.client("iam"), f"user-{uuid.uuid4().hex[:8]}"
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=json.dumps(_as_embedded(document)))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}


# Where the embedded AWS checks another action; see infra/local/ministack_fixes.py.
ALSO = {
    "sqs:SendMessage": "sqs:SendMessageBatch",
    "sqs:DeleteMessage": "sqs:DeleteMessageBatch",
    "sqs:ChangeMessageVisibility": "sqs:ChangeMessageVisibilityBatch",
    "lambda:GetEventSourceMapping": "lambda:ListEventSourceMappings",
}
UNNAMED = {"events:ListTargetsByRule"}


def _as_embedded(document: dict[str, Any]) -> dict[str, Any]:
    statements = []
    for statement in document["Statement"]:
        allowed = listed(statement["Action"])
        allowed += [ALSO[action] for action in allowed if action in ALSO]
        resources = [_resource(resource) for resource in listed(statement["Resource"])]
        statements.append(statement | {"Action": allowed, "Resource": resources})
        # Of these it does not find the resource in the request.
        statements += [statement | {"Action": each, "Resource": "*"} for each in allowed if each in UNNAMED]
    return document | {"Statement": statements}


def _resource(arn: str) -> str:
    named = arn.replace(GROUP, "schedule/default/").replace(":rule/", ":rule/default/")
    return LOGS.sub(r"log-group:/aws/cloudformation/\1/*", named)
