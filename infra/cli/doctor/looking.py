"""How a check looks at a stack, and what it finds when it may not look."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

from botocore.exceptions import BotoCoreError, ClientError
from pynamodb.exceptions import PynamoDBException

from infra.cli.doctor.findings import Finding, as_local, unseen
from infra.cli.errors import denied_action, explain
from infra.cli.stack import Stack

FUNCTIONS = {"notify": "NotifyFunction", "deliver": "DeliverFunction", "health": "HealthFunction"}
QUEUE, TABLE, MAPPING = "AWS::SQS::Queue", "AWS::DynamoDB::Table", "AWS::Lambda::EventSourceMapping"

PERMISSIONS = "docs/permissions.md has the policy of an operator"

F = TypeVar("F")


class UnseenError(Exception):
    """What a check wants to see cannot be seen. The message says why."""


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource of a stack: its type and its physical id."""

    kind: str
    physical_id: str


@dataclass(frozen=True)
class Deployed:
    """A deployed stack, and how to ask AWS about it. What several checks need is read once."""

    stack: Stack
    region: str
    client: Callable[[str], Any]

    @property
    def is_local(self) -> bool:
        """Whether it runs on an embedded AWS."""
        return bool(self.stack.parameters.get("AwsEndpointUrl"))

    @cached_property
    def resources(self) -> Mapping[str, Resource]:
        """The resources of the stack by their logical ids."""
        return self.resources_of(self.stack.name)

    def resources_of(self, stack: str) -> Mapping[str, Resource]:
        """The resources of a stack of that name or ARN by their logical ids."""
        pages = self.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
        return {
            found["LogicalResourceId"]: Resource(found["ResourceType"], found.get("PhysicalResourceId", ""))
            for page in pages
            for found in page["StackResourceSummaries"]
        }

    def physical_ids(self, kind: str) -> Mapping[str, str]:
        """The physical ids of the stack's resources of one type, by their logical ids."""
        return {name: found.physical_id for name, found in self.resources.items() if found.kind == kind}

    @cached_property
    def functions(self) -> Mapping[str, Mapping[str, Any]]:
        """What Lambda says of each function."""
        client = self.client("lambda")
        return {
            name: client.get_function(FunctionName=self.resources[logical_id].physical_id)
            for name, logical_id in FUNCTIONS.items()
        }

    @cached_property
    def mappings(self) -> Mapping[str, Mapping[str, Any] | None]:
        """What Lambda says of each event source mapping, by its logical id; None if it is gone."""
        client = self.client("lambda")

        def read(uuid: str) -> Mapping[str, Any] | None:
            try:
                return dict(client.get_event_source_mapping(UUID=uuid))
            except ClientError as error:
                if error.response["Error"]["Code"] == "ResourceNotFoundException":
                    return None
                raise

        return {name: read(uuid) for name, uuid in self.physical_ids(MAPPING).items()}


@dataclass(frozen=True, slots=True)
class Check(Generic[F]):
    """One matter: how its facts are read, and what they mean."""

    name: str
    read: Callable[[Deployed], F]
    judge: Callable[[F], list[Finding]]

    def findings(self, deployed: Deployed) -> list[Finding]:
        """What is found; that it could not look, if AWS refuses."""
        try:
            found = self.judge(self.read(deployed))
            return [as_local(each) for each in found] if deployed.is_local else found
        except UnseenError as error:
            return [unseen(str(error))]
        except PynamoDBException as error:
            if not isinstance(error.cause, BotoCoreError | ClientError):
                raise
            return [_not_read(error.cause, deployed)]
        except (BotoCoreError, ClientError) as error:
            return [_not_read(error, deployed)]


def _not_read(error: BotoCoreError | ClientError, deployed: Deployed) -> Finding:
    if not isinstance(error, ClientError):
        return unseen(explain(error) or str(error))
    if action := denied_action(error):
        return unseen(f"you may not {action}", f"use credentials that may, or allow it: {PERMISSIONS}")
    if deployed.is_local:
        return unseen(f"the embedded AWS does not know {error.operation_name}")
    return unseen(explain(error) or str(error))
