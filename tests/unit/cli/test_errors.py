import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, NoRegionError
from pynamodb.exceptions import GetError
from typer.testing import CliRunner

from bellhop.newer import UnknownKindError
from infra.cli import errors, stack
from infra.cli.main import app


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (NoCredentialsError(), "Unable to locate credentials: set AWS_PROFILE"),
        (NoRegionError(), "set AWS_REGION"),
        (EndpointConnectionError(endpoint_url="http://x"), "check the network, AWS_REGION"),
        (ClientError({"Error": {"Code": "ExpiredToken"}}, "Query"), "AWS refused the credentials"),
        (ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "Query"), "that may call Query"),
        (ClientError({"Error": {"Code": "Odd", "Message": "x"}}, "Query"), "AWS refused Query: Odd: x"),
        (GetError("m", NoCredentialsError()), "set AWS_PROFILE"),
        (GetError("odd"), "try again"),
        (UnknownKindError("record in the state 'x'"), "of a newer version: use the command of that version"),
    ],
)
def test_a_fault_of_aws_is_explained_without_a_traceback(
    error: Exception, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(name: str) -> None:
        raise error

    monkeypatch.setattr(stack, "find", fail)
    result = CliRunner().invoke(app, ["apps"])
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert expected in result.stderr


def test_a_bug_of_ours_is_not_explained_away() -> None:
    assert errors.explain(KeyError("x")) is None
