"""Someone who deploys and operates a stack on an embedded AWS of their own."""

import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import boto3

from infra.deploy import environment
from infra.local.build import ROOT
from infra.local.embedded import EmbeddedAws

NAME = "bellhop-prod"


@dataclass(frozen=True)
class Operator:
    """Someone with an account, a file for its environment, and a shell."""

    aws: EmbeddedAws
    file: Path

    def set(self, **parameters: str) -> None:
        """Write parameters into the environment's file."""
        found = environment.read(self.file)
        environment.write(replace(found, parameters={**found.parameters, **parameters}))

    def make(self, goal: str, *options: str, **changed: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "infra.deploy", goal, "--env", str(self.file), "--yes", *options]
        return self._run(command, **changed)

    def bellhop(self, *arguments: str, **changed: str) -> "subprocess.CompletedProcess[str]":
        command = [str(Path(sys.executable).with_name("bellhop")), *arguments]
        return self._run(command, BELLHOP_STACK=NAME, **changed)

    def _run(self, command: list[str], **changed: str) -> "subprocess.CompletedProcess[str]":
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
