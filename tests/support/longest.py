"""The longest values that the schemas and the code allow, and AWS as it would check a call that carries them."""

import random
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient

from tests.support.aws_limits import faults, item_faults

APP = "a" * 64
ORGANIZATION, INSTALLATION, EVENT = "o" * 64, "i" * 64, "e" * 64
PROJECT = "\U0001f600" * 64
DOMAIN = ".".join(["d" * 60, "d" * 60, "d" * 59, "example"])
OWNER = f"{'l' * 64}@{DOMAIN}"
NAME = "\u00df" * 10_000  # of an app or an organisation, which no schema bounds
URL = f"https://hooks.example/{'u' * 8000}"
GENERATION = 99_999_999  # ids have eight digits for it: an app switched off and on a million times a year
DELIVERY = "msg_" + "f" * 32
NUMBER = 10**9
RESPONSE = b"\xff" * 1024  # the first KiB of a response, of which decoding makes three
# An event that does not become smaller when it is compressed.
NOISE = "".join(random.Random(1).choices([chr(c) for c in range(0x20, 0x7F) if chr(c) not in '"\\'], k=261_000))

ARN = "arn:aws-us-gov:{}:us-gov-west-1:123456789012:{}"
ROLE = f"arn:aws-us-gov:iam::123456789012:role/{'r' * 64}"
QUEUE_ARN = ARN.format("sqs", "q" * 80)
QUEUE_URL = f"https://sqs.us-gov-west-1.amazonaws.com/123456789012/{'q' * 80}"
GROUP = "g" * 64
BUS = "b" * 256


@dataclass
class Calls:
    """The calls that were made, as `service:Operation`, and why AWS would have refused them."""

    made: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)

    def check(self, client: Any, operation: str, parameters: dict[str, Any]) -> None:
        """Note a call."""
        model = client.meta.service_model.operation_model(operation)
        self.made.add(f"{client.meta.service_model.service_name}:{operation}")
        self.faults += [f"{operation}: {fault}" for fault in faults(model, parameters)]

    def check_tables(self) -> None:
        """Note what DynamoDB would not keep of what is in the tables."""
        client = boto3.client("dynamodb")
        for name in client.list_tables()["TableNames"]:
            table = client.describe_table(TableName=name)["Table"]
            schemas = [table["KeySchema"], *(i["KeySchema"] for i in table.get("GlobalSecondaryIndexes", []))]
            keys = [(key["KeyType"], key["AttributeName"]) for schema in schemas for key in schema]
            for item in client.scan(TableName=name)["Items"]:
                hashes, ranges = ({name for kind, name in keys if kind == of} for of in ("HASH", "RANGE"))
                self.faults += [f"{name}: {fault}" for fault in item_faults(item, hashes, ranges)]


def _taken(parameters: dict[str, Any]) -> dict[str, Any]:
    return {"Successful": [{"Id": entry["Id"]} for entry in parameters["Entries"]]}


# What the services respond that are not in memory.
RESPONSES: dict[str, Any] = {
    "SendMessage": lambda _: {},
    "SendMessageBatch": _taken,
    "CreateSchedule": lambda _: {},
    "PutEvents": lambda _: {"FailedEntryCount": 0},
    "SendEmail": lambda _: {"MessageId": "id"},
}


def checked(patch: pytest.MonkeyPatch) -> Calls:
    """Check every call from now on; DynamoDB alone is in memory."""
    made, call = Calls(), vars(BaseClient)["_make_api_call"]

    def checked_call(client: Any, operation: str, parameters: dict[str, Any]) -> Any:
        made.check(client, operation, parameters)
        if operation in RESPONSES:
            return RESPONSES[operation](parameters)
        return call(client, operation, parameters)

    patch.setattr(BaseClient, "_make_api_call", checked_call)
    return made
