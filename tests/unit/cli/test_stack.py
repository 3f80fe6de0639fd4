import re

import pytest

from infra.cli import local_stack, stack
from infra.cli.options import naming_stack
from tests.support.fakes import app, organization
from tests.unit.cli.cli_runner import EXAMPLE, CloudFormation, bellhop, refused, succeed

pytestmark = pytest.mark.usefixtures("cloudformation")


def test_a_stack_that_is_not_there_or_not_ready_is_an_error_with_the_way_out(
    cloudformation: CloudFormation,
) -> None:
    assert "no stack 'other' at region eu-west-1: deploy it with `make deploy`" in refused(
        "apps", "--stack", "other"
    )
    del cloudformation.outputs["AuditTable"]
    assert "has no output AuditTable" in refused("apps")


def test_a_stack_from_before_there_were_these_queues_is_named(cloudformation: CloudFormation) -> None:
    organization().save()
    del cloudformation.outputs[stack.TRANSITIONS_QUEUE]
    assert "has no output TransitionsQueueUrl" in refused("enable", "pager")


@pytest.mark.parametrize("name", ["DashboardUrl", "UnsubscribeUrl"])
@pytest.mark.parametrize("url", ["javascript:alert(1)", "ftp://tracker.example/{app}", "tracker.example"])
def test_a_link_in_mail_that_is_no_web_page_is_refused(
    cloudformation: CloudFormation, name: str, url: str
) -> None:
    organization().save()
    app().save()
    cloudformation.parameters[name] = url
    assert f"{name} of stack 'bellhop' is" in refused("mail", "show", "pager")


@pytest.mark.parametrize(
    "typed",
    [
        ("apps",),
        ("app", "deploy-bot"),
        ("explain", "deploy-bot"),
        ("log", "deploy-bot", "--since", "1h"),
        ("disable", "deploy-bot", "--reason", "a try", "--yes"),
        ("enable", "deploy-bot"),
        ("replay", "deploy-bot", "--stop"),
        ("rotate-secret", "deploy-bot"),
    ],
)
def test_what_to_type_next_names_the_stack_that_was_named(
    cloudformation: CloudFormation, typed: tuple[str, ...]
) -> None:
    cloudformation.name = "staging"
    named = ("--stack", "staging")
    assert "Next: bellhop apps --stack staging" in bellhop("apply", EXAMPLE, "--yes", *named).stdout
    result = bellhop(*typed, *named)
    assert result.exit_code == 0, result.output
    commands = re.findall(r"bellhop [^;.\n]*", result.stdout)
    assert commands
    assert all("--stack staging" in command for command in commands), commands


def test_what_to_type_next_names_no_stack_that_is_found_without_being_named(
    cloudformation: CloudFormation, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stack.find("bellhop").next("apps", "doctor") == "Next: bellhop apps; bellhop doctor"
    cloudformation.name = "staging"
    monkeypatch.setenv("BELLHOP_STACK", "staging")
    assert stack.find("staging").command("apps") == "bellhop apps"
    cloudformation.name = "bellhop"
    assert stack.find("bellhop").command("apps") == "bellhop apps --stack bellhop"


def test_what_to_type_next_calls_the_local_stack_local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_stack, "enter", lambda _: "bellhop")
    assert stack.find("local").command("apps") == "bellhop apps --stack local"


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (("app", "nobody"), "`bellhop apps --stack staging` lists them"),
        (("resend", "--stop", "nothing"), "`bellhop status --stack staging` shows those that go on"),
        (("mail", "show", "deploy-bot"), "`bellhop app deploy-bot --stack staging` has its audit"),
    ],
)
def test_an_error_says_what_to_type_with_the_stack_that_was_named(
    cloudformation: CloudFormation, typed: tuple[str, ...], told: str
) -> None:
    succeed("apply", EXAMPLE, "--yes")
    cloudformation.name = "staging"
    result = bellhop(*typed, "--stack", "staging")
    assert result.exit_code != 0
    assert told in result.stderr
    cloudformation.name = "bellhop"
    assert told.replace(" --stack staging", "") in bellhop(*typed).stderr


def test_a_command_that_asks_no_stack_is_told_without_one() -> None:
    assert naming_stack("`bellhop example` lists them", " --stack local") == "`bellhop example` lists them"
