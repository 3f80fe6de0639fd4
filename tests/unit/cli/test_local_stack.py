import os

import pytest
from botocore.exceptions import EndpointConnectionError
from pynamodb.exceptions import QueryError

from infra.cli import local_stack
from infra.cli.errors import CommandError, explain
from infra.local import running
from tests.unit.cli.cli_runner import refused

RUNNING = {"AWS_ENDPOINT_URL": "http://127.0.0.1:4566", "AWS_ACCESS_KEY_ID": "local", "BELLHOP_STACK": "bellhop"}


def test_the_local_stack_replaces_all_that_the_environment_says_of_aws(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(running, "find", lambda: RUNNING)
    environ = {"AWS_PROFILE": "prod", "AWS_SESSION_TOKEN": "of prod", "BELLHOP_STACK": "local"}
    assert local_stack.enter(environ) == "bellhop"
    assert {name: value for name, value in environ.items() if name.lower() != "no_proxy"} == {
        **RUNNING,
        "BELLHOP_LOCAL": "yes",
    }
    assert capsys.readouterr().err == "local stack, at http://127.0.0.1:4566\n"


def test_a_local_stack_that_has_ended_was_taken_for_a_fault_of_the_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error = QueryError("", EndpointConnectionError(endpoint_url="http://127.0.0.1:4566"))
    assert "check the network" in str(explain(error))
    environ: dict[str, str] = {}
    running.use(environ, RUNNING)
    monkeypatch.setattr(os, "environ", environ)
    assert explain(error) == "the local stack has ended: type `make run` in another terminal"


def test_a_local_stack_that_is_not_up_is_never_looked_for_on_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "find", lambda: None)
    environ = {"AWS_PROFILE": "prod"}
    with pytest.raises(CommandError, match="no local stack is up: type `make run`"):
        local_stack.enter(environ)
    assert environ == {"AWS_PROFILE": "prod"}
    assert "no local stack is up" in refused("apps", "--stack", "local")
