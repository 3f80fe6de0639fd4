"""make deploy and make adopt on an embedded AWS of their own: a stack, and one that takes over its state."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from infra.deploy.environment import Environment, write
from infra.local.build import ARCHITECTURE, ROOT, RUNTIME
from infra.local.embedded import EmbeddedAws, embedded_aws

NAME = "bellhop-prod"


@dataclass(frozen=True)
class Operator:
    """Someone with an account, a file for its environment, and a shell."""

    aws: EmbeddedAws
    file: Path

    def make(self, goal: str, *options: str, **changed: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "infra.deploy", goal, "--env", str(self.file), "--yes", *options]
        own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        given = own | self.aws.env | {"AWS_EC2_METADATA_DISABLED": "true"} | changed
        env = {name: value for name, value in given.items() if value}
        return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)

    def client(self, service: str) -> Any:
        session = boto3.Session(
            aws_access_key_id=self.aws.env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.aws.env["AWS_SECRET_ACCESS_KEY"],
            region_name=self.aws.env["AWS_REGION"],
        )
        return session.client(service, endpoint_url=self.aws.endpoint)  # type: ignore[call-overload]

    def stack(self) -> dict[str, Any]:
        [found] = self.client("cloudformation").describe_stacks(StackName=NAME)["Stacks"]
        return dict(found)

    def outputs(self) -> dict[str, str]:
        return {output["OutputKey"]: output["OutputValue"] for output in self.stack()["Outputs"]}

    def delete(self) -> str:
        cloudformation, stack = self.client("cloudformation"), str(self.stack()["StackId"])
        cloudformation.delete_stack(StackName=NAME)
        cloudformation.get_waiter("stack_delete_complete").wait(StackName=stack, WaiterConfig={"Delay": 1})
        return stack


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    with embedded_aws(tmp_path) as aws:
        file = tmp_path / "prod.toml"
        mail = {"MailFrom": "bellhop@tracker.example", "MailIdentity": "tracker.example"}
        here = {"Runtime": RUNTIME, "Architecture": ARCHITECTURE, "AwsEndpointUrl": aws.endpoint}
        write(Environment(file, NAME, parameters=mail | here))
        yield Operator(aws, file)


def test_without_region_or_credentials_nothing_is_deployed(operator: Operator) -> None:
    done = operator.make(
        "deploy", AWS_REGION="", AWS_DEFAULT_REGION="", AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY=""
    )
    assert done.returncode == 1
    assert [line.partition(".")[0] for line in done.stderr.splitlines()] == [
        "No region is set",
        "No AWS credentials are found",
    ]


def test_a_stacks_tables_and_queues_are_taken_over_by_the_next_one(operator: Operator) -> None:
    done = operator.make("deploy")
    assert done.returncode == 0, done.stdout + done.stderr
    first = operator.outputs()
    operator.client("dynamodb").put_item(TableName=first["SecretsTable"], Item={"app_id": {"S": "pager"}})
    operator.client("sqs").send_message(QueueUrl=first["RetriesQueueUrl"], MessageBody="waiting", DelaySeconds=900)
    deleted = operator.delete()

    for goal in (["adopt", "--left-by", deleted], ["deploy"]):
        done = operator.make(*goal)
        assert done.returncode == 0, done.stdout + done.stderr
    assert operator.stack()["StackStatus"] == "UPDATE_COMPLETE"
    second = operator.outputs()
    kept = [name for name in first if name.endswith(("Table", "QueueUrl"))]
    assert {name: second[name] for name in kept} == {name: first[name] for name in kept}
    assert operator.client("dynamodb").scan(TableName=second["SecretsTable"])["Count"] == 1
    queue = operator.client("sqs").get_queue_attributes(QueueUrl=second["RetriesQueueUrl"], AttributeNames=["All"])
    assert queue["Attributes"]["ApproximateNumberOfMessagesDelayed"] == "1"
