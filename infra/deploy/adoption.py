"""A new stack takes over what an earlier one left behind, or what was restored: CloudFormation's resource import.

The import has only what is taken over. `make deploy` then adds the rest around it.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError, WaiterError

from infra.deploy.account import Account
from infra.deploy.errors import RefusedError

# What is taken over, with the property by which CloudFormation identifies it, which is also the physical id. The
# schedules that are left need no stack: with their role, they send to the retry queue until there are none.
IDENTIFIERS = {
    "AWS::DynamoDB::Table": "TableName",
    "AWS::SQS::Queue": "QueueUrl",
}
NOT_RESTORED = {"PointInTimeRecoverySpecification", "DeletionProtectionEnabled"}
CHANGE_SET = "adopt"
EVERY_SECOND = {"Delay": 2, "MaxAttempts": 150}


@dataclass(frozen=True)
class Import:
    """What CloudFormation is told: the template of the first stage, and which resource is which."""

    template: dict[str, Any]
    resources: dict[str, str]  # physical ids by logical ones

    def to_import(self) -> list[dict[str, Any]]:
        """The resources as CreateChangeSet takes them."""
        declared = self.template["Resources"]
        return [
            {
                "ResourceType": declared[name]["Type"],
                "LogicalResourceId": name,
                "ResourceIdentifier": {IDENTIFIERS[declared[name]["Type"]]: physical},
            }
            for name, physical in self.resources.items()
        ]


def importing(source: Mapping[str, Any], found: Mapping[str, str]) -> Import:
    """The import of the resources that were found, from the whole template.

    Raises:
        RefusedError: one cannot be taken over, or needs one that is not.
    """
    declared = source["Resources"]
    for name in found:
        if declared.get(name, {}).get("Type") not in IDENTIFIERS:
            can = ", ".join(n for n, resource in declared.items() if resource["Type"] in IDENTIFIERS)
            raise RefusedError(f"{name} cannot be adopted. These can: {can}")
    resources = {name: _as_found(declared[name]) for name in declared if name in found}
    references = set(_references(resources))
    if missing := sorted((references & set(declared)) - set(found)):
        raise RefusedError(
            f"What is adopted refers to {', '.join(missing)}, which would be made anew: adopt them as well, or "
            "only the tables."
        )
    conditions = {name: c for name, c in source["Conditions"].items() if name in set(_conditions(resources))}
    references |= set(_references(conditions))
    used = {name: p for name, p in source["Parameters"].items() if name in references}
    template = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Parameters": used,
        "Conditions": conditions,
        "Resources": resources,
    }
    return Import(template, {name: found[name] for name in resources})


def _as_found(resource: Mapping[str, Any]) -> dict[str, Any]:
    # A restored table has neither recovery nor protection. CloudFormation does not look: it would believe what the
    # import says, and change nothing at the deployment. Left out here, they are added there.
    properties = {name: value for name, value in resource["Properties"].items() if name not in NOT_RESTORED}
    return {**resource, "Properties": properties}


def _references(part: Any) -> Iterator[str]:
    match part:
        case {"Ref": str(name)}:
            yield name
        case {"Fn::GetAtt": target}:
            yield target.partition(".")[0] if isinstance(target, str) else target[0]
        case dict():
            for value in part.values():
                yield from _references(value)
        case list():
            for value in part:
                yield from _references(value)


def _conditions(part: Any) -> Iterator[str]:
    """The names of the conditions that decide about a part; none of ours names another."""
    match part:
        case {"Fn::If": [str(name), *branches]}:
            yield name
            yield from _conditions(branches)
        case dict():
            for value in part.values():
                yield from _conditions(value)
        case list():
            for value in part:
                yield from _conditions(value)


def left_behind(account: Account, stack_id: str) -> dict[str, str]:
    """What a deleted stack left behind: physical ids by logical ones. CloudFormation remembers it for 90 days.

    Raises:
        RefusedError: there was no such stack, or it left nothing.
    """
    cloudformation = account.client("cloudformation")
    found: dict[str, str] = {}
    try:
        for page in cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack_id):
            for event in page["StackEvents"]:  # newest first: of a table that was replaced, the last one counts
                if event["ResourceStatus"] == "DELETE_SKIPPED" and event["ResourceType"] in IDENTIFIERS:
                    found.setdefault(event["LogicalResourceId"], event["PhysicalResourceId"])
    except ClientError as error:
        raise RefusedError(f"{stack_id} cannot be looked at: {error}") from None
    if not found:
        raise RefusedError(f"{stack_id} left nothing behind. FROM= takes the ARN of a deleted stack.")
    return found


def parse_replacements(text: str) -> dict[str, str]:
    """The tables of `USE="Apps=restored-apps Secrets=restored-secrets"`."""
    pairs = [pair.partition("=") for pair in text.split()]
    if wrong := [name for name, _, physical in pairs if not physical]:
        raise RefusedError(f'USE has {", ".join(wrong)} without a name. Write USE="Apps=restored-apps".')
    return {name: physical for name, _, physical in pairs}


def run(account: Account, stack: str, what: Import, values: Mapping[str, str]) -> None:
    """Make the stack by importing.

    Raises:
        RefusedError: CloudFormation refuses it; the resources stay as they are.
    """
    cloudformation = account.client("cloudformation")
    change_set = {"StackName": stack, "ChangeSetName": CHANGE_SET}
    try:
        cloudformation.create_change_set(
            **change_set,
            ChangeSetType="IMPORT",
            TemplateBody=json.dumps(what.template),
            Parameters=[
                {"ParameterKey": name, "ParameterValue": values[name]} for name in what.template["Parameters"]
            ],
            ResourcesToImport=what.to_import(),
        )
        cloudformation.get_waiter("change_set_create_complete").wait(**change_set, WaiterConfig=EVERY_SECOND)
        cloudformation.execute_change_set(**change_set)
        cloudformation.get_waiter("stack_import_complete").wait(StackName=stack, WaiterConfig=EVERY_SECOND)
    except (ClientError, WaiterError) as error:
        reason = _reason(error, cloudformation, stack)
        raise RefusedError(f"CloudFormation refuses the import: {reason}") from None


def forget_refused(account: Account, stack: str) -> None:
    """Remove what a refused import leaves: a change set, of a stack that has nothing."""
    account.client("cloudformation").delete_change_set(StackName=stack, ChangeSetName=CHANGE_SET)


def _reason(error: Exception, cloudformation: Any, stack: str) -> str:
    try:
        found = cloudformation.describe_change_set(StackName=stack, ChangeSetName=CHANGE_SET)
    except ClientError:  # there is not even a change set: the first error says why
        return str(error)
    return str(found.get("StatusReason") or error)
