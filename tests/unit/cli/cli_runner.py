"""Running the command as an operator does, on a stack whose CloudFormation is pretended."""

from functools import cache
from pathlib import Path
from typing import Any

import typer
from botocore.exceptions import ClientError
from typer import testing
from typer.testing import CliRunner, Result

from infra.cli import log_lines, stack
from infra.cli.main import app
from infra.cli.registry import loading

EXAMPLE = Path(loading.__file__).with_name("example-registry.yaml")

# For each call, the runner would make all commands anew.
testing._get_command = cache(typer.main.get_command)  # type: ignore[attr-defined]
runner = CliRunner()


class CloudFormation:
    """Knows one stack, whose tables are those of the models."""

    def __init__(self, queue: str, queues: dict[str, str] | None = None) -> None:
        self.outputs = {output: model.Meta.table_name for model, output in stack.TABLES.items()}
        self.outputs |= dict.fromkeys(stack.QUEUES, queue) | (queues or {}) | {stack.SCHEDULE_GROUP: "default"}
        self.outputs |= {output: f"logs-of-{name}" for name, output in log_lines.GROUPS.items()}
        self.queue_urls: dict[str, str] = {}
        self.name = "bellhop"
        self.parameters = {"AllowHttp": "false", "AllowPrivateAddresses": "false", "AllowedPorts": "80,443"}
        self.parameters |= {
            "RetryDelaysSeconds": "5,60,86400",
            "DeliveryDeadlineSeconds": "10",
            "CacheSeconds": "60",
            "BrokenTimeoutsPerDay": "1000",
            "BrokenErrorDays": "7",
            "BrokenPauseHours": "72",
            "ReplayPerSecond": "10",
            "KeepDeliveredDays": "3",
            "DashboardUrl": "https://tracker.example/settings/{organization}/{app}/",
            "UnsubscribeUrl": "",
        }

    def describe_stacks(self, StackName: str) -> dict[str, Any]:  # noqa: N803
        if StackName != self.name:
            message = f"Stack with id {StackName} does not exist"
            raise ClientError({"Error": {"Code": "ValidationError", "Message": message}}, "DescribeStacks")
        outputs = [{"OutputKey": k, "OutputValue": v} for k, v in self.outputs.items()]
        parameters = [{"ParameterKey": k, "ParameterValue": v} for k, v in self.parameters.items()]
        return {"Stacks": [{"StackStatus": "CREATE_COMPLETE", "Outputs": outputs, "Parameters": parameters}]}

    def get_paginator(self, operation: str) -> "CloudFormation":
        assert operation == "list_stack_resources"
        return self

    def paginate(self, StackName: str) -> list[dict[str, Any]]:  # noqa: N803
        kind = {"ResourceType": "AWS::SQS::Queue", "StackName": StackName}
        urls = self.queue_urls.items()
        found = [kind | {"LogicalResourceId": name, "PhysicalResourceId": url} for name, url in urls]
        return [{"StackResourceSummaries": found}]


def bellhop(*arguments: object, stdin: str | None = None, columns: int = 200) -> Result:
    return runner.invoke(
        app, [str(argument) for argument in arguments], input=stdin, env={"COLUMNS": str(columns)}
    )


def succeed(*arguments: object, stdin: str | None = None) -> str:
    result = bellhop(*arguments, stdin=stdin)
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return result.stdout


def refused(*arguments: object, stdin: str | None = None, status: int = 1) -> str:
    result = bellhop(*arguments, stdin=stdin)
    assert result.exit_code == status
    assert "Traceback" not in result.output
    return result.stderr


def misused(*arguments: object) -> str:
    """What is said of what cannot be meant."""
    return refused(*arguments, status=2)
