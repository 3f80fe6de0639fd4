"""Where the embedded AWS differs from AWS, and what makes the same template work the same way on it."""

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from infra.local.stack import Stack

CONCURRENCY = 2  # function processes for one queue: this is one machine


def apply_fixes(stack: "Stack") -> None:
    """Adjust a stack that has just been deployed."""
    _limit_concurrency(stack.client("lambda"))
    _translate_policies(stack.client("iam"), _roles(stack))


def _limit_concurrency(functions: Any) -> None:
    # MiniStack stores a number that came through a parameter as text, and then fails to compare it when it polls.
    for mapping in functions.list_event_source_mappings()["EventSourceMappings"]:
        if limit := mapping.get("ScalingConfig", {}).get("MaximumConcurrency"):
            scaling = {"MaximumConcurrency": min(int(limit), CONCURRENCY)}
            functions.update_event_source_mapping(UUID=mapping["UUID"], ScalingConfig=scaling)


def _roles(stack: "Stack") -> list[str]:
    resources = stack.client("cloudformation").describe_stack_resources(StackName=stack.name)["StackResources"]
    return [r["PhysicalResourceId"] for r in resources if r["ResourceType"] == "AWS::IAM::Role"]


def _translate_policies(iam: Any, roles: list[str]) -> None:
    for role in roles:
        for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
            document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
            document["Statement"] = [_translate(statement) for statement in document["Statement"]]
            iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document))


def _translate(statement: dict[str, Any]) -> dict[str, Any]:
    actions = [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
    if "sqs:SendMessage" in actions:  # on AWS it covers SendMessageBatch, which has no action of its own
        return statement | {"Action": [*actions, "sqs:SendMessageBatch"]}
    if actions == ["scheduler:CreateSchedule"]:  # MiniStack ignores the group, which is in the request's body
        return statement | {"Resource": _in_default_group(statement["Resource"])}
    if actions == ["ses:SendEmail"]:  # MiniStack checks it against no identity and no sender: only "*" matches
        return {name: value for name, value in statement.items() if name != "Condition"} | {"Resource": "*"}
    return statement


def _in_default_group(schedules: str) -> str:
    return schedules.rpartition(":")[0] + ":schedule/default/*"
