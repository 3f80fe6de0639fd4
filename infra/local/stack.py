"""The whole system on the embedded AWS, for the length of a block."""

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3

from infra.local.build import ARCHITECTURE, RUNTIME, SAM, built_template
from infra.local.embedded import EmbeddedAws, embedded_aws
from infra.local.ministack_fixes import apply_fixes
from infra.local.processes import run

NAME = "bellhop"

PARAMETERS: dict[str, str | int] = {
    "MailFrom": "bellhop@tracker.example",
    "MailIdentity": "tracker.example",
    "AllowHttp": "true",
    "AllowPrivateAddresses": "true",
    "AllowedPorts": "any",
    "CacheSeconds": 1,
    "DeliveryDeadlineSeconds": 3,
    "RetryDelaysSeconds": "1,2,3",
    "Runtime": RUNTIME,
    "Architecture": ARCHITECTURE,
}


@dataclass(frozen=True)
class Stack:
    """A deployed stack; `env` is what boto3 and the bellhop command need to find it."""

    name: str
    aws: EmbeddedAws
    outputs: dict[str, str]

    @property
    def endpoint(self) -> str:
        """The URL of the embedded AWS."""
        return self.aws.endpoint

    @property
    def env(self) -> dict[str, str]:
        """The environment variables that a process needs to use the stack."""
        return self.aws.env | {"BELLHOP_STACK": self.name}

    @cached_property
    def session(self) -> boto3.Session:
        """A session with the rights of the stack's operator."""
        return boto3.Session(
            aws_access_key_id=self.aws.env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.aws.env["AWS_SECRET_ACCESS_KEY"],
            region_name=self.aws.env["AWS_REGION"],
        )

    def client(self, service: str) -> Any:
        """A boto3 client."""
        return self.session.client(service, endpoint_url=self.endpoint)  # type: ignore[call-overload]

    def mails(self) -> list[dict[str, Any]]:
        """The mails that SES accepted, oldest first."""
        accounts = self.aws.inspect("ses/messages")["messages"]
        return [mail for mails in accounts.values() for mail in mails]

    def resource(self, logical_id: str) -> str:
        """The physical id of a resource of the template."""
        response = self.client("cloudformation").describe_stack_resource(
            StackName=self.name, LogicalResourceId=logical_id
        )
        return str(response["StackResourceDetail"]["PhysicalResourceId"])


@contextmanager
def deployed_stack(
    parameters: Mapping[str, str | int | None] | None = None,
    host: str = "127.0.0.1",
    on_progress: Callable[[str], None] = lambda _: None,
    in_front: Callable[[str], AbstractContextManager[str]] = nullcontext,
    *,
    keeps_state: bool = False,
) -> Iterator[Stack]:
    """Build, start the embedded AWS and deploy the template with `PARAMETERS` and, over them, `parameters`.

    `on_progress` is called with a few words before each step. `in_front` is given the URL of the embedded AWS and
    yields the one that the functions are to call, such as a proxy's. Any number of stacks may run side by side. At
    the end of the block every process of this one is gone, and its files are being removed. A parameter that is
    None has the template's default. An embedded AWS that `keeps_state` can be restarted.
    """
    on_progress("building the functions")
    template = built_template()
    on_progress("starting the embedded AWS")
    with (
        _scratch_directory() as directory,
        embedded_aws(directory, host, keeps_state=keeps_state) as aws,
        in_front(aws.endpoint) as endpoint,
    ):
        chosen = _chosen({"AwsEndpointUrl": endpoint} | dict(parameters or {}))
        on_progress("deploying template.yaml")
        _deploy(template, aws, chosen)
        stack = Stack(NAME, aws, _outputs(aws))
        apply_fixes(stack)
        stack.client("sesv2").create_email_identity(EmailIdentity=chosen["MailIdentity"])
        yield stack


@contextmanager
def _scratch_directory() -> Iterator[Path]:
    """A directory that is removed by another process: each function process leaves thousands of files there."""
    directory = tempfile.mkdtemp(prefix="bellhop-")
    try:
        yield Path(directory)
    finally:
        # The shell ends at once. The removal goes on, and keeps no pipe open for which somebody would wait.
        remove = ["sh", "-c", 'rm -rf "$1" </dev/null >/dev/null 2>&1 &', "sh", directory]
        subprocess.run(remove, check=True, start_new_session=True)


def _chosen(parameters: Mapping[str, str | int | None]) -> dict[str, str | int]:
    return {name: value for name, value in {**PARAMETERS, **parameters}.items() if value is not None}


def _deploy(template: Path, aws: EmbeddedAws, parameters: Mapping[str, str | int]) -> None:
    command = [str(SAM), "deploy", "--template-file", str(template), "--stack-name", NAME, "--resolve-s3"]
    capabilities = ["--capabilities", "CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
    overrides = [f"{name}={value}" for name, value in parameters.items()]
    run(
        [*command, "--no-confirm-changeset", *capabilities, "--parameter-overrides", *overrides],
        # SAM leaves an empty folder for each function in the temporary directory.
        _without_aws(os.environ) | aws.env | {"SAM_CLI_TELEMETRY": "0", "TMPDIR": str(aws.log.parent)},
        aws.log.with_name("deploy.log"),
        template.parent,
    )


def _without_aws(environ: Mapping[str, str]) -> dict[str, str]:
    # A profile or a token of the user's would replace the embedded AWS's credentials, or mix with them.
    return {name: value for name, value in environ.items() if not name.startswith("AWS_")}


def _outputs(aws: EmbeddedAws) -> dict[str, str]:
    stack = Stack(NAME, aws, {}).client("cloudformation").describe_stacks(StackName=NAME)["Stacks"][0]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
