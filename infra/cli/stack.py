"""Finding a deployed stack by its CloudFormation outputs, on AWS or at AWS_ENDPOINT_URL."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from pynamodb.connection import Connection
from pynamodb.models import Model

from bellhop import tables
from bellhop.attempts import DeliveryRecord
from bellhop.circuits import Circuit, SlowList
from bellhop.handled_events import HandledEvent
from bellhop.index_keys import Entry
from bellhop.large_bodies import LargeBody
from bellhop.outcomes import OutcomeDay
from bellhop.queues import Queue
from bellhop.registry import App, AuditEntry, Installation, Organization
from bellhop.resend_jobs import ResendJob, ResendPage
from bellhop.secrets import SigningSecret
from bellhop.successes import Delivered
from deliver.http.guard import EndpointPolicy
from health.mail.links import Links
from health.rules import Thresholds
from infra.cli import local_stack
from infra.cli.errors import CommandError
from infra.cli.minute_packs import MinutePack
from infra.cli.options import naming_stack, stack_option

TABLES: dict[type[Model], str] = {
    Organization: "OrganizationsTable",
    App: "AppsTable",
    Installation: "InstallationsTable",
    AuditEntry: "AuditTable",
    SigningSecret: "SecretsTable",
    OutcomeDay: "OutcomesTable",
    DeliveryRecord: "AttemptsTable",
    Entry: "AttemptsTable",
    LargeBody: "AttemptsTable",
    ResendJob: "AttemptsTable",
    ResendPage: "AttemptsTable",
    Delivered: "DeliveredTable",
    HandledEvent: "DeliveredTable",
    MinutePack: "SuccessesTable",
    Circuit: "CircuitsTable",
    SlowList: "CircuitsTable",
}
EVENTS_QUEUE = "IssueEventsQueueUrl"
DELIVERIES_QUEUE = "DeliveriesQueueUrl"
RETRIES_QUEUE = "RetriesQueueUrl"
TRANSITIONS_QUEUE = "TransitionsQueueUrl"
QUEUES = (EVENTS_QUEUE, DELIVERIES_QUEUE, RETRIES_QUEUE, TRANSITIONS_QUEUE)
SCHEDULE_GROUP = "ScheduleGroup"

CONNECTIONS = 50  # to DynamoDB: calls that are made side by side

_CONFIG = Config(connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 3, "mode": "standard"})


@dataclass(frozen=True, slots=True)
class Stack:
    """The outputs, parameters and status of a stack, as CloudFormation has them.

    `option` has commands find it again, typed in the same shell; it is empty where they do by themselves.
    """

    name: str
    outputs: Mapping[str, str]
    parameters: Mapping[str, str]
    status: str = ""
    option: str = ""

    def command(self, text: str) -> str:
        """What to type to have the command do that with this stack, such as `bellhop apps --stack local`."""
        return f"bellhop {text}{self.option}"

    def next(self, *texts: str) -> str:
        """The line that ends what a command prints: what to type then."""
        return f"Next: {'; '.join(map(self.command, texts))}"

    def naming(self, text: str) -> str:
        """The same text, in which the commands in backquotes name this stack where they need to."""
        return naming_stack(text, self.option)

    @property
    def title(self) -> str:
        """What questions call it: nobody is to take the local stack for one on AWS of the same name."""
        return "the local stack" if self.parameters.get("AwsEndpointUrl") else self.name

    @property
    def endpoint_policy(self) -> EndpointPolicy:
        """The endpoints that its deliver function posts to."""
        return EndpointPolicy.from_parameters(
            allow_http=self.parameters.get("AllowHttp") == "true",
            allow_private_addresses=self.parameters.get("AllowPrivateAddresses") == "true",
            allowed_ports=self.parameters.get("AllowedPorts", "80,443"),
        )

    def queue(self, output: str) -> Queue:
        """The queue whose URL is that output, one of QUEUES."""
        return Queue(boto3.client("sqs", config=_CONFIG), self.outputs[output])

    @property
    def retry_delays(self) -> tuple[int, ...]:
        """Seconds before each retry."""
        return tuple(map(int, self.parameters["RetryDelaysSeconds"].split(",")))

    @property
    def deadline_seconds(self) -> int:
        """The longest that one attempt takes."""
        return int(self.parameters["DeliveryDeadlineSeconds"])

    @property
    def drops_duplicates(self) -> bool:
        """Whether notify drops copies of events; a stack of before has no such parameter."""
        return int(self.parameters.get("DropDuplicatesHours", 0)) > 0

    @property
    def thresholds(self) -> Thresholds:
        """When an internal app is switched off."""
        names = ("BrokenTimeoutsPerDay", "BrokenErrorDays", "BrokenPauseHours")
        return Thresholds(*(int(self.parameters[name]) for name in names))

    @property
    def replay_per_second(self) -> float:
        """How many deliveries of an app a replay sends per second."""
        return float(self.parameters["ReplayPerSecond"])

    @property
    def links(self) -> Links:
        """The links in its mails.

        Raises:
            CommandError: one is no web page: a stack from before the template refused that.
        """
        urls = {name: self.parameters.get(name, "") for name in ("DashboardUrl", "UnsubscribeUrl")}
        for name, url in urls.items():
            if url and not url.startswith(("https://", "http://")):
                raise CommandError(
                    f"{name} of stack {self.name!r} is {url!r}: deploy it with a URL that begins with https://"
                )
        return Links(urls["DashboardUrl"], urls["UnsubscribeUrl"])

    @property
    def keep_delivered(self) -> timedelta:
        """For how long the bodies of what succeeded at once are kept."""
        return timedelta(days=int(self.parameters["KeepDeliveredDays"]))

    @property
    def cache_seconds(self) -> int:
        """How long a function may use what it has read from the registry."""
        return int(self.parameters["CacheSeconds"])


def find(name: str) -> Stack:
    """The stack of that name; "local" is the one of `make run`, and never one on AWS.

    Raises:
        CommandError: there is none, it is still being created, or it is not a stack of Bellhop.
        BotoCoreError, ClientError: the call failed; see `errors.explain`.
    """
    option = stack_option(name)
    if name == local_stack.NAME:
        name = local_stack.enter(os.environ)
    try:
        response = boto3.client("cloudformation", config=_CONFIG).describe_stacks(StackName=name)
    except ClientError as error:
        if error.response["Error"].get("Code") == "ValidationError":
            raise _not_found(name) from None
        raise
    found = response["Stacks"][0]
    outputs = {o["OutputKey"]: o["OutputValue"] for o in found.get("Outputs", [])}
    parameters = {p["ParameterKey"]: p["ParameterValue"] for p in found.get("Parameters", [])}
    _complete(name, found["StackStatus"], outputs)
    return Stack(name, outputs, parameters, found["StackStatus"], option)


def bind(stack: Stack) -> Connection:
    """Bind the models to the tables of the stack; return the connection, which transactions need."""
    connection = tables.connect(connections=CONNECTIONS)
    tables.bind(connection, {model: stack.outputs[output] for model, output in TABLES.items()})
    return connection


def caller() -> str:
    """Who runs this, as AWS knows them: the last part of their ARN.

    Raises:
        BotoCoreError, ClientError: the call failed; a local stack may have no STS.
    """
    return re.split("[/:]", boto3.client("sts", config=_CONFIG).get_caller_identity()["Arn"])[-1]


def client(service: str) -> Any:
    """A client for a service that has no name of its own here."""
    return boto3.client(service, config=_CONFIG)  # type: ignore[call-overload]


def _not_found(name: str) -> CommandError:
    where = os.environ.get("AWS_ENDPOINT_URL") or f"region {boto3.Session().region_name}"
    return CommandError(
        f"no stack {name!r} at {where}: deploy it with `make deploy`, or name another with --stack "
        "or BELLHOP_STACK, or set AWS_DEFAULT_REGION"
    )


def _complete(name: str, status: str, outputs: Mapping[str, str]) -> None:
    missing = {*TABLES.values(), *QUEUES, SCHEDULE_GROUP} - outputs.keys()
    if missing:
        raise CommandError(
            f"stack {name!r} ({status}) has no output {min(missing)}: it is still being created, or it is "
            "not a stack of Bellhop's template.yaml; name another with --stack"
        )
