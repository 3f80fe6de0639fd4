import json
import shlex
from typing import Any

import pytest

from infra.cli.doctor import sweep
from infra.cli.doctor.findings import OK, PROBLEM, UNSEEN, Finding
from infra.cli.doctor.sweep import EVERY, INPUTS, RULE
from tests.docs.capacity import template
from tests.unit.cli.doctor.fake_deployment import (
    DEAD_LETTERS_ARN,
    QUEUE_ARN,
    deployed,
    queue_attributes,
    sweep_rule,
)
from tests.unit.deployment.fake_account import FakeService, refusal

[SWEEP] = sweep.CHECKS
NAME = "bellhop-SweepRule-1"


def found(**changes: Any) -> list[Finding]:
    stack = deployed(events=sweep_rule(**changes), sqs=FakeService(get_queue_attributes=queue_attributes()))
    return SWEEP.findings(stack)


def target(name: str, **changes: str) -> dict[str, str]:
    return {"Id": name, "Arn": QUEUE_ARN, "Input": INPUTS[name]} | changes


def test_a_rule_that_is_enabled_and_sends_both_messages_is_well() -> None:
    assert [finding.state for finding in found()] == [OK]


def test_a_rule_that_somebody_switched_off_can_be_switched_on() -> None:
    [finding] = found(describe_rule={"State": "DISABLED"})
    assert (finding.state, finding.text) == (PROBLEM, "SweepRule is switched off: nobody looks for lost messages")
    assert finding.remedy == f"aws events enable-rule --name {NAME}"


def test_a_rule_that_is_gone_is_made_again_and_gets_its_targets() -> None:
    rule, targets = found(describe_rule=refusal("ResourceNotFoundException"))
    assert rule.text == "SweepRule is gone: nobody looks for lost messages"
    assert rule.remedy == f"aws events put-rule --name {NAME} --schedule-expression 'rate(1 hour)'"
    assert targets.text == "SweepRule does not send to Transitions what begins the sweep of retries and of apps"


@pytest.mark.parametrize("left", [[], [target("apps", Arn="elsewhere")], [target("apps", Input="{}")]])
def test_a_target_that_is_missing_or_another_is_put_with_what_to_type(left: list[dict[str, str]]) -> None:
    [finding] = found(list_targets_by_rule={"Targets": [target("retries"), *left]})
    assert (finding.state, finding.text.rpartition(" ")[2]) == (PROBLEM, "apps")
    *command, typed = shlex.split(finding.remedy)
    assert command == ["aws", "events", "put-targets", "--rule", NAME, "--targets"]
    assert json.loads(typed) == [target("apps") | {"DeadLetterConfig": {"Arn": DEAD_LETTERS_ARN}}]


def test_who_may_not_look_is_told_which_permission_is_missing() -> None:
    denied = refusal("AccessDeniedException", "User: arn is not authorized to perform: events:DescribeRule on x")
    [finding] = found(describe_rule=denied)
    assert (finding.state, finding.text) == (UNSEEN, "you may not events:DescribeRule")


def test_what_it_expects_is_what_the_template_makes() -> None:
    rule = template()["Resources"][RULE]["Properties"]
    assert rule["ScheduleExpression"] == EVERY
    assert {each["Id"]: each["Input"] for each in rule["Targets"]} == INPUTS
    queue = {"Fn::GetAtt": ["Transitions", "Arn"]}
    assert all(each["Arn"] == queue for each in rule["Targets"])
