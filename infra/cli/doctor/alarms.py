"""The alarms: whether they are there, and whether anybody hears them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from health.mail.wording import counted
from infra.cli.doctor.findings import Finding, ok, problem, runbook, unset
from infra.cli.doctor.looking import Check, Deployed

STACK = "AWS::CloudFormation::Stack"
ALARMS = {"AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm"}
METRIC, COMPOSITE = "MetricAlarm", "CompositeAlarm"
PER_CALL = 100  # https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html
TOPIC = "arn:aws:sns:REGION:ACCOUNT:NAME"
SUBSCRIBE = "aws sns subscribe --topic-arn {topic} --protocol email --notification-endpoint YOU@YOUR-DOMAIN"
RING_REASON = "bellhop doctor --ring: nothing is wrong, this tries whether alarms reach somebody"


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm. `title` is its name in infra/monitoring; `there` is false if somebody deleted it.

    A `composite` alarm tells of several others.
    """

    title: str
    name: str
    there: bool = True
    composite: bool = False
    state: str = "OK"
    enabled: bool = True
    actions: tuple[str, ...] = ()
    description: str = ""

    @property
    def would_tell(self) -> bool:
        """Whether it tells somebody by itself once it is raised, and takes itself back."""
        return self.there and not self.composite and self.enabled and bool(self.actions)


@dataclass(frozen=True, slots=True)
class Alarms:
    """The alarms of a stack, and the topic that they are to tell; empty without any."""

    alarms: Sequence[Alarm]
    topic: str


def read_alarms(deployed: Deployed) -> Alarms:
    """Read the alarms of the stack, and its parameter for their topic."""
    return Alarms(_alarms(deployed), deployed.stack.parameters.get("AlarmTopicArn", ""))


def _alarms(deployed: Deployed) -> list[Alarm]:
    """The alarms, which are in stacks within the stack."""
    stacks = [found for name, found in deployed.physical_ids(STACK).items() if name.endswith("Alarms")]
    nested = map(deployed.resources_of, stacks)
    resources = {title: found for stack in nested for title, found in stack.items()}
    names = {title: found.physical_id for title, found in resources.items() if found.kind in ALARMS}
    found = {alarm["AlarmName"]: alarm for alarm in _described(deployed, list(names.values()))}
    return [_alarm(title, name, found.get(name)) for title, name in sorted(names.items())]


def _described(deployed: Deployed, names: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    client = deployed.client("cloudwatch")
    for start in range(0, len(names), PER_CALL):
        part = list(names[start : start + PER_CALL])
        # Composite alarms are described only if they are asked for.
        found = client.describe_alarms(AlarmNames=part, AlarmTypes=[METRIC, COMPOSITE], MaxRecords=PER_CALL)
        yield from found["MetricAlarms"]
        yield from ({"composite": True} | alarm for alarm in found.get("CompositeAlarms", []))


def _alarm(title: str, name: str, found: Mapping[str, Any] | None) -> Alarm:
    if found is None:
        return Alarm(title, name, there=False)
    return Alarm(
        title,
        name,
        composite=found.get("composite", False),
        state=found["StateValue"],
        enabled=found["ActionsEnabled"],
        actions=tuple(found["AlarmActions"]),
        description=found.get("AlarmDescription", ""),
    )


def judge_alarms(found: Alarms) -> list[Finding]:
    """Whether every alarm is there and tells somebody, and which ones are raised."""
    findings = [*_missing(found.alarms), *_silent(found), *_raised(found.alarms)]
    return findings or [ok(f"{len(found.alarms)} alarms are there, none is raised")]


def _missing(alarms: Sequence[Alarm]) -> Iterator[Finding]:
    if gone := ", ".join(alarm.title for alarm in alarms if not alarm.there):
        yield problem(f"deleted by hand: {gone}", "make them again as infra/monitoring has them")


def _silent(found: Alarms) -> Iterator[Finding]:
    there = [alarm for alarm in found.alarms if alarm.there]
    if off := [alarm for alarm in there if not alarm.enabled]:
        names = " ".join(alarm.name for alarm in off)
        text = f"somebody switched off the actions of {', '.join(alarm.title for alarm in off)}"
        yield problem(text, f"aws cloudwatch enable-alarm-actions --alarm-names {names}")
    # Most leave that to a composite alarm, so one that tells nobody by itself is no fault. Without a topic none
    # does, which the check of the topic says.
    if found.topic and there and not any(alarm.actions for alarm in there):
        text = f"no alarm tells anybody: {found.topic} was taken out of all of them by hand"
        yield problem(text, "set their actions again as infra/monitoring has them")


def _raised(alarms: Sequence[Alarm]) -> Iterator[Finding]:
    for alarm in alarms:
        if alarm.state == "ALARM":
            section = re.search(r'"([^"]+)" in infra/RUNBOOK.md', alarm.description)
            what = alarm.description.partition(" See ")[0]
            yield problem(f"{alarm.title} is raised: {what}", runbook(section[1] if section else "Dead letters"))


@dataclass(frozen=True, slots=True)
class Topic:
    """The topic of the alarms. `there` is false if it does not exist; subscriptions are counted."""

    arn: str
    there: bool
    confirmed: int
    pending: int


def read_topic(deployed: Deployed) -> Topic:
    """Read who subscribes to the topic."""
    arn = deployed.stack.parameters.get("AlarmTopicArn", "")
    if not arn:
        return Topic("", there=False, confirmed=0, pending=0)
    pages = deployed.client("sns").get_paginator("list_subscriptions_by_topic").paginate(TopicArn=arn)
    try:
        subscriptions = [found["SubscriptionArn"] for page in pages for found in page["Subscriptions"]]
    except ClientError as error:
        if error.response["Error"]["Code"] in {"NotFound", "NotFoundException"}:
            return Topic(arn, there=False, confirmed=0, pending=0)
        raise
    confirmed = [found for found in subscriptions if found.startswith("arn:")]  # others say PendingConfirmation
    return Topic(arn, there=True, confirmed=len(confirmed), pending=len(subscriptions) - len(confirmed))


def judge_topic(topic: Topic) -> list[Finding]:
    """Whether the topic tells somebody."""
    subscribe = SUBSCRIBE.format(topic=topic.arn)
    if not topic.arn:
        return [unset("AlarmTopicArn is empty: no alarm tells anybody", "AlarmTopicArn", TOPIC)]
    if not topic.there:
        command = f"aws sns create-topic --name {topic.arn.rpartition(':')[2]}, then {subscribe}"
        return [problem(f"the topic {topic.arn} does not exist", command)]
    if topic.confirmed:
        return [ok(f"{counted(topic.confirmed, 'confirmed subscription')} to {topic.arn}")]
    if topic.pending:
        text = f"nobody has confirmed a subscription to {topic.arn}, of {topic.pending}: no alarm reaches anybody"
        return [problem(text, f"follow the link in the mail from AWS; to have it sent again: {subscribe}")]
    return [problem(f"nobody subscribes to {topic.arn}", subscribe)]


@dataclass(frozen=True, slots=True)
class Bell:
    """The alarm that was raised for a try, if one could be, and how many subscriptions should have its message."""

    alarm: Alarm | None
    confirmed: int


def ring(deployed: Deployed) -> Bell:
    """Raise an alarm that is not raised, and that would tell somebody. It takes itself back.

    A composite alarm would stay raised until one of its alarms changes.
    Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_SetAlarmState.html
    """
    topic = read_topic(deployed)
    quiet = [alarm for alarm in _alarms(deployed) if alarm.would_tell and alarm.state != "ALARM"]
    if not quiet or not topic.confirmed:
        return Bell(None, topic.confirmed)
    chosen = quiet[0]
    client = deployed.client("cloudwatch")
    client.set_alarm_state(AlarmName=chosen.name, StateValue="ALARM", StateReason=RING_REASON)
    return Bell(chosen, topic.confirmed)


def judge_ring(bell: Bell) -> list[Finding]:
    """What a person should now have received."""
    if bell.alarm is None:
        text = "no alarm was raised for a try: none that is quiet has an action and a confirmed subscription"
        return [problem(text, "remove the problems of alarms and topic first")]
    text = (
        f"raised {bell.alarm.name} for a try. Within a minute, {counted(bell.confirmed, 'subscription')} should "
        f'have a message with the subject ALARM: "{bell.alarm.name}" and the reason "{RING_REASON}". The alarm '
        "takes itself back within minutes, without a message"
    )
    return [ok(text)]


CHECKS = (
    Check("alarms", read_alarms, judge_alarms),
    Check("alarm topic", read_topic, judge_topic),
)
RING = Check("ring", ring, judge_ring)
