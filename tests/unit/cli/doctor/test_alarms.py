from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from infra.cli.doctor import alarms
from infra.cli.doctor.alarms import Alarm, Alarms, Bell, judge_alarms, judge_ring
from infra.cli.doctor.findings import OK, PROBLEM
from tests.unit.cli.doctor.fake_deployment import NESTED, RESOURCES, TOPIC, cloudformation, deployed
from tests.unit.deployment.fake_account import FakeService, refusal

ALARMS, ALARM_TOPIC = alarms.CHECKS
QUIET = Alarm(
    "NotifyErrors", "bellhop-NotifyErrors", actions=(TOPIC,), description='It. See "Function errors" in infra/'
)
LINK = '"Function errors" in infra/RUNBOOK.md'


def cloudwatch(*described: dict[str, Any]) -> FakeService:
    return FakeService(describe_alarms={"MetricAlarms": list(described)}, set_alarm_state={})


def described(title: str, **changes: Any) -> dict[str, Any]:
    found = {"AlarmName": f"bellhop-{title}", "StateValue": "OK", "ActionsEnabled": True, "AlarmActions": [TOPIC]}
    return found | changes


def subscriptions(*arns: str) -> FakeService:
    return FakeService(list_subscriptions_by_topic={"Subscriptions": [{"SubscriptionArn": arn} for arn in arns]})


ALL = cloudwatch(described("NotifyErrors"), described("RetriesOld"))


def test_alarms_that_are_quiet_and_tell_somebody_are_well() -> None:
    assert [f.text for f in ALARMS.findings(deployed(cloudwatch=ALL))] == ["2 alarms are there, none is raised"]


def test_an_alarm_that_somebody_deleted_is_named() -> None:
    [finding] = ALARMS.findings(deployed(cloudwatch=cloudwatch(described("NotifyErrors"))))
    assert (finding.state, finding.text) == (PROBLEM, "deleted by hand: RetriesOld")


@pytest.mark.parametrize(
    ("alarm", "text", "remedy"),
    [
        (
            replace(QUIET, enabled=False),
            "switched off the actions of NotifyErrors",
            "--alarm-names bellhop-Notify",
        ),
        (replace(QUIET, actions=()), f"no alarm tells anybody: {TOPIC} was taken out", "set their actions again"),
        (
            replace(QUIET, state="ALARM", description=f"It. See {LINK}."),
            "NotifyErrors is raised: It.",
            f"see {LINK}",
        ),
    ],
)
def test_an_alarm_that_is_silent_or_raised_is_a_problem(alarm: Alarm, text: str, remedy: str) -> None:
    [finding] = judge_alarms(Alarms([alarm], TOPIC))
    assert finding.state == PROBLEM
    assert text in finding.text
    assert remedy in finding.remedy


@pytest.mark.parametrize(
    ("topic", "service", "state", "said"),
    [
        (TOPIC, subscriptions("arn:1", "PendingConfirmation"), OK, f"1 confirmed subscription to {TOPIC}"),
        (TOPIC, subscriptions("PendingConfirmation"), PROBLEM, "nobody has confirmed a subscription"),
        (TOPIC, subscriptions(), PROBLEM, f"aws sns subscribe --topic-arn {TOPIC}"),
        (TOPIC, subscriptions(), PROBLEM, f"nobody subscribes to {TOPIC}"),
        ("", subscriptions("arn:1"), PROBLEM, "AlarmTopicArn is empty"),
    ],
)
def test_a_topic_without_a_confirmed_subscription_is_a_problem(
    topic: str, service: FakeService, state: str, said: str
) -> None:
    [finding] = ALARM_TOPIC.findings(deployed({"AlarmTopicArn": topic}, sns=service))
    assert finding.state == state
    assert said in finding.text + finding.remedy


class NoTopics(FakeService):
    """SNS without any topic: a page is refused when it is read."""

    def get_paginator(self, _: str) -> Any:
        def pages(**_: str) -> Iterator[dict[str, Any]]:
            yield from self.list_subscriptions_by_topic()

        return SimpleNamespace(paginate=pages)


def test_that_no_alarm_tells_anybody_was_said_twice_where_there_is_no_topic() -> None:
    service = cloudwatch(described("NotifyErrors", AlarmActions=[]), described("RetriesOld", AlarmActions=[]))
    stack = deployed({"AlarmTopicArn": ""}, cloudwatch=service)
    assert [f.text for f in ALARMS.findings(stack)] == ["2 alarms are there, none is raised"]
    assert "no alarm tells anybody" in ALARM_TOPIC.findings(stack)[0].text


def test_a_topic_that_was_deleted_is_made_again_by_its_name() -> None:
    [finding] = ALARM_TOPIC.findings(deployed(sns=NoTopics(list_subscriptions_by_topic=refusal("NotFound"))))
    assert finding.state == PROBLEM
    assert finding.remedy.startswith("aws sns create-topic --name on-call, then aws sns subscribe")


def test_a_ring_raises_one_quiet_alarm_and_says_what_should_have_come() -> None:
    service = cloudwatch(described("NotifyErrors", StateValue="ALARM"), described("RetriesOld"))
    stack = deployed(cloudwatch=service, sns=subscriptions("arn:1", "arn:2"))
    [finding] = alarms.RING.findings(stack)
    raised = [arguments for operation, arguments in service.calls if operation == "set_alarm_state"]
    assert [(r["AlarmName"], r["StateValue"]) for r in raised] == [("bellhop-RetriesOld", "ALARM")]
    assert finding.state == OK
    assert '2 subscriptions should have a message with the subject ALARM: "bellhop-RetriesOld"' in finding.text
    assert raised[0]["StateReason"] in finding.text


@pytest.mark.parametrize("arns", [(), ("PendingConfirmation",)])
def test_nothing_is_raised_if_nobody_would_hear(arns: tuple[str, ...]) -> None:
    service = cloudwatch(described("NotifyErrors"), described("RetriesOld"))
    [finding] = alarms.RING.findings(deployed(cloudwatch=service, sns=subscriptions(*arns)))
    assert finding.state == PROBLEM
    assert "set_alarm_state" not in [operation for operation, _ in service.calls]


def test_without_a_quiet_alarm_nothing_is_raised() -> None:
    assert [f.state for f in judge_ring(Bell(None, 1))] == [PROBLEM]


def test_an_alarm_that_leaves_it_to_a_composite_alarm_to_tell_somebody_is_no_problem() -> None:
    [finding] = judge_alarms(Alarms([QUIET, replace(QUIET, title="DeliverErrors", actions=())], TOPIC))
    assert finding.state == OK


def test_composite_alarms_and_those_of_a_second_stack_were_taken_for_deleted_or_not_looked_at() -> None:
    second = f"{NESTED}-Own"
    listed = {"Late": ("AWS::CloudWatch::CompositeAlarm", "bellhop-Late"), "Arns": ("Other", "bellhop-other")}
    resources = RESOURCES | {"OwnAlarms": ("AWS::CloudFormation::Stack", second)}
    service = FakeService(
        describe_alarms={
            "MetricAlarms": [described("NotifyErrors", AlarmActions=[]), described("RetriesOld", AlarmActions=[])],
            "CompositeAlarms": [described("Late")],
        }
    )
    stacks = cloudformation(**{"bellhop": resources, second: listed})
    stack = deployed(cloudwatch=service, cloudformation=stacks, sns=subscriptions("arn:1"))
    assert [f.text for f in ALARMS.findings(stack)] == ["3 alarms are there, none is raised"]
    [(_, asked)] = service.calls
    assert asked["AlarmTypes"] == ["MetricAlarm", "CompositeAlarm"]
    assert sorted(asked["AlarmNames"]) == ["bellhop-Late", "bellhop-NotifyErrors", "bellhop-RetriesOld"]
    assert [f.state for f in alarms.RING.findings(stack)] == [
        PROBLEM
    ]  # a composite alarm is never raised for a try
