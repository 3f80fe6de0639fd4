"""The parts of AWS that the functions need: the template's tables and queues, and a registry in them."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import boto3

from bellhop import tables
from bellhop.registry import App, Installation, Organization
from bellhop.secrets import SigningSecret
from infra.deploy.templates import parsed
from infra.local.build import ROOT
from infra.local.embedded import REGION, embedded_aws

TEMPLATE = parsed(ROOT / "template.yaml")
SECRET = "ab" * 32
STACK = "bellhop"
EVENTS = ["issue.created", "metric_alert.open"]
TABLE_PROPERTIES = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode")

REGISTRY = {
    App: "Apps",
    SigningSecret: "Secrets",
    Organization: "Organizations",
    Installation: "Installations",
}

# Every part of the bench sets these, because endpoints are on loopback, on any port.
LOOPBACK = {"AllowHttp": "true", "AllowPrivateAddresses": "true", "AllowedPorts": "any"}


@dataclass(frozen=True)
class Cloud:
    """The embedded AWS with the template's tables and queues. `names` has their physical ids."""

    env: dict[str, str]
    names: dict[str, str]

    def client(self, service: str) -> Any:
        """A client as its root user."""
        return _client(service)

    def environment(self, function: str, parameters: Mapping[str, Any]) -> dict[str, str]:
        """The whole environment of a function process, as the template sets it."""
        shared = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]
        own = TEMPLATE["Resources"][function]["Properties"]["Environment"]["Variables"]
        chosen = LOOPBACK | dict(parameters)
        values = {name: self._value(value, chosen) for name, value in (shared | own).items()}
        return machine() | values | self.env | {"AWS_LAMBDA_FUNCTION_NAME": function}

    def _value(self, value: Any, parameters: Mapping[str, Any]) -> str:
        """Resolve a value as CloudFormation does, as far as this template needs it."""
        match value:
            case {"Ref": str(name)} if name in TEMPLATE["Parameters"]:
                default = TEMPLATE["Parameters"][name].get("Default", "bench@bench.example")
                return str(parameters.get(name, default))
            case {"Ref": str(name)}:
                return self.names[name]
            case {"Fn::GetAtt": [name, "Arn"]}:
                return self.names[name] if self.names[name].startswith("arn:") else _queue_arn(name)
            case {"Fn::FindInMap": [mapping, key, entry]}:
                return str(TEMPLATE["Mappings"][mapping][self._value(key, parameters)][entry])
            case {"Fn::Sub": str(text)}:
                return text.replace("${AWS::StackName}", STACK)
        return str(value)


def _queue_arn(name: str) -> str:
    return f"arn:aws:sqs:{REGION}:000000000000:{name}"


@cache
def _client(service: str) -> Any:
    return boto3.client(service)  # type: ignore[call-overload]


def memory(function: str) -> int:
    """The function's memory in MB, as the template sets it."""
    return int(TEMPLATE["Resources"][function]["Properties"]["MemorySize"])


def machine() -> dict[str, str]:
    """This process's environment without the settings that change how anything is connected to."""
    dropped = ("AWS_", "REQUESTS_", "CURL_", "SSL_", "HTTP_", "HTTPS_", "NO_PROXY", "ALL_PROXY")
    return {n: v for n, v in os.environ.items() if not n.upper().startswith(dropped)}


@contextmanager
def cloud(directory: Path) -> Iterator[Cloud]:
    """Run the embedded AWS with the template's tables and queues."""
    with embedded_aws(directory) as aws:
        for name in [n for n in os.environ if n.startswith("AWS_")]:
            del os.environ[name]
        os.environ.update(aws.env)
        yield Cloud(aws.env, dict(_create(*item) for item in TEMPLATE["Resources"].items()))


def _create(name: str, resource: dict[str, Any]) -> tuple[str, str]:
    if resource["Type"] == "AWS::DynamoDB::Table":
        properties = {key: resource["Properties"].get(key) for key in TABLE_PROPERTIES}
        boto3.client("dynamodb").create_table(TableName=name, **{k: v for k, v in properties.items() if v})
        return name, name
    if resource["Type"] == "AWS::SQS::Queue":
        return name, boto3.client("sqs").create_queue(QueueName=name)["QueueUrl"]
    if resource["Type"] == "AWS::Scheduler::ScheduleGroup":
        boto3.client("scheduler").create_schedule_group(Name=name)
        return name, name
    return name, f"arn:aws:iam::000000000000:role/{name}"


def register(cloud: Cloud, urls: Sequence[str], prefix: str = "") -> None:
    """An app for each endpoint, with its secret, each installed in an organisation of its own."""
    tables.bind(tables.connect(), {model: cloud.names[name] for model, name in REGISTRY.items()})
    for number, url in enumerate(urls):
        _register(f"{prefix}app{number}", f"{prefix}org{number}", url)


def _register(app: str, organization: str, url: str) -> None:
    App(app, uuid=app, name=app, kind="published", organization_id=organization, url=url, events=EVENTS).save()
    SigningSecret(app, secret=SECRET).save()
    Organization(organization, slug=organization, name=organization, owners=["a@bench.example"]).save()
    Installation(organization, f"in-{app}", app_id=app, events=EVENTS).save()
