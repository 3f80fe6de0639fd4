"""A deployed stack on which all is well, as AWS shows it; a test changes what it is about."""

import json
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from infra.cli.doctor.looking import Deployed
from infra.cli.stack import Stack
from tests.unit.deployment.fake_account import NUMBER, REGION, FakeService

NESTED = f"arn:aws:cloudformation:{REGION}:{NUMBER}:stack/bellhop-Alarms"
TOPIC = f"arn:aws:sns:{REGION}:{NUMBER}:on-call"
QUEUE_ARN, DEAD_LETTERS_ARN = f"arn:aws:sqs:{REGION}:{NUMBER}:transitions", f"arn:aws:sqs:{REGION}:{NUMBER}:dead"
PARAMETERS = {
    "Runtime": "python3.13",
    "Architecture": "arm64",
    "MailIdentity": "tracker.example",
    "AlarmTopicArn": TOPIC,
    "AwsEndpointUrl": "",
    "RetryDelaysSeconds": "5,900,1800,7200",
}
RESOURCES = {
    "NotifyFunction": ("AWS::Lambda::Function", "fn-notify"),
    "DeliverFunction": ("AWS::Lambda::Function", "fn-deliver"),
    "HealthFunction": ("AWS::Lambda::Function", "fn-health"),
    "DeliverFunctionDeliveries": ("AWS::Lambda::EventSourceMapping", "uuid-1"),
    "Retries": ("AWS::SQS::Queue", "https://sqs/retries"),
    "RetriesDeadLetters": ("AWS::SQS::Queue", "https://sqs/retries-dead"),
    "Transitions": ("AWS::SQS::Queue", "https://sqs/transitions"),
    "SweepRule": ("AWS::Events::Rule", "bellhop-SweepRule-1"),
    "Apps": ("AWS::DynamoDB::Table", "apps-1"),
    "Circuits": ("AWS::DynamoDB::Table", "circuits-1"),
    "Alarms": ("AWS::CloudFormation::Stack", NESTED),
}
RETAINED = {"DeletionPolicy": "RetainExceptOnCreate", "UpdateReplacePolicy": "Retain"}


class ClientsByArgument(FakeService):
    """A client one of whose operations responds by the value of an argument."""

    def __init__(self, operation: str, argument: str, by_value: dict[str, Any], **responses: Any) -> None:
        super().__init__(**responses)
        self.operation, self.argument, self.by_value = operation, argument, by_value

    def __getattr__(self, operation: str) -> Any:
        if operation != self.operation:
            return super().__getattr__(operation)
        return lambda **arguments: self.by_value[arguments[self.argument]]


class CloudFormation(FakeService):
    """Lists the resources of the stack, and of its nested one."""

    def get_paginator(self, _: str) -> Any:
        """The paginator of ListStackResources."""
        return SimpleNamespace(paginate=self._pages)

    def _pages(self, StackName: str) -> list[dict[str, Any]]:  # noqa: N803
        if isinstance(listed := self.responses[StackName], Exception):
            raise listed
        rows = [
            {"LogicalResourceId": name, "ResourceType": kind, "PhysicalResourceId": physical}
            for name, (kind, physical) in listed.items()
        ]
        return [{"StackResourceSummaries": rows}]


def function(name: str, url: str = "", **configuration: Any) -> dict[str, Any]:
    """What GetFunction says of a function."""
    described: dict[str, Any] = {
        "FunctionName": f"fn-{name}",
        "FunctionArn": f"arn-{name}",
        "Runtime": "python3.13",
    }
    described |= {"Architectures": ["arm64"], "State": "Active", "LastUpdateStatus": "Successful"}
    return {"Configuration": described | {"CodeSha256": "one"} | configuration, "Code": {"Location": url}}


def mapping(**changes: Any) -> dict[str, Any]:
    """What GetEventSourceMapping says of a queue."""
    found = {"FunctionArn": "arn-deliver", "State": "Enabled", "LastProcessingResult": "OK"}
    return found | {"ScalingConfig": {"MaximumConcurrency": 100}} | changes


def lambda_service(functions: dict[str, Any] | None = None, **responses: Any) -> FakeService:
    """Lambda with the three functions."""
    known = {f"fn-{name}": function(name) for name in ("notify", "deliver", "health")} | (functions or {})
    limits = {"AccountLimit": {"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 1000}}
    given = {"get_account_settings": limits, "get_event_source_mapping": mapping()} | responses
    return ClientsByArgument("get_function", "FunctionName", known, **given)


def template(**changes: Any) -> dict[str, Any]:
    """The stack's template, as far as it is looked at."""
    recovery = {"PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True}}
    resources = {
        name: {"Type": kind, "Properties": recovery if name == "Apps" else {}, **RETAINED}
        for name, (kind, _) in RESOURCES.items()
    }
    return {"TemplateBody": {"Resources": resources | changes}}


def cloudformation(**changes: Any) -> FakeService:
    """CloudFormation with the stack, and its nested one that has two alarms."""
    alarms = {name: ("AWS::CloudWatch::Alarm", f"bellhop-{name}") for name in ("NotifyErrors", "RetriesOld")}
    return CloudFormation(**({"bellhop": RESOURCES, NESTED: alarms, "get_template": template()} | changes))


def dynamodb(*, protected: bool = True, recovery: str = "ENABLED") -> FakeService:
    """DynamoDB, all of whose tables are alike."""
    backups = {"PointInTimeRecoveryDescription": {"PointInTimeRecoveryStatus": recovery}}
    return FakeService(
        describe_table={"Table": {"DeletionProtectionEnabled": protected}},
        describe_continuous_backups={"ContinuousBackupsDescription": backups},
    )


def queue_attributes(number: int = 0) -> dict[str, Any]:
    """What GetQueueAttributes says of any queue, with so many messages."""
    counts = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
    redrive = json.dumps({"deadLetterTargetArn": DEAD_LETTERS_ARN})
    named = {"QueueArn": QUEUE_ARN, "RedrivePolicy": redrive}
    return {"Attributes": dict.fromkeys(counts, str(number)) | named}


def sweep_rule(**changes: Any) -> FakeService:
    """EventBridge with the rule of the sweep."""
    texts = {"retries": "retry_sweep", "apps": "app_sweep"}
    targets = [{"Id": n, "Arn": QUEUE_ARN, "Input": f'{{"kind": "{text}"}}'} for n, text in texts.items()]
    given = {"describe_rule": {"State": "ENABLED"}, "list_targets_by_rule": {"Targets": targets}}
    return FakeService(**given | changes)


def deployed(parameters: dict[str, str] | None = None, /, **services: FakeService) -> Deployed:
    """The stack, with these services."""
    known = {"cloudformation": cloudformation(), "lambda": lambda_service()} | services
    stack = Stack("bellhop", {}, PARAMETERS | (parameters or {}), "UPDATE_COMPLETE")
    return Deployed(stack, REGION, lambda name: known[name])


def code(directory: Path, *modules: str, machine: int = 0xB7) -> str:
    """The URL of a zip with native modules for a machine, by default arm64, and a module in Python."""
    path, header = directory / f"{machine}.zip", b"\x7fELF" + bytes(14) + machine.to_bytes(2, "little")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("deliver/app.py", "")
        for module in modules:
            archive.writestr(module, header)
    return path.as_uri()
