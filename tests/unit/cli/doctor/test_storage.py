from typing import Any

import pytest

from infra.cli.doctor import storage
from infra.cli.doctor.findings import OK, PROBLEM, UNSEEN
from infra.cli.doctor.looking import Check, Deployed
from tests.unit.cli.doctor.fake_deployment import cloudformation, deployed, dynamodb, template
from tests.unit.deployment.fake_account import FakeService

DEAD_LETTERS, STORED, SCHEDULES = storage.CHECKS


def found(check: Check[Any], stack: Deployed) -> list[tuple[str, str]]:
    return [(finding.state, finding.text) for finding in check.findings(stack)]


def queues(visible: int, in_flight: int) -> FakeService:
    counts = {"ApproximateNumberOfMessages": visible, "ApproximateNumberOfMessagesNotVisible": in_flight}
    texts = {name: str(number) for name, number in counts.items()}
    return FakeService(get_queue_attributes={"Attributes": texts})


def test_dead_letters_are_counted_also_while_somebody_looks_at_them() -> None:
    [finding] = DEAD_LETTERS.findings(deployed(sqs=queues(2, 1)))
    assert finding.text == "RetriesDeadLetters has 3 messages, which nothing handles"
    assert finding.remedy.startswith('see "Dead letters" in infra/RUNBOOK.md')
    assert finding.remedy.endswith("`bellhop dead-letters list --queue Retries`")
    service = queues(0, 0)
    assert found(DEAD_LETTERS, deployed(sqs=service)) == [(OK, "no dead-letter queue has messages")]
    assert [arguments["QueueUrl"] for _, arguments in service.calls] == ["https://sqs/retries-dead"]


def test_tables_that_are_protected_and_recoverable_are_well() -> None:
    assert [state for state, _ in found(STORED, deployed(dynamodb=dynamodb()))] == [OK]


def test_tables_that_one_call_deletes_are_named() -> None:
    [finding] = STORED.findings(deployed(dynamodb=dynamodb(protected=False)))
    assert finding.text == "one call of dynamodb:DeleteTable deletes Apps, Circuits"
    assert finding.remedy.startswith('write DeletionProtection = "true" below [parameters]')


def test_a_parameter_of_a_local_stack_is_as_it_should_be() -> None:
    stack = deployed({"AwsEndpointUrl": "http://127.0.0.1"}, dynamodb=dynamodb(protected=False))
    [finding] = STORED.findings(stack)
    assert (finding.state, finding.remedy) == (OK, "")
    assert finding.text.endswith("deletes Apps, Circuits, as it should be on a local stack")


def test_recovery_is_asked_for_only_where_the_template_does() -> None:
    [finding] = STORED.findings(deployed(dynamodb=dynamodb(recovery="DISABLED")))
    assert finding.text.startswith("Apps has no point-in-time recovery")
    assert finding.remedy.endswith("--table-name apps-1")


def test_an_embedded_aws_keeps_no_backups_which_is_no_problem() -> None:
    stack = deployed({"AwsEndpointUrl": "http://127.0.0.1"}, dynamodb=dynamodb(recovery="DISABLED"))
    assert [state for state, _ in found(STORED, stack)] == [UNSEEN]


@pytest.mark.parametrize("policies", [{}, {"DeletionPolicy": "Delete"}, {"DeletionPolicy": "Retain"}])
def test_what_would_go_with_the_stack_is_named(policies: dict[str, str]) -> None:
    changed = template(Retries={"Type": "AWS::SQS::Queue", "Properties": {}, **policies})
    stack = deployed(cloudformation=cloudformation(get_template=changed), dynamodb=dynamodb())
    assert found(STORED, stack) == [(PROBLEM, "Retries would be deleted with the stack")]


def test_a_template_that_is_no_json_is_not_judged() -> None:
    stack = deployed(cloudformation=cloudformation(get_template={"TemplateBody": "Resources: {}"}))
    assert [state for state, _ in found(STORED, stack)] == [UNSEEN]


def quotas(**values: float) -> FakeService:
    names = {"create": "CreateSchedule request rate", "all": "Number of schedules"}
    names |= {"send": "Invocations throttle limit in transactions per second"}
    listed = [{"QuotaName": names[name], "Value": value} for name, value in values.items()]
    return FakeService(list_service_quotas={"Quotas": listed})


def test_the_quotas_of_schedules_are_shown_with_what_they_suffice_for() -> None:
    stack = deployed(**{"service-quotas": quotas(create=250, send=500, all=1_000_000)})
    [(state, text)] = found(SCHEDULES, stack)
    assert state == OK
    assert "250 new schedules a second, 500 schedules that send in a second, 1,000,000 schedules in all" in text
    assert text.endswith(
        "enough while 125 deliveries a second fail for good"
    )  # of four retries, two are scheduled


def test_doctor_waited_for_the_service_quotas_of_the_embedded_aws() -> None:
    service = quotas(create=250, send=500, all=1_000_000)
    stack = deployed({"AwsEndpointUrl": "http://127.0.0.1"}, **{"service-quotas": service})
    assert found(SCHEDULES, stack) == [(UNSEEN, "the embedded AWS has no Service Quotas")]
    assert service.calls == []


def test_with_quick_retries_nothing_is_scheduled() -> None:
    service = quotas(create=250, send=500, all=1_000_000)
    stack = deployed({"RetryDelaysSeconds": "5,60"}, **{"service-quotas": service})
    assert found(SCHEDULES, stack)[0][1].endswith("enough while 250 deliveries a second fail for good")


def test_quotas_that_are_not_listed_are_not_judged() -> None:
    assert [state for state, _ in found(SCHEDULES, deployed(**{"service-quotas": quotas(create=1)}))] == [UNSEEN]
