"""dynalite, a second implementation of DynamoDB, as a program of its own for the time of a test session.

`pytest --tables dynalite` has it keep the tables. What a test says about an expression is then what two
implementations make of DynamoDB's documentation, and not only one.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient

from tests.docs.pages import ROOT

FOLDER = ROOT / ".venv-node"  # where `make witness` installs it
UNKNOWN = {
    "TransactWriteItems"
}  # to version 4.0.0: of transactions, moto and the simulations' own are the witnesses
WRITES = {"PutItem", "UpdateItem", "BatchWriteItem"}

# It listens on a free port, says on which, and ends with its standard input: when the tests end, in whatever way.
PROGRAM = """
process.stdin.resume().on("end", () => process.exit());
const instant = { createTableMs: 0, deleteTableMs: 0, updateTableMs: 0 };
const server = require("dynalite")(instant).listen(0, "127.0.0.1", () => console.log(server.address().port));
"""


@dataclass(frozen=True)
class Dynalite:
    """A running one. `written`: the tables that may have items."""

    url: str
    client: Any
    written: set[str] = field(default_factory=set)

    def witness_calls(self, patch: pytest.MonkeyPatch) -> None:
        """Have clients send it their calls; skip a test that needs an operation which it does not have."""
        call = vars(BaseClient)["_make_api_call"]

        def witnessed_call(client: Any, operation: str, parameters: dict[str, Any]) -> Any:
            if operation in UNKNOWN:
                pytest.skip(f"dynalite has no {operation}")
            if operation in WRITES:
                self.written.update(parameters.get("RequestItems", [parameters.get("TableName")]))
            return call(client, operation, parameters)

        patch.setenv("AWS_ENDPOINT_URL_DYNAMODB", self.url)
        patch.setattr(BaseClient, "_make_api_call", witnessed_call)

    def await_tables(self) -> None:
        """Return when every table can be used, which takes a moment after it was made."""
        for name in self.client.list_tables()["TableNames"]:
            while self.client.describe_table(TableName=name)["Table"]["TableStatus"] != "ACTIVE":
                pass

    def clear(self) -> None:
        """Delete every item of every table."""
        for name in self.written & {*self.client.list_tables()["TableNames"]}:
            keys = [
                key["AttributeName"] for key in self.client.describe_table(TableName=name)["Table"]["KeySchema"]
            ]
            for page in self.client.get_paginator("scan").paginate(TableName=name):
                for item in page["Items"]:
                    self.client.delete_item(TableName=name, Key={key: item[key] for key in keys})
        self.written.clear()


@contextmanager
def running() -> Iterator[Dynalite]:
    """Run it for as long as the block lasts.

    Raises:
        OSError: there is no Node.js, or `make witness` has not installed dynalite.
    """
    command = ["node", "-e", PROGRAM]
    with subprocess.Popen(
        command, cwd=FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        port = program.stdout.readline().strip() if program.stdout else ""
        if not port:
            raise OSError("dynalite did not start; its message is above")
        url = f"http://127.0.0.1:{port}"
        session = boto3.Session("test", "test", region_name="eu-west-1")
        yield Dynalite(url, session.client("dynamodb", endpoint_url=url))
