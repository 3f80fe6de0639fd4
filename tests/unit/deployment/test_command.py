"""make deploy, make build and make adopt: what is checked when, and what is handed to sam."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from infra.deploy import __main__ as command
from infra.deploy import adoption, environment, parameters
from infra.deploy.account import DeployedStack
from infra.deploy.environment import Environment
from infra.deploy.target import Target
from infra.local.processes import LocalError
from tests.unit.deployment.fake_account import NUMBER, REGION, FakeService, account

DECLARED = parameters.declared(command.TEMPLATE)
MAIL = '[parameters]\nMailFrom = "bellhop@tracker.example"\nMailIdentity = "tracker.example"\n'


class Deploying:
    """One `make`: the machine and the account that it finds, and what it does to them."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "prod.toml"
        self.template = directory / "bundle" / "template.yaml"
        self.account = account(events=FakeService(describe_event_bus={}))
        self.stack: DeployedStack | None = None
        self.terminal = True
        self.typed: list[str] = []
        self.python: Path | None = Path("/usr/bin/python3.13")
        self.connected = False
        self.built: list[Target] = []
        self.sam: list[str] = []

    def make(self, goal: str, *options: str) -> int:
        return command.main([goal, "--env", str(self.path), *options])

    def connect(self, _: Environment) -> Any:
        self.connected = True
        return self.account

    def build(self, target: Target) -> Path:
        self.built.append(target)
        return self.template

    def run(self, arguments: Sequence[str], **_: object) -> "subprocess.CompletedProcess[str]":
        self.sam = list(arguments)
        return subprocess.CompletedProcess(arguments, 0)


@pytest.fixture
def deploying(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deploying:
    made = Deploying(tmp_path)
    monkeypatch.setattr(command, "connect", made.connect)
    monkeypatch.setattr(command, "find_stack", lambda *_: made.stack)
    monkeypatch.setattr(command, "find_interpreter", lambda *_: made.python)
    monkeypatch.setattr(command, "built_template", made.build)
    monkeypatch.setattr(command, "SAMCONFIG", tmp_path / "samconfig.toml")
    monkeypatch.setattr(subprocess, "run", made.run)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: made.terminal, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: made.typed.pop(0))
    return made


def test_what_is_built_and_what_is_deployed_come_from_the_same_place(deploying: Deploying) -> None:
    # Once, neither Architecture at sam's prompt nor Runtime in samconfig.toml reached the build.
    deploying.path.write_text(MAIL + 'Architecture = "x86_64"\nRuntime = "python3.12"\n')
    assert deploying.make("deploy", "--yes") == 0
    assert [str(target) for target in deploying.built] == ["python3.12 on x86_64"]
    assert 'Architecture="x86_64"' in deploying.sam
    assert 'Runtime="python3.12"' in deploying.sam


def test_every_parameter_is_handed_over_so_that_a_changed_default_reaches_the_stack(deploying: Deploying) -> None:
    deploying.path.write_text(MAIL)
    deploying.make("deploy", "--yes")
    given = deploying.sam[deploying.sam.index("--parameter-overrides") + 1 :]
    assert {override.partition("=")[0] for override in given} == set(DECLARED)
    assert 'AlarmTopicArn=""' in given


def test_the_stack_is_that_of_the_environment_and_sam_asks_unless_it_is_told_not_to(deploying: Deploying) -> None:
    deploying.path.write_text(MAIL)
    deploying.make("deploy")
    assert deploying.sam[deploying.sam.index("--stack-name") + 1] == "bellhop-prod"
    assert deploying.sam[deploying.sam.index("--region") + 1] == REGION
    assert "--confirm-changeset" in deploying.sam
    deploying.make("deploy", "--yes")
    assert "--no-confirm-changeset" in deploying.sam


def test_a_contradiction_is_refused_before_the_network_is_touched(
    deploying: Deploying, capsys: pytest.CaptureFixture[str]
) -> None:
    deploying.path.write_text(MAIL + "DeliveryDeadlineSeconds = 30\n")
    assert deploying.make("deploy") == 1
    assert "set DeliverTimeoutSeconds to 45" in capsys.readouterr().err
    assert not deploying.connected
    assert not deploying.built


def test_without_the_runtimes_python_nothing_is_asked_or_built(
    deploying: Deploying, capsys: pytest.CaptureFixture[str]
) -> None:
    deploying.python = None
    assert deploying.make("deploy") == 1
    assert "no python3.13 with pip runs here" in capsys.readouterr().err
    assert not deploying.built
    assert not deploying.path.exists()


def test_without_a_terminal_it_says_how_not_to_be_asked(
    deploying: Deploying, capsys: pytest.CaptureFixture[str]
) -> None:
    deploying.terminal = False
    deploying.path.write_text(MAIL)
    assert deploying.make("deploy") == 1
    assert "make deploy YES=1" in capsys.readouterr().err


def test_a_new_stack_is_asked_only_for_what_has_no_default_and_what_was_typed_is_kept(
    deploying: Deploying,
) -> None:
    deploying.typed = ["nobody", "bellhop@tracker.example", "tracker.example"]
    assert deploying.make("deploy") == 0
    found = environment.read(deploying.path)
    assert found.parameters == {"MailFrom": "bellhop@tracker.example", "MailIdentity": "tracker.example"}
    assert (found.stack, found.region, found.account) == ("bellhop-prod", REGION, NUMBER)


def test_what_was_typed_is_kept_even_if_it_is_refused(
    deploying: Deploying, capsys: pytest.CaptureFixture[str]
) -> None:
    deploying.typed = ["bellhop@tracker.example", "other.example"]
    assert deploying.make("deploy") == 1
    assert "does not cover" in capsys.readouterr().err
    assert environment.read(deploying.path).parameters["MailIdentity"] == "other.example"


def test_without_a_terminal_a_new_stacks_file_is_shown(
    deploying: Deploying, capsys: pytest.CaptureFixture[str]
) -> None:
    deploying.terminal = False
    assert deploying.make("deploy", "--yes") == 1
    assert 'MailIdentity = "..."' in capsys.readouterr().err


def test_a_stack_whose_file_is_lost_keeps_its_parameters(
    deploying: Deploying, capsys: pytest.CaptureFixture[str]
) -> None:
    deploying.stack = DeployedStack(
        "UPDATE_COMPLETE",
        {
            "MailFrom": "a@b.example",
            "MailIdentity": "b.example",
            "CacheSeconds": "5",
            "Gone": "1",
            "LogLevel": "INFO",
        },
    )
    assert deploying.make("deploy", "--yes") == 0
    kept = {"MailFrom": "a@b.example", "MailIdentity": "b.example", "CacheSeconds": "5"}
    assert environment.read(deploying.path).parameters == kept
    assert 'CacheSeconds="5"' in deploying.sam


def test_what_changes_in_the_parameters_is_shown(deploying: Deploying, capsys: pytest.CaptureFixture[str]) -> None:
    deploying.path.write_text(MAIL)
    deploying.stack = DeployedStack("UPDATE_COMPLETE", {"CacheSeconds": "5"})
    deploying.make("deploy", "--yes")
    assert "  CacheSeconds: 5 -> 60\n" in capsys.readouterr().out


def test_a_stack_that_is_stuck_is_refused(deploying: Deploying, capsys: pytest.CaptureFixture[str]) -> None:
    deploying.path.write_text(MAIL)
    deploying.stack = DeployedStack("ROLLBACK_COMPLETE")
    assert deploying.make("deploy") == 1
    assert "delete-stack --stack-name bellhop-prod" in capsys.readouterr().err


def test_parameters_in_samconfig_are_not_ignored_silently(
    deploying: Deploying, capsys: pytest.CaptureFixture[str]
) -> None:
    deploying.path.write_text(MAIL)
    command.SAMCONFIG.write_text("[default.deploy.parameters]\nparameter_overrides = 'CacheSeconds=\"5\"'\n")
    assert deploying.make("deploy") == 1
    assert "samconfig.toml has parameter_overrides" in capsys.readouterr().err
    command.SAMCONFIG.write_text("[default.deploy.parameters]\nregion = 'eu-west-1'\n")
    assert deploying.make("deploy") == 0


def test_a_build_needs_neither_mail_nor_an_account(deploying: Deploying) -> None:
    assert deploying.make("build") == 0
    assert [str(target) for target in deploying.built] == ["python3.13 on arm64"]
    assert not deploying.connected


def test_a_build_that_fails_ends_with_its_log(
    deploying: Deploying, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: Target) -> Path:
        raise LocalError("sam build ended with 1:\nno wheel")

    monkeypatch.setattr(command, "built_template", fail)
    assert deploying.make("build") == 1
    assert "no wheel" in capsys.readouterr().err


def test_an_interruption_is_no_traceback(deploying: Deploying, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: str) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("builtins.input", interrupt)
    assert deploying.make("deploy") == 130


# ---- make adopt


@pytest.fixture
def imported(monkeypatch: pytest.MonkeyPatch) -> list[adoption.Import]:
    done: list[adoption.Import] = []
    monkeypatch.setattr(adoption, "run", lambda _, __, what, ___: done.append(what))
    monkeypatch.setattr(adoption, "left_behind", lambda *_: {"Apps": "old-apps", "Secrets": "old-secrets"})
    return done


def test_what_was_restored_takes_the_place_of_what_was_left(
    deploying: Deploying, imported: list[adoption.Import]
) -> None:
    deploying.path.write_text(MAIL)
    deploying.typed = ["y"]
    assert deploying.make("adopt", "--left-by", "arn", "--use", "Apps=restored") == 0
    [what] = imported
    assert what.resources == {"Apps": "restored", "Secrets": "old-secrets"}


def test_nothing_is_adopted_without_a_yes(deploying: Deploying, imported: list[adoption.Import]) -> None:
    deploying.path.write_text(MAIL)
    deploying.typed = [""]
    assert deploying.make("adopt", "--use", "Apps=restored") == 1
    assert imported == []


def test_what_a_refused_import_left_is_removed_first(
    deploying: Deploying, imported: list[adoption.Import]
) -> None:
    deploying.path.write_text(MAIL)
    service = FakeService(delete_change_set={})
    deploying.account, deploying.stack = account(cloudformation=service), DeployedStack("REVIEW_IN_PROGRESS")
    assert deploying.make("adopt", "--use", "Apps=restored", "--yes") == 0
    assert [operation for operation, _ in service.calls] == ["delete_change_set"]


@pytest.mark.parametrize(
    ("text", "options", "reason"),
    [
        (None, ["--use", "Apps=restored"], "Write it first"),
        (MAIL, [], "Nothing is named"),
        (MAIL, ["--use", "Apps=restored"], "Only a new stack can adopt"),
    ],
)
def test_an_adoption_that_cannot_work_is_refused(
    deploying: Deploying, capsys: pytest.CaptureFixture[str], text: str | None, options: list[str], reason: str
) -> None:
    if text:
        deploying.path.write_text(text)
    deploying.stack = DeployedStack("CREATE_COMPLETE")
    assert deploying.make("adopt", *options) == 1
    assert reason in capsys.readouterr().err
