"""The policies of infra/policies fit the template."""

import json
import re
from typing import Any

import pytest

from infra.deploy.templates import parsed
from tests.support.identities import POLICIES, listed, policy
from tests.support.monitoring import TEMPLATES
from tests.unit.template.test_template import translated

NAMES = sorted(path.stem for path in POLICIES.glob("*.json"))
LONGEST = 6144  # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
SERVICES = {
    "AWS::CloudFormation::Stack": "cloudformation",
    "AWS::DynamoDB::Table": "dynamodb",
    "AWS::Events::Rule": "events",
    "AWS::IAM::Role": "iam",
    "AWS::Lambda::EventSourceMapping": "lambda",
    "AWS::Lambda::Function": "lambda",
    "AWS::Logs::LogGroup": "logs",
    "AWS::SES::ConfigurationSet": "ses",
    "AWS::SES::ConfigurationSetEventDestination": "ses",
    "AWS::SQS::Queue": "sqs",
    "AWS::SQS::QueuePolicy": "sqs",
    "AWS::Scheduler::ScheduleGroup": "scheduler",
}
NESTED = {
    "AWS::CloudWatch::Alarm": {"cloudwatch:*Alarm*"},
    "AWS::CloudWatch::CompositeAlarm": {"cloudwatch:*Alarm*"},
    "AWS::CloudWatch::Dashboard": {"cloudwatch:*Dashboard*"},
    "AWS::Logs::QueryDefinition": {"logs:*QueryDefinition*"},
}


def resources(document: dict[str, Any]) -> list[str]:
    return [arn for statement in document["Statement"] for arn in listed(statement["Resource"])]


@pytest.mark.parametrize("name", NAMES)
def test_a_policy_is_short_enough_for_iam_and_its_statements_have_names(name: str) -> None:
    document = policy(name)
    assert len(json.dumps(document, separators=(",", ":"))) <= LONGEST
    assert all(re.fullmatch(r"[A-Za-z]+", statement["Sid"]) for statement in document["Statement"])


@pytest.mark.parametrize("name", NAMES)
def test_a_policy_names_only_resources_that_the_template_has(name: str) -> None:
    known = set(translated()["Resources"])
    named = [found[1] for arn in resources(policy(name)) if (found := re.search(r"bellhop-([A-Z]\w+)-\*", arn))]
    assert set(named) <= known
    assert named


def test_who_relays_reads_no_secret_and_writes_nothing() -> None:
    document = policy("developer")
    assert not [arn for arn in resources(document) if "Secrets" in arn or arn.endswith("table/bellhop-*")]
    actions = {action for statement in document["Statement"] for action in listed(statement["Action"])}
    assert actions == {
        "cloudformation:DescribeStacks",
        *(f"dynamodb:{name}" for name in ("BatchGetItem", "GetItem", "Query", "Scan")),
    }


def test_who_deploys_may_make_every_type_of_resource_that_the_template_has() -> None:
    types = {resource["Type"] for resource in translated()["Resources"].values()}
    assert types == set(SERVICES)
    services = {
        action.partition(":")[0] for s in policy("deployer")["Statement"] for action in listed(s["Action"])
    }
    assert set(SERVICES.values()) <= services


def test_who_deploys_may_make_the_stacks_within_the_stack_and_what_is_in_them() -> None:
    kinds = {name: resource["Type"] for name, resource in translated()["Resources"].items()}
    nested = {name for name, kind in kinds.items() if kind == "AWS::CloudFormation::Stack"}
    arns = resources(policy("deployer"))
    assert {f"arn:aws:cloudformation:*:*:stack/bellhop-{name}-*/*" for name in nested} <= set(arns)
    assert {f"arn:aws:cloudwatch:*:*:alarm:bellhop-{name}-*" for name in nested if name.endswith("Alarms")} <= set(
        arns
    )
    actions = {action for s in policy("deployer")["Statement"] for action in listed(s["Action"])}
    inside = {r["Type"] for path in TEMPLATES for r in parsed(path)["Resources"].values()}
    assert inside == set(NESTED)
    assert {action for needed in NESTED.values() for action in needed} <= actions


def test_who_operates_may_look_at_every_stack_with_alarms_and_ring_one_of_them() -> None:
    stacks = [name for name in translated()["Resources"] if name.endswith("Alarms")]
    arns = resources(policy("operator"))
    assert {f"arn:aws:cloudformation:*:*:stack/bellhop-{name}-*/*" for name in stacks} <= set(arns)
    assert {f"arn:aws:cloudwatch:*:*:alarm:bellhop-{name}-*" for name in stacks} <= set(arns)


def test_who_deploys_may_pass_only_the_functions_roles_and_only_to_lambda() -> None:
    [passing] = [s for s in policy("deployer")["Statement"] if s["Action"] == "iam:PassRole"]
    assert passing["Condition"] == {"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}}
    assert [arn.rpartition("/")[2] for arn in passing["Resource"]] == [
        f"bellhop-{name}Role-*" for name in ("Notify", "Deliver", "Health")
    ]


@pytest.mark.parametrize("name", ["developer", "operator", "publisher"])
def test_who_relays_operates_or_publishes_has_no_wildcard_action_and_writes_only_what_is_ours(name: str) -> None:
    for statement in policy(name)["Statement"]:
        assert not [action for action in listed(statement["Action"]) if "*" in action]
        if statement["Resource"] == "*":
            reads = [action.partition(":")[2] for action in listed(statement["Action"])]
            assert all(action.startswith(("Get", "List", "Describe")) for action in reads)
