"""The rule that begins the sweep every hour: without it, nobody looks for lost messages."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from botocore.exceptions import ClientError

from infra.cli.doctor.findings import Finding, ok, problem
from infra.cli.doctor.looking import Check, Deployed

RULE, QUEUE = "SweepRule", "Transitions"  # in template.yaml
EVERY = "rate(1 hour)"
INPUTS = {"retries": '{"kind": "retry_sweep"}', "apps": '{"kind": "app_sweep"}'}  # by the targets' ids


@dataclass(frozen=True, slots=True)
class Target:
    """What a rule sends, and the queue that it is sent to."""

    queue_arn: str
    input: str


@dataclass(frozen=True, slots=True)
class Rule:
    """The rule as EventBridge has it; `state` is empty if it is gone. The ARNs are those of Transitions."""

    name: str
    state: str
    queue_arn: str
    dead_letters_arn: str
    targets: Mapping[str, Target] = field(default_factory=dict)


def read_rule(deployed: Deployed) -> Rule:
    """Read the rule and its targets."""
    client, sqs = deployed.client("events"), deployed.client("sqs")
    name, url = (deployed.resources[each].physical_id for each in (RULE, QUEUE))
    asked = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn", "RedrivePolicy"])["Attributes"]
    arns = asked["QueueArn"], json.loads(asked["RedrivePolicy"])["deadLetterTargetArn"]
    try:
        state = client.describe_rule(Name=name)["State"]
        found = client.list_targets_by_rule(Rule=name)["Targets"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ResourceNotFoundException":
            return Rule(name, "", *arns)
        raise
    return Rule(name, state, *arns, {each["Id"]: Target(each["Arn"], each.get("Input", "")) for each in found})


def judge_rule(rule: Rule) -> list[Finding]:
    """Whether a sweep of retries and one of apps begin every hour."""
    wrong = [*_judge_state(rule), *_judge_targets(rule)]
    return wrong or [ok("every hour, a rule has health look for lost messages")]


def _judge_state(rule: Rule) -> list[Finding]:
    if not rule.state:
        command = f"aws events put-rule --name {rule.name} --schedule-expression '{EVERY}'"
        return [problem(f"{RULE} is gone: nobody looks for lost messages", command)]
    if rule.state == "DISABLED":
        command = f"aws events enable-rule --name {rule.name}"
        return [problem(f"{RULE} is switched off: nobody looks for lost messages", command)]
    return []


def _judge_targets(rule: Rule) -> list[Finding]:
    wanted = {name: Target(rule.queue_arn, text) for name, text in INPUTS.items()}
    wrong = [name for name, target in wanted.items() if rule.targets.get(name) != target]
    if not wrong:
        return []
    targets = [
        {
            "Id": name,
            "Arn": wanted[name].queue_arn,
            "Input": wanted[name].input,
            "DeadLetterConfig": {"Arn": rule.dead_letters_arn},
        }
        for name in wrong
    ]
    text = f"{RULE} does not send to {QUEUE} what begins the sweep of {' and of '.join(wrong)}"
    return [problem(text, f"aws events put-targets --rule {rule.name} --targets '{json.dumps(targets)}'")]


CHECKS = (Check("sweep", read_rule, judge_rule),)
