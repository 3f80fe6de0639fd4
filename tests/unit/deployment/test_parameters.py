"""What a stack gets for each parameter, and which values are refused before anything is built."""

import ast
import math
import subprocess
from pathlib import Path

import pytest

import deliver.attempt.retry
from bellhop import attempts
from bellhop.aws import TRY_SECONDS
from deliver.dependencies import MARGIN_SECONDS
from infra.deploy import checks, environment, parameters
from infra.deploy.checks import contradictions
from infra.deploy.environment import Environment
from infra.deploy.errors import RefusedError

ROOT = Path(__file__).parents[3]
DECLARED = parameters.declared(ROOT / "template.yaml")
MAIL = {"MailFrom": "bellhop@tracker.example", "MailIdentity": "tracker.example"}


def values(**given: str) -> dict[str, str]:
    return parameters.chosen(DECLARED, MAIL | given)


def test_what_is_given_lies_over_the_defaults_of_the_template_and_every_parameter_has_a_value() -> None:
    chosen = values(CacheSeconds="5")
    assert set(chosen) == set(DECLARED)
    assert (chosen["CacheSeconds"], chosen["Architecture"]) == ("5", "arm64")


def test_the_defaults_of_the_template_can_be_deployed() -> None:
    assert parameters.malformed(DECLARED, MAIL) == []
    assert contradictions(values()) == []


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"CacheSecond": "5"}, "CacheSecond is not a parameter of the template: did you mean CacheSeconds?"),
        ({"Zzz": "5"}, "Zzz is not a parameter of the template; remove it."),
        ({"CacheSeconds": "soon"}, "CacheSeconds=soon is not a whole number."),
        ({"DeliveryDeadlineSeconds": "0"}, "DeliveryDeadlineSeconds=0 is less than 1."),
        ({"DeliveryDeadlineSeconds": "61"}, "DeliveryDeadlineSeconds=61 is more than 60."),
        ({"Architecture": "arm"}, "Architecture=arm is not one of arm64, x86_64."),
        ({"AllowedPorts": "all"}, "AllowedPorts=all does not match any|[0-9]+(,[0-9]+)*."),
        ({"EventBusName": ""}, "EventBusName= is shorter than 1 characters."),
        ({"PublisherArns": "tracker"}, r"PublisherArns=tracker does not match (arn:[^,\s]+(,arn:[^,\s]+)*)?."),
    ],
)
def test_a_value_that_cloudformation_would_refuse_is_refused_at_once(given: dict[str, str], sentence: str) -> None:
    assert parameters.malformed(DECLARED, MAIL | given) == [sentence]


def test_a_parameter_without_a_default_must_be_given() -> None:
    [sentence] = parameters.malformed(DECLARED, {"MailFrom": "bellhop@tracker.example"})
    assert sentence.startswith("MailIdentity is not given. The verified SES identity")


@pytest.mark.parametrize(
    ("given", "way_out"),
    [
        ({"DeliveryDeadlineSeconds": "28"}, "set DeliverTimeoutSeconds to 43 or more"),
        ({"DeliverTimeoutSeconds": "40"}, "set DeliverVisibilitySeconds to 240 or more"),
        ({"NotifyTimeoutSeconds": "60"}, "set NotifyVisibilitySeconds to 360 or more"),
        ({"HealthTimeoutSeconds": "61"}, "set HealthVisibilitySeconds to 366 or more"),
        (
            {"Profile": "throughput", "DeliverVisibilitySeconds": "180"},
            "set DeliverVisibilitySeconds to 181 or more",
        ),
        ({"RetryDelaysSeconds": "5,2600000"}, "let them add up to 26 days at most"),
        ({"AllowedPorts": "443,65536"}, "a port is 1 to 65535"),
        ({"MailIdentity": "other.example"}, "Set MailIdentity to that address or to tracker.example"),
        ({"MailIdentity": "racker.example"}, "Set MailIdentity to that address or to tracker.example"),
        ({"Runtime": "python3.11"}, "set Runtime to python3.12 or later"),
    ],
)
def test_parameters_that_contradict_one_another_are_refused_with_the_way_out(
    given: dict[str, str], way_out: str
) -> None:
    [sentence] = contradictions(values(**given))
    assert way_out in sentence


@pytest.mark.parametrize(
    "given",
    [
        {"DeliveryDeadlineSeconds": "15"},
        {"DeliveryDeadlineSeconds": "60", "DeliverTimeoutSeconds": "75", "DeliverVisibilitySeconds": "450"},
        {"AllowedPorts": "any"},
        {"MailIdentity": "bellhop@tracker.example"},
        {"MailFrom": "bellhop@mail.Tracker.example"},
        {"Runtime": "python3.11", "AwsEndpointUrl": "http://127.0.0.1:4566"},
        {"Profile": "throughput"},
    ],
)
def test_parameters_that_fit_are_not_refused(given: dict[str, str]) -> None:
    assert contradictions(values(**given)) == []


def test_the_numbers_of_the_checks_are_those_of_the_code() -> None:
    assert math.ceil(MARGIN_SECONDS) + TRY_SECONDS <= checks.DELIVER_SECONDS_BESIDE_DEADLINE
    assert attempts.KEPT.days == checks.RECORD_DAYS
    assert deliver.attempt.retry.JITTER == checks.JITTER


def test_what_changes_is_said_and_a_parameter_that_is_new_is_not_a_change() -> None:
    before = {"CacheSeconds": "60", "AlarmTopicArn": ""}
    after = values(CacheSeconds="5", AlarmTopicArn="arn:aws:sns:eu-west-1:1:a")
    changes = parameters.changes(DECLARED, before, after)
    assert changes == ["AlarmTopicArn: (empty) -> arn:aws:sns:eu-west-1:1:a", "CacheSeconds: 60 -> 5"]


def test_sam_reads_every_value_as_it_is() -> None:
    awkward = {"A": "", "B": "5,60", "C": 'say "{app}" \\ now', "D": "a=b c"}
    script = (
        "import sys; from samcli.cli.types import CfnParameterOverridesType as T; "
        "print(T().convert(tuple(sys.argv[1:]), None, None))"
    )
    python = ROOT / ".venv-sam" / "bin" / "python"
    if not python.exists():
        pytest.skip("the SAM CLI is not installed")
    command = [str(python), "-W", "ignore", "-c", script, *parameters.overrides(awkward)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ast.literal_eval(done.stdout) == awkward


# ---- The environment's file


def test_an_environments_file_that_was_written_is_read_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "prod.toml"
    written = Environment(path, "hooks", "eu-west-1", "123456789012", {"DashboardUrl": 'https://x/{app}?q="é\\"'})
    environment.write(written)
    assert environment.read(path) == written


def test_numbers_flags_and_lists_are_read_as_the_template_takes_them(tmp_path: Path) -> None:
    path = tmp_path / "prod.toml"
    path.write_text("[parameters]\nCacheSeconds = 5\nAllowHttp = true\nRetryDelaysSeconds = [5, 60]\n")
    found = environment.read(path)
    assert found.parameters == {"CacheSeconds": "5", "AllowHttp": "true", "RetryDelaysSeconds": "5,60"}


def test_each_environment_has_a_stack_of_its_own_and_the_default_one_the_name_it_always_had(
    tmp_path: Path,
) -> None:
    (tmp_path / "prod.toml").write_text("[parameters]\n")
    assert environment.read(tmp_path / "prod.toml").stack == "bellhop-prod"
    assert environment.read(tmp_path / "test.toml").stack == "bellhop-test"
    assert environment.read(tmp_path / "default.toml").stack == "bellhop"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("stack = ", "is not TOML"),
        ('CacheSeconds = "5"\n', "has CacheSeconds outside [parameters]"),
        ('stack = "local"\n', "is the name by which bellhop finds the stack of `make run`"),
        ("parameters = 5\n", "Write [parameters]"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "prod.toml"
    path.write_text(text)
    with pytest.raises(RefusedError, match=reason.replace("[", r"\[")):
        environment.read(path)


def test_an_environment_is_a_name_or_a_path() -> None:
    assert environment.path_of("prod") == ROOT / "infra" / "environments" / "prod.toml"
    assert environment.path_of("/etc/bellhop.toml") == Path("/etc/bellhop.toml")
    with pytest.raises(RefusedError, match=r"ENV=\.\./prod is neither"):
        environment.path_of("../prod")


def test_git_ignores_what_an_environment_keeps() -> None:
    ignored = subprocess.run(
        ["git", "check-ignore", "-q", "infra/environments/prod.toml"], cwd=ROOT, check=False, capture_output=True
    )
    assert ignored.returncode in {0, 128}  # 128: the sources are here without their repository
    assert "*.toml" in (ROOT / "infra" / "environments" / ".gitignore").read_text().splitlines()
