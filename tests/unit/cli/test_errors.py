import io
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, NoRegionError
from botocore.parsers import ResponseParserError
from pynamodb.exceptions import GetError
from typer.testing import CliRunner

from bellhop.newer import UnknownKindError
from bellhop.registry import App
from infra.cli import errors, stack
from infra.cli.errors import CommandError
from infra.cli.main import app
from tests.support.damage import damage
from tests.unit.cli.cli_runner import EXAMPLE, refused, succeed


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (NoCredentialsError(), "Unable to locate credentials: set AWS_PROFILE"),
        (NoRegionError(), "set AWS_DEFAULT_REGION to a region such as eu-west-1"),
        (EndpointConnectionError(endpoint_url="http://x"), "check the network, AWS_DEFAULT_REGION"),
        (ResponseParserError("<html>"), "what responds there is not AWS: correct AWS_ENDPOINT_URL"),
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


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"AWS_ENDPOINT_URL": "nonsense"}, "Invalid endpoint: nonsense: correct AWS_ENDPOINT_URL, a URL such as"),
        ({"AWS_ENDPOINT_URL": "http://[::1"}, "correct AWS_ENDPOINT_URL"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "Could not connect to the endpoint URL"),
        ({"AWS_ENDPOINT_URL": "ftp://127.0.0.1:1"}, "AWS_ENDPOINT_URL"),
        ({"AWS_DEFAULT_REGION": ""}, "AWS_DEFAULT_REGION"),
        ({"AWS_DEFAULT_REGION": "a b"}, "AWS_DEFAULT_REGION"),
        ({"AWS_DEFAULT_REGION": None}, "You must specify a region: set AWS_DEFAULT_REGION"),
        ({"AWS_ACCESS_KEY_ID": None}, "AWS_SECRET_ACCESS_KEY"),
        ({"AWS_PROFILE": "nobody"}, "The config profile (nobody) could not be found: set AWS_PROFILE"),
        ({"BELLHOP_STACK": "no name!"}, "AWS_ENDPOINT_URL"),
    ],
)
def test_a_wrong_environment_is_one_sentence_with_the_way_out(
    environ: dict[str, str | None], expected: str, tmp_path: Path
) -> None:
    given = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_DEFAULT_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "a"}
    given |= {"AWS_SECRET_ACCESS_KEY": "b", "AWS_EC2_METADATA_DISABLED": "true", "HOME": str(tmp_path)}
    env = {name: value for name, value in (given | environ).items() if value is not None}
    command = [sys.executable, "-c", "from infra.cli.main import app; app()", "apps"]
    run = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    [line] = run.stderr.splitlines()
    assert line.startswith("error: ")
    assert expected in line


def test_a_bug_of_ours_is_not_explained_away() -> None:
    assert errors.explain(KeyError("x")) is None


def test_on_a_terminal_an_error_is_broken_between_words(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr(written, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", written)
    monkeypatch.setenv("COLUMNS", "40")
    with pytest.raises(typer.Exit):
        errors.fail(CommandError("its endpoint is paused until a trial finds that it responds well again"))
    lines = written.getvalue().splitlines()
    assert len(lines) == 2
    assert max(map(len, lines)) <= 40


@pytest.mark.usefixtures("cloudformation")
def test_an_export_without_an_item_that_cannot_be_read_would_lack_it_so_there_is_none() -> None:
    succeed("apply", EXAMPLE, "--yes")
    damage(App, "pager", "headers", {"S": "{secret"})
    said = refused("export")
    assert said.startswith("error: a stored item is damaged: pager in the table apps cannot be read: Expecting")
    assert "secret" not in said
    assert "pager in the table apps" in refused("app", "pager")
