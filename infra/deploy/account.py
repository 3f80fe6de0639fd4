"""The AWS account that a deployment goes to: whether it can be reached, and what stack is there."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ProfileNotFound

from infra.deploy.environment import Environment
from infra.deploy.errors import RefusedError

# Nobody waits long to be refused.
QUICKLY = Config(connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 2})
ARN_COLONS = 5
NOTHING_YET = "REVIEW_IN_PROGRESS"  # a stack of which there is only a change set
DELETE = "aws cloudformation delete-stack --stack-name {stack} --region {region}"
STUCK = {
    "ROLLBACK_COMPLETE": "its first deployment failed, and nothing of it is left. Delete it: " + DELETE,
    "ROLLBACK_FAILED": "its first deployment failed. Delete it: " + DELETE,
    "DELETE_FAILED": "it could not be deleted. Delete it again: " + DELETE,
    "UPDATE_ROLLBACK_FAILED": "a roll-back failed. Remove its cause, then: "
    "aws cloudformation continue-update-rollback --stack-name {stack} --region {region}",
}


@dataclass(frozen=True)
class Account:
    """An account and a region, as the caller's credentials reach them."""

    number: str
    caller: str
    region: str
    client: Callable[[str], Any]


@dataclass(frozen=True)
class DeployedStack:
    """A stack that is there already."""

    status: str
    parameters: dict[str, str] = field(default_factory=dict)


def connect(environment: Environment) -> Account:
    """The account that the credentials of this shell belong to.

    Raises:
        RefusedError: there is no region, there are no credentials, AWS refuses them, or it is another account.
    """
    try:
        session = boto3.Session(region_name=environment.region or None)
        has_credentials = session.get_credentials() is not None
    except (ProfileNotFound, BotoCoreError) as error:
        raise RefusedError(f"{error}. Name a profile that exists: export AWS_PROFILE=...") from None
    missing = [] if session.region_name else [_no_region(environment)]
    if not has_credentials:
        missing.append(
            "No AWS credentials are found. Type aws sso login or aws configure, or export AWS_PROFILE=..."
        )
    if missing:
        raise RefusedError("\n".join(missing))
    return _identify(session, environment)


def _no_region(environment: Environment) -> str:
    way_out = f'Write region = "eu-west-1" into {environment.path}, or export AWS_DEFAULT_REGION=eu-west-1'
    return f"No region is set. {way_out}"


def _identify(session: boto3.Session, environment: Environment) -> Account:
    try:
        identity = session.client("sts", config=QUICKLY).get_caller_identity()
    except ClientError as error:
        raise RefusedError(
            f"AWS refuses the credentials: {error.response['Error'].get('Message', error)} "
            "Renew them: aws sso login, or aws configure."
        ) from None
    except BotoCoreError as error:
        raise RefusedError(f"AWS cannot be reached: {error} Is the region {session.region_name} right?") from None
    if environment.account and environment.account != identity["Account"]:
        raise RefusedError(
            f"The credentials are of account {identity['Account']}, but {environment.path} is for "
            f"{environment.account}. Take that account's: export AWS_PROFILE=..."
        )

    def client(service: str) -> Any:
        return session.client(service, config=QUICKLY)  # type: ignore[call-overload]

    return Account(identity["Account"], identity["Arn"], session.region_name, client)


def find_stack(account: Account, name: str) -> DeployedStack | None:
    """The stack of that name, if it has been deployed.

    Raises:
        RefusedError: the credentials may not look.
    """
    try:
        [found] = account.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError":  # CloudFormation's word for "does not exist"
            return None
        raise RefusedError(f"The stack {name} cannot be looked at: {error}") from None
    values = {p["ParameterKey"]: p.get("ParameterValue", "") for p in found.get("Parameters", [])}
    return DeployedStack(found["StackStatus"], values)


def stuck(stack: DeployedStack | None, name: str, region: str) -> list[str]:
    """Why CloudFormation would refuse to update the stack."""
    if stack is None or stack.status == NOTHING_YET:
        return []
    if stack.status.endswith("IN_PROGRESS"):
        return [f"The stack {name} is {stack.status}: wait until that has ended, then type the same again."]
    if why := STUCK.get(stack.status):
        return [f"The stack {name} is {stack.status}: {why.format(stack=name, region=region)}"]
    return []


def missing_bus(account: Account, bus: str) -> list[str]:
    """Why Bellhop's events could not be published. A caller who may not look is not refused."""
    try:
        account.client("events").describe_event_bus(Name=bus)
    except ClientError as error:
        if error.response["Error"]["Code"] == "ResourceNotFoundException":
            create = f"aws events create-event-bus --name {bus} --region {account.region}"
            return [f"EventBusName={bus} does not exist in {account.region}. Create it: {create}"]
    return []


def missing_topic(account: Account, arn: str) -> list[str]:
    """Why alarms would tell nobody. A caller who may not look is not refused."""
    if not arn:
        return []
    region = arn.split(":")[3] if arn.count(":") >= ARN_COLONS else ""
    if region != account.region:
        return [f"AlarmTopicArn={arn} is no topic in {account.region}, where the alarms are: name one that is."]
    try:
        account.client("sns").get_topic_attributes(TopicArn=arn)
    except ClientError as error:
        if error.response["Error"]["Code"] in {"NotFound", "NotFoundException"}:
            return [f"AlarmTopicArn={arn} does not exist. Create it with aws sns create-topic, or leave it out."]
    return []
