"""What survived a stack, or was restored, becomes part of a new one."""

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import WaiterError

from infra.deploy import adoption
from infra.deploy.errors import RefusedError
from infra.deploy.templates import parsed
from tests.unit.deployment.fake_account import FakeService, account, refusal

ROOT = Path(__file__).parents[3]
SOURCE: dict[str, Any] = parsed(ROOT / "template.yaml")
TABLES = {n for n, r in SOURCE["Resources"].items() if r["Type"] == "AWS::DynamoDB::Table"}
QUEUES = {n for n, r in SOURCE["Resources"].items() if r["Type"] == "AWS::SQS::Queue"}
ALL = {name: f"old-{name}" for name in TABLES | QUEUES}


def event(name: str, kind: str, status: str = "DELETE_SKIPPED", physical: str = "") -> dict[str, str]:
    return {
        "LogicalResourceId": name,
        "PhysicalResourceId": physical or f"old-{name}",
        "ResourceType": kind,
        "ResourceStatus": status,
    }


def test_all_that_a_stack_left_can_be_imported_together() -> None:
    what = adoption.importing(SOURCE, ALL)
    assert set(what.template["Resources"]) == TABLES | QUEUES
    assert set(what.template["Parameters"]) == {
        "NotifyVisibilitySeconds",
        "DeliverVisibilitySeconds",
        "HealthVisibilitySeconds",
        "KmsKeyArn",
    }
    assert set(what.template["Conditions"]) == {"HasKey"}
    assert "Transform" not in what.template
    assert {entry["LogicalResourceId"] for entry in what.to_import()} == TABLES | QUEUES


def test_a_table_is_imported_by_its_name_and_a_queue_by_its_url() -> None:
    what = adoption.importing(SOURCE, {"Apps": "restored", "SchedulesDeadLetters": "https://sqs/1/dead"})
    found = {entry["LogicalResourceId"]: entry["ResourceIdentifier"] for entry in what.to_import()}
    assert found == {"Apps": {"TableName": "restored"}, "SchedulesDeadLetters": {"QueueUrl": "https://sqs/1/dead"}}


@pytest.mark.parametrize("lost", ["PointInTimeRecoverySpecification", "DeletionProtectionEnabled"])
def test_a_restored_table_gets_its_recovery_and_its_protection_back_at_the_deployment(lost: str) -> None:
    [table] = adoption.importing(SOURCE, {"Apps": "restored"}).template["Resources"].values()
    assert lost in SOURCE["Resources"]["Apps"]["Properties"]
    assert lost not in table["Properties"]
    assert table["DeletionPolicy"] == "RetainExceptOnCreate"  # an import asks for one


def test_a_queue_is_not_imported_without_its_dead_letter_queue() -> None:
    with pytest.raises(RefusedError, match="refers to RetriesDeadLetters"):
        adoption.importing(SOURCE, {"Retries": "https://sqs/1/retries"})


@pytest.mark.parametrize("name", ["Nothing", "NotifyFunction", "Schedules"])
def test_what_cannot_be_adopted_is_refused_with_what_can(name: str) -> None:
    with pytest.raises(RefusedError, match=f"{name} cannot be adopted. These can: IssueEvents, "):
        adoption.importing(SOURCE, {name: "old"})


def test_what_a_deleted_stack_left_is_found_and_of_a_replaced_table_the_last_one() -> None:
    events = [
        event("Apps", "AWS::DynamoDB::Table"),
        event("Retries", "AWS::SQS::Queue", physical="https://sqs/1/retries"),
        event("ScheduleRole", "AWS::IAM::Role"),
        event("NotifyFunction", "AWS::Lambda::Function", "DELETE_COMPLETE"),
        event("Apps", "AWS::DynamoDB::Table", physical="replaced-long-ago"),
    ]
    service = FakeService(describe_stack_events={"StackEvents": events})
    found = adoption.left_behind(account(cloudformation=service), "arn")
    assert found == {"Apps": "old-Apps", "Retries": "https://sqs/1/retries"}


@pytest.mark.parametrize(
    ("response", "reason"),
    [({"StackEvents": []}, "left nothing behind"), (refusal("ValidationError"), "cannot be looked at")],
)
def test_a_stack_that_left_nothing_is_refused(response: Any, reason: str) -> None:
    with pytest.raises(RefusedError, match=reason):
        adoption.left_behind(account(cloudformation=FakeService(describe_stack_events=response)), "arn")


def test_other_tables_are_named_in_pairs() -> None:
    assert adoption.parse_replacements("Apps=a  Secrets=s") == {"Apps": "a", "Secrets": "s"}
    assert adoption.parse_replacements("") == {}
    with pytest.raises(RefusedError, match="USE has Apps without a name"):
        adoption.parse_replacements("Apps")


def test_the_import_is_one_change_set_with_the_parameters_that_it_needs() -> None:
    service = FakeService(create_change_set={}, execute_change_set={})
    what = adoption.importing(SOURCE, ALL)
    values = dict.fromkeys(SOURCE["Parameters"], "1")
    adoption.run(account(cloudformation=service), "bellhop", what, values)
    (created, arguments), (executed, _) = service.calls
    assert (created, executed) == ("create_change_set", "execute_change_set")
    assert arguments["ChangeSetType"] == "IMPORT"
    assert len(arguments["Parameters"]) == 4
    assert json.loads(arguments["TemplateBody"]) == what.template
    assert len(arguments["TemplateBody"]) < 51_200  # what CloudFormation takes without a bucket


def test_a_refused_import_says_why() -> None:
    failed = WaiterError("change_set_create_complete", "failed", {})
    service = FakeService(
        create_change_set={}, wait=failed, describe_change_set={"StatusReason": "Apps belongs to another stack"}
    )
    what = adoption.importing(SOURCE, {"Apps": "restored"})
    with pytest.raises(RefusedError, match="Apps belongs to another stack"):
        adoption.run(account(cloudformation=service), "bellhop", what, {"KmsKeyArn": ""})


def test_an_import_that_is_refused_at_once_says_why() -> None:
    error = refusal("ValidationError", "no such table")
    service = FakeService(create_change_set=error, describe_change_set=refusal("ChangeSetNotFound"))
    what = adoption.importing(SOURCE, {"Apps": "restored"})
    with pytest.raises(RefusedError, match="no such table"):
        adoption.run(account(cloudformation=service), "bellhop", what, {"KmsKeyArn": ""})
