"""A deployment that AWS would refuse is refused before anything is asked or built."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError, ProfileNotFound

from infra.deploy.account import DeployedStack, connect, find_stack, missing_bus, missing_topic, stuck
from infra.deploy.environment import Environment
from infra.deploy.errors import RefusedError
from tests.unit.deployment.fake_account import NUMBER, FakeService, account, refusal, stack

PROD = Environment(Path("/etc/prod.toml"), "bellhop-prod")
IDENTITY = {"Account": NUMBER, "Arn": f"arn:aws:iam::{NUMBER}:user/ada"}


class FakeSession:
    """A session as the environment makes it: `made` takes the place of the variables and files."""

    region: str | None = "eu-west-1"
    credentials: object | None = object()
    sts = FakeService(get_caller_identity=IDENTITY)

    def __init__(self, region_name: str | None) -> None:
        self.region_name = region_name or self.region

    def get_credentials(self) -> object | None:
        return self.credentials

    def client(self, service: str, config: object) -> Any:
        return self.sts if service == "sts" else service


@pytest.fixture(autouse=True)
def session(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FakeSession]]:
    class Session(FakeSession):
        """One test's."""

    monkeypatch.setattr(boto3, "Session", Session)
    return Session  # type: ignore[return-value]


def test_an_account_that_can_be_reached_is_named(session: type[FakeSession]) -> None:
    found = connect(PROD)
    assert (found.number, found.region, found.client("events")) == (NUMBER, "eu-west-1", "events")


def test_without_region_and_credentials_both_sentences_say_what_to_type(session: type[FakeSession]) -> None:
    session.region = session.credentials = None
    with pytest.raises(RefusedError) as refused:
        connect(PROD)
    no_region, no_credentials = str(refused.value).splitlines()
    assert 'Write region = "eu-west-1" into /etc/prod.toml' in no_region
    assert "Type aws sso login or aws configure" in no_credentials


def test_the_region_of_the_environments_file_is_enough(session: type[FakeSession]) -> None:
    session.region = None
    assert connect(Environment(PROD.path, PROD.stack, "eu-central-1")).region == "eu-central-1"


def test_a_profile_that_does_not_exist_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise ProfileNotFound(profile="nix")

    monkeypatch.setattr(boto3, "Session", fail)
    with pytest.raises(RefusedError, match=r"nix.*export AWS_PROFILE"):
        connect(PROD)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (refusal("ExpiredToken", "The token has expired."), "The token has expired. Renew them: aws sso login"),
        (EndpointConnectionError(endpoint_url="https://sts"), "Is the region eu-west-1 right?"),
    ],
)
def test_credentials_that_do_not_work_are_refused(
    session: type[FakeSession], error: Exception, sentence: str
) -> None:
    session.sts = FakeService(get_caller_identity=error)
    with pytest.raises(RefusedError, match=sentence.replace("?", r"\?")):
        connect(PROD)


def test_credentials_of_another_account_than_the_files_are_refused() -> None:
    with pytest.raises(RefusedError, match=r"are of account 123456789012, but /etc/prod.toml is for 999999999999"):
        connect(Environment(PROD.path, PROD.stack, account="999999999999"))


def test_a_stack_is_found_with_its_parameters() -> None:
    found = find_stack(account(cloudformation=stack("CREATE_COMPLETE", CacheSeconds="5")), "bellhop")
    assert found == DeployedStack("CREATE_COMPLETE", {"CacheSeconds": "5"})


def test_a_stack_that_is_not_there_is_none() -> None:
    service = FakeService(describe_stacks=refusal("ValidationError"))
    assert find_stack(account(cloudformation=service), "bellhop") is None


def test_who_may_not_look_at_stacks_is_refused() -> None:
    service = FakeService(describe_stacks=refusal("AccessDenied"))
    with pytest.raises(RefusedError, match="cannot be looked at"):
        find_stack(account(cloudformation=service), "bellhop")


@pytest.mark.parametrize(
    ("status", "way_out"),
    [
        ("ROLLBACK_COMPLETE", "aws cloudformation delete-stack --stack-name bellhop --region eu-west-1"),
        ("DELETE_FAILED", "aws cloudformation delete-stack --stack-name bellhop --region eu-west-1"),
        ("UPDATE_ROLLBACK_FAILED", "aws cloudformation continue-update-rollback --stack-name bellhop"),
        ("UPDATE_IN_PROGRESS", "wait until that has ended"),
        ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "wait until that has ended"),
    ],
)
def test_a_stack_that_cannot_be_updated_is_refused_with_the_way_out(status: str, way_out: str) -> None:
    [sentence] = stuck(DeployedStack(status), "bellhop", "eu-west-1")
    assert way_out in sentence


@pytest.mark.parametrize(
    "status", ["CREATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE", "REVIEW_IN_PROGRESS"]
)
def test_a_stack_that_can_be_updated_is_not_refused(status: str) -> None:
    assert stuck(DeployedStack(status), "bellhop", "eu-west-1") == []
    assert stuck(None, "bellhop", "eu-west-1") == []


def test_a_bus_that_does_not_exist_is_refused_and_one_that_may_not_be_looked_at_is_not() -> None:
    missing = FakeService(describe_event_bus=refusal("ResourceNotFoundException"))
    [sentence] = missing_bus(account(events=missing), "ours")
    assert "aws events create-event-bus --name ours --region eu-west-1" in sentence
    hidden = FakeService(describe_event_bus=refusal("AccessDeniedException"))
    assert missing_bus(account(events=hidden), "ours") == []
    assert missing_bus(account(events=FakeService(describe_event_bus={})), "ours") == []


TOPIC = "arn:aws:sns:eu-west-1:123456789012:alarms"


def test_a_topic_that_does_not_exist_is_refused_and_one_that_may_not_be_looked_at_is_not() -> None:
    missing = FakeService(get_topic_attributes=refusal("NotFound"))
    [sentence] = missing_topic(account(sns=missing), TOPIC)
    assert "does not exist. Create it with aws sns create-topic" in sentence
    hidden = FakeService(get_topic_attributes=refusal("AuthorizationError"))
    assert missing_topic(account(sns=hidden), TOPIC) == []
    assert missing_topic(account(sns=FakeService(get_topic_attributes={})), TOPIC) == []
    assert missing_topic(account(), "") == []


@pytest.mark.parametrize("arn", ["alarms", "arn:aws:sns:us-east-1:123456789012:alarms"])
def test_a_topic_where_the_alarms_are_not_is_refused(arn: str) -> None:
    [sentence] = missing_topic(account(), arn)
    assert "is no topic in eu-west-1" in sentence
