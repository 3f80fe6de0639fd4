"""Who may do what: the policies of roles and of queues, and the key, as each stack gets them."""

import json
from datetime import date
from typing import Any

import pytest

from bellhop import bus, handled_events, tables
from bellhop.registry import App
from health import transitions
from health.rules import EarlyWarning
from health.transitions import TransitionDependencies
from tests.support.fakes import NOW, Recorder, app, organization
from tests.support.identities import listed
from tests.unit.template.decided import LOCAL, decided
from tests.unit.template.test_template import attribute, resources, translated

KEY = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd"
TRACKER = "arn:aws:iam::210987654321:role/tracker"
OPERATORS = ["arn:aws:iam::123456789012:role/on-call", "arn:aws:iam::123456789012:role/sso/*"]
ROLES = ["NotifyRole", "DeliverRole", "HealthRole", "ScheduleRole"]
Statement = dict[str, Any]


def of_role(role: str, **given: str) -> list[Statement]:
    """The statements of a role."""
    policies = decided("AWS::IAM::Role", **given)[role]["Policies"]
    return [statement for policy in policies for statement in policy["PolicyDocument"]["Statement"]]


def statements(**given: str) -> list[Statement]:
    return [statement for role in decided("AWS::IAM::Role") for statement in of_role(role, **given)]


def granting(action: str, role: str, resource: str | None = None) -> list[Statement]:
    """A role's statements with an action, on a table or a queue."""
    found = [s for s in of_role(role) if action in listed(s["Action"])]
    return [s for s in found if resource is None or f'"{resource}", "Arn"' in json.dumps(s["Resource"])]


def of_queue(queue: str, **given: str) -> list[Statement]:
    """The statements of a queue's policy."""
    policies = decided("AWS::SQS::QueuePolicy", **given).values()
    found = [p for p in policies if queue in map(attribute, p["Queues"])]
    assert len(found) <= 1, "the second would replace the first"
    return [statement for policy in found for statement in policy["PolicyDocument"]["Statement"]]


# ---- Roles


def test_no_role_has_a_wildcard_action_or_resource() -> None:
    for role in resources("AWS::IAM::Role").values():
        assert "ManagedPolicyArns" not in role
    for statement in statements(KmsKeyArn=KEY):
        assert not [action for action in listed(statement["Action"]) if "*" in action]
        assert statement["Resource"] != "*" or statement["Action"] == "dynamodb:ListStreams"


def test_rights_are_given_only_by_the_policies_of_roles_and_of_queues() -> None:
    kinds = {resource["Type"] for resource in translated()["Resources"].values()}
    assert {kind for kind in kinds if kind.startswith("AWS::IAM::")} == {"AWS::IAM::Role"}
    assert {kind for kind in kinds if kind.endswith(("Policy", "Permission"))} == {"AWS::SQS::QueuePolicy"}


def test_the_only_stars_in_resources_are_a_schedules_name_and_that_of_an_action_that_takes_no_other() -> None:
    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazondynamodb.html: a stream's ARN
    # grants dynamodb:ListStreams nothing. Each schedule has a name of its own.
    starred = {json.dumps(s["Action"]): s["Resource"] for s in statements() if "*" in json.dumps(s["Resource"])}
    assert starred.pop('"dynamodb:ListStreams"') == "*"
    [schedules] = starred.values()
    assert schedules["Fn::Sub"].endswith(":schedule/${Schedules}/*")


def test_only_the_scheduler_may_assume_the_schedules_role_and_only_deliver_may_pass_it() -> None:
    [trust] = resources("AWS::IAM::Role")["ScheduleRole"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "scheduler.amazonaws.com"}
    passing = [s for s in statements() if s["Action"] == "iam:PassRole"]
    assert [attribute(s["Resource"]) for s in passing] == ["ScheduleRole"]
    assert passing[0]["Condition"] == {"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}}


def who_may(table: str) -> set[str]:
    return {role for role in ROLES if f'"{table}", "Arn"' in json.dumps(of_role(role))}


def test_only_deliver_reads_secrets_and_notify_neither_outcomes_nor_deliveries() -> None:
    assert who_may("Secrets") == {"DeliverRole"}
    assert who_may("Outcomes") == who_may("Attempts") == {"DeliverRole", "HealthRole"}
    assert who_may("Audit") == {"HealthRole"}


def test_notify_reaches_no_delivery_that_succeeded_and_marks_of_events_only_where_duplicates_are_dropped() -> None:
    assert "Delivered" not in json.dumps(of_role("NotifyRole"))
    [marks] = [s for s in of_role("NotifyRole", DropDuplicatesHours="24") if "Delivered" in json.dumps(s)]
    assert marks["Action"] == ["dynamodb:BatchGetItem", "dynamodb:BatchWriteItem"]
    assert marks["Condition"] == {
        "ForAllValues:StringLike": {"dynamodb:LeadingKeys": [f"{handled_events.PREFIX}*"]}
    }


def test_health_reads_hooks_and_the_log_of_successes_with_its_bodies_it_does_not() -> None:
    [reads] = granting("dynamodb:GetItem", "HealthRole", "Installations")
    assert listed(reads["Action"]) == ["dynamodb:GetItem"]
    assert "HealthRole" not in who_may("Delivered") | who_may("Successes")


def test_an_event_can_go_on_by_a_message_on_its_own_queue() -> None:
    assert granting("sqs:SendMessage", "NotifyRole", "IssueEvents")


def test_mail_goes_out_by_the_sender_that_health_is_told_and_by_no_other() -> None:
    [mail] = [s for s in statements(MailFrom="bellhop@tracker.example") if "ses:SendEmail" in listed(s["Action"])]
    assert mail["Condition"] == {"StringEquals": {"ses:FromAddress": "bellhop@tracker.example"}}
    health = resources("AWS::Lambda::Function")["HealthFunction"]
    assert health["Environment"]["Variables"]["MAIL_FROM"] == {"Ref": "MailFrom"}


@pytest.mark.parametrize("role", ["DeliverRole", "HealthRole"])
def test_events_are_put_on_the_bus_under_our_source_alone(role: str) -> None:
    [put] = granting("events:PutEvents", role)
    assert put["Condition"] == {"ForAllValues:StringEquals": {"events:source": [bus.SOURCE]}}


@pytest.fixture
def named_by_transitions(aws: None, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The attributes of an app that health's transactions name, in their keys, conditions and updates."""
    named, connection, dispatch = set[str](), tables.connect(), tables._Connection.dispatch

    def look(self: Any, operation: str, request: dict[str, Any]) -> Any:
        for part in (part for item in request.get("TransactItems", []) for part in item.values()):
            if part["TableName"] == App.Meta.table_name:
                assert "Put" not in part
                named.update(part["Key"], part["ExpressionAttributeNames"].values())
        return dispatch(self, operation, request)

    monkeypatch.setattr(tables._Connection, "dispatch", look)
    deps = TransitionDependencies(connection, lambda _: None, Recorder(), lambda: NOW)
    app().save()
    organization().save()
    warning = EarlyWarning("timeouts", 1, 500, 1000, date(2026, 11, 23))
    assert transitions.warn(App.get("pager"), "acme", warning, {}, deps)
    assert transitions.disable(App.get("pager"), "acme", "health", {}, deps)
    assert transitions.enable(App.get("pager"), "recovery_check", {}, deps, tell_owners=True)
    return named


def test_health_changes_of_an_app_what_its_transitions_name_within_a_transaction_and_nothing_else(
    named_by_transitions: set[str],
) -> None:
    for action in ("dynamodb:UpdateItem", "dynamodb:ConditionCheckItem"):
        [change] = granting(action, "HealthRole", "Apps")
        assert set(change["Condition"]["ForAllValues:StringEquals"]["dynamodb:Attributes"]) == named_by_transitions
        assert change["Condition"]["StringEqualsIfExists"] == {"dynamodb:ReturnValues": "NONE"}
    [update] = granting("dynamodb:UpdateItem", "HealthRole", "Apps")
    transacted = {"dynamodb:EnclosingOperation": ["TransactWriteItems"]}
    assert update["Condition"]["ForAnyValue:StringEquals"] == transacted
    for action in ("dynamodb:PutItem", "dynamodb:DeleteItem"):
        assert granting(action, "HealthRole", "Apps") == []


# ---- Queues


@pytest.mark.parametrize("queue", sorted(resources("AWS::SQS::Queue")))
def test_a_queue_refuses_what_comes_without_tls_but_not_on_a_local_stack(queue: str) -> None:
    def denials(endpoint: str) -> list[Statement]:
        return [s for s in of_queue(queue, AwsEndpointUrl=endpoint) if s["Effect"] == "Deny"]

    assert denials("") == [
        {
            "Effect": "Deny",
            "Principal": "*",
            "Action": "sqs:*",
            "Resource": "*",
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    ]
    assert denials(LOCAL) == []


def test_a_statement_of_a_queues_policy_has_one_resource() -> None:
    # SQS takes no more: https://github.com/remind101/stacker_blueprints/pull/71
    given = {"PublisherArns": TRACKER, "OperatorArns": ",".join(OPERATORS)}
    for queue in resources("AWS::SQS::Queue"):
        assert {json.dumps(statement["Resource"]) for statement in of_queue(queue, **given)} == {'"*"'}


def allowed(queue: str, **given: str) -> list[Statement]:
    return [s for s in of_queue(queue, **given) if s["Effect"] == "Allow"]


def test_only_publishers_that_are_named_and_the_stacks_own_rules_are_let_in_by_a_queue() -> None:
    letting_in = {queue for queue in resources("AWS::SQS::Queue") if allowed(queue)}
    assert letting_in == {"Transitions", "TransitionsDeadLetters"}
    for queue in letting_in:
        [rule] = allowed(queue, AwsEndpointUrl=LOCAL)
        assert rule["Principal"] == {"Service": "events.amazonaws.com"}
        senders = rule["Condition"]["ArnEquals"]["aws:SourceArn"]
        assert (
            set(map(attribute, senders)) == set(resources("AWS::Events::Rule")) == {"MailEventsRule", "SweepRule"}
        )
    two = f"{TRACKER},{TRACKER}2"
    [publishers] = allowed("IssueEvents", PublisherArns=two)
    assert publishers["Principal"] == {"AWS": [TRACKER, f"{TRACKER}2"]}
    assert publishers["Action"] == "sqs:SendMessage"
    assert {queue for queue in resources("AWS::SQS::Queue") if allowed(queue, PublisherArns=two)} == (
        letting_in | {"IssueEvents"}
    )


def refusing(queue: str, **given: str) -> list[Statement]:
    """What a queue's policy denies beside plain HTTP."""
    return [s for s in of_queue(queue, **given) if s["Effect"] == "Deny" and "Bool" not in s["Condition"]]


def test_where_operators_are_named_nobody_but_them_and_our_roles_sends_what_is_signed() -> None:
    given = {"OperatorArns": ",".join(OPERATORS)}
    for queue in ("Deliveries", "Retries"):
        assert refusing(queue) == []
        [others] = refusing(queue, **given)
        assert (others["Principal"], others["Action"]) == ("*", "sqs:SendMessage")
        assert others["Condition"]["ArnNotLike"] == {"aws:PrincipalArn": OPERATORS}
        ours = others["Condition"]["ArnNotEquals"]["aws:PrincipalArn"]
        assert set(map(attribute, ours)) == {role for role in ROLES if sends(role)}
    signed = {queue for queue in resources("AWS::SQS::Queue") if refusing(queue, **given)}
    mappings = resources("AWS::Lambda::EventSourceMapping").values()
    assert signed == {
        attribute(m["EventSourceArn"]) for m in mappings if attribute(m["FunctionName"]) == "DeliverFunction"
    }


def sends(role: str) -> bool:
    """Whether a role sends to a queue that deliver reads."""
    found = json.dumps([s["Resource"] for s in granting("sqs:SendMessage", role)])
    return any(f'"{queue}", "Arn"' in found for queue in ("Deliveries", "Retries"))


# ---- The key


def encryption(**given: str) -> list[dict[str, Any]]:
    """What tables, queues and logs say about their encryption."""
    names = {"SSESpecification", "SqsManagedSseEnabled", "KmsMasterKeyId", "KmsKeyId"}
    kinds = ("AWS::DynamoDB::Table", "AWS::SQS::Queue", "AWS::Logs::LogGroup")
    found = [properties for kind in kinds for properties in decided(kind, **given).values()]
    return [{name: value for name, value in each.items() if name in names} for each in found]


def test_without_a_key_of_its_own_a_stack_pays_for_no_encryption() -> None:
    by_services: list[dict[str, Any]] = [{}] * 10 + [{"SqsManagedSseEnabled": True}] * 9 + [{}] * 3
    assert encryption() == by_services
    assert not [s for s in statements() if "kms" in json.dumps(s)]


def test_with_a_key_every_table_queue_and_log_is_encrypted_by_it_and_every_role_may_use_it() -> None:
    table = {"SSESpecification": {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": KEY}}
    by_key = [table] * 10 + [{"KmsMasterKeyId": KEY}] * 9 + [{"KmsKeyId": KEY}] * 3
    assert encryption(KmsKeyArn=KEY) == by_key
    use = {"Effect": "Allow", "Action": ["kms:Decrypt", "kms:GenerateDataKey"], "Resource": KEY}
    for role in ROLES:
        assert [s for s in of_role(role, KmsKeyArn=KEY) if "kms" in json.dumps(s["Action"])] == [use]
