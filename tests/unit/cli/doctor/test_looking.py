import pytest
from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError
from pynamodb.exceptions import GetError

from infra.cli.doctor.findings import UNSEEN, Finding, ok
from infra.cli.doctor.looking import Check, Deployed
from tests.unit.cli.doctor.fake_deployment import cloudformation, deployed
from tests.unit.deployment.fake_account import refusal

DENIED = refusal("AccessDenied", "User: arn is not authorized to perform: cloudformation:ListStackResources on x")


def found(error: Exception, stack: Deployed) -> Finding:
    def read(_: Deployed) -> None:
        raise error

    [finding] = Check("any", read, lambda _: [ok("well")]).findings(stack)
    assert finding.state == UNSEEN
    return finding


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (DENIED, "you may not cloudformation:ListStackResources"),
        (refusal("AuthorizationError"), "you may not Operation"),
        (refusal("Throttling", "slow down"), "AWS refused Operation: Throttling: slow down"),
        (EndpointConnectionError(endpoint_url="https://x"), "check the network"),
    ],
)
def test_what_keeps_a_check_from_looking_is_said_in_its_line(
    error: ClientError | BotoCoreError, said: str
) -> None:
    assert said in found(error, deployed()).text


def test_what_keeps_a_check_from_a_table_is_said_alike() -> None:
    denied = refusal("AccessDeniedException", "User: arn is not authorized to perform: dynamodb:BatchGetItem on x")
    assert found(GetError(cause=denied), deployed()).text == "you may not dynamodb:BatchGetItem"
    with pytest.raises(GetError):
        found(GetError("a mistake of ours"), deployed())


def test_what_was_denied_is_in_the_policy_of_an_operator() -> None:
    assert "docs/permissions.md" in found(DENIED, deployed()).remedy


def test_what_the_embedded_aws_does_not_know_is_skipped() -> None:
    local = deployed({"AwsEndpointUrl": "http://127.0.0.1:4566"})
    assert found(refusal("400", ""), local).text == "the embedded AWS does not know Operation"
    assert found(DENIED, local).text == "you may not cloudformation:ListStackResources"


def test_a_mistake_of_ours_is_no_finding() -> None:
    with pytest.raises(KeyError):
        found(KeyError("AccountLimit"), deployed())


def test_without_the_right_to_list_the_stack_every_check_that_needs_it_says_so() -> None:
    stack = deployed(cloudformation=cloudformation(bellhop=DENIED))
    for _ in range(2):
        with pytest.raises(ClientError):
            stack.resources  # noqa: B018 - a refusal is not remembered
