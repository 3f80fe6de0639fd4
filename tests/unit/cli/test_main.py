import os
import pty
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from infra.cli.commands import publish
from tests.unit.cli.cli_runner import bellhop, succeed

COMMANDS = (
    *("status", "apps", "event", "delivery", "tail"),
    *("apply", "publish", "log", "app", "explain", "ping", "enable", "disable", "replay", "resend", "policy"),
    *("doctor", "receive", "relay", "rotate-secret", "mail", "mail show", "mail resend", "dead-letters"),
    *(f"dead-letters {name}" for name in ("list", "show", "redrive", "delete", "export")),
)

LOADED_BY_HELP = """
import sys
sys.argv = ["bellhop", "--help"]
from infra.cli.main import app
try:
    app()
finally:
    print(*sorted(name for name in sys.modules if "." not in name), file=sys.stderr)
"""

if TYPE_CHECKING:  # a misspelt keyword of a command is a type error: mypy refuses an ignore that is not needed
    publish.run("bellhop", "-", wait=None, skip=0, dry_run=False, as_json=True, as_jsom=True)  # type: ignore[call-arg]


def test_help_says_that_nothing_is_deleted() -> None:
    assert "Never" in succeed("apply", "--help")
    assert "deletes" in succeed("apply", "--help")


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_fits_a_terminal_of_80_columns(command: str) -> None:
    result = bellhop(*command.split(), "--help", columns=80)
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert not any(sign in result.stdout for sign in ("[[", "{", "<str", "<list", "<int"))
    assert not any(line.endswith("-") for line in result.stdout.splitlines())  # a word, broken at its hyphen


@pytest.mark.parametrize("group", ["", "dead-letters", "mail", "delete"])
def test_the_summary_of_every_command_is_whole_at_80_columns(group: str) -> None:
    summaries = bellhop(*group.split(), "--help", columns=80).stdout.partition("Commands:")[2]
    assert summaries
    assert "..." not in summaries


def test_the_version_is_that_of_the_package() -> None:
    assert succeed("--version") == f"bellhop {version('bellhop')}\n"


def test_help_loads_none_of_the_libraries_of_the_commands() -> None:
    run = subprocess.run([sys.executable, "-c", LOADED_BY_HELP], capture_output=True, text=True, check=True)
    loaded = set(run.stderr.split())
    assert "typer" in loaded
    assert loaded & {"boto3", "botocore", "pynamodb", "jinja2", "requests", "ruamel", "jsonschema"} == set()


def test_finding_a_stack_loads_no_library_that_only_the_functions_need() -> None:
    source = "import sys, infra.cli.stack; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert "pynamodb" in loaded
    assert loaded & {"jinja2", "aws_lambda_powertools", "requests", "standardwebhooks"} == set()


def test_the_shell_completes_commands() -> None:
    command = [str(Path(sys.executable).with_name("bellhop"))]
    asked = {"_BELLHOP_COMPLETE": "complete_bash", "COMP_WORDS": "bellhop rec", "COMP_CWORD": "1"}
    run = subprocess.run(command, env=os.environ | asked, capture_output=True, text=True, check=False)
    assert run.stdout.split() == ["receive"]


def test_what_is_misspelt_was_told_in_words_of_the_library() -> None:
    assert "'--outcome': 'foo' is not one of 'delivered'" in bellhop("resend", "--outcome", "foo").stderr


def test_a_misspelt_value_was_told_over_the_edge_of_a_terminal() -> None:
    ours, theirs = pty.openpty()
    command = [str(Path(sys.executable).with_name("bellhop")), "dead-letters", "list", "--queue", "foo"]
    run = subprocess.run(command, env=os.environ | {"COLUMNS": "60"}, stderr=theirs, check=False)
    os.close(theirs)
    lines = os.read(ours, 10_000).decode().splitlines()
    os.close(ours)
    assert run.returncode == 2
    assert lines[-2:] == [
        "Error: Invalid value for '--queue': 'foo' is none of",
        "IssueEvents, Deliveries, Retries, Schedules, Transitions",
    ]


def test_an_option_that_is_nothing_like_it_was_suggested() -> None:
    assert "--reason" not in bellhop("enable", "pager", "--yes").stderr
    assert "--reason" in bellhop("enable", "pager", "--reson", "x").stderr
