import json
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

import boto3
import pytest

from infra.cli import stack
from infra.cli.commands import doctor
from infra.cli.stack import Stack
from tests.unit.cli.cli_runner import bellhop
from tests.unit.cli.doctor.fake_deployment import (
    PARAMETERS,
    TOPIC,
    cloudformation,
    code,
    dynamodb,
    function,
    lambda_service,
    mapping,
    queue_attributes,
    sweep_rule,
)
from tests.unit.deployment.fake_account import REGION, FakeService, refusal

QUOTAS = ("CreateSchedule request rate", "Invocations throttle limit", "Number of schedules")
DENIED = refusal("AccessDeniedException", "User: arn is not authorized to perform: lambda:GetAccountSettings on *")


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, aws: None) -> dict[str, Any]:
    """The services of a stack on which all is well, as the command reaches them."""
    bundle = code(tmp_path, "greenlet/_greenlet.cpython-313-aarch64-linux-gnu.so")
    made = {
        "cloudformation": cloudformation(),
        "lambda": lambda_service({f"fn-{n}": function(n, bundle) for n in ("notify", "deliver", "health")}),
        "dynamodb": dynamodb(),
        "sts": FakeService(get_caller_identity=caller(time.time())),
        "sqs": FakeService(get_queue_attributes=queue_attributes()),
        "events": sweep_rule(),
        "sesv2": FakeService(get_email_identity={"VerifiedForSendingStatus": True}, get_account=sending()),
        "service-quotas": FakeService(
            list_service_quotas={"Quotas": [{"QuotaName": name, "Value": 1000} for name in QUOTAS]}
        ),
        "cloudwatch": FakeService(describe_alarms={"MetricAlarms": quiet_alarms()}, set_alarm_state={}),
        "sns": FakeService(list_subscriptions_by_topic={"Subscriptions": [{"SubscriptionArn": f"{TOPIC}:1"}]}),
    }
    outputs = {output: model.Meta.table_name for model, output in stack.TABLES.items()}
    monkeypatch.setattr(stack, "find", lambda name: Stack(name, outputs, PARAMETERS, "CREATE_COMPLETE"))
    monkeypatch.setattr(boto3, "client", lambda name, **_: made[name])
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    return made


def caller(now: float) -> dict[str, Any]:
    headers = {"HTTPHeaders": {"date": formatdate(now, usegmt=True)}}
    return {"Arn": "arn:aws:iam::123456789012:user/ada", "ResponseMetadata": headers}


def sending(**changes: Any) -> dict[str, Any]:
    quota = {"Max24HourSend": 200.0, "MaxSendRate": 1.0, "SentLast24Hours": 0.0}
    return {"ProductionAccessEnabled": True, "SendingEnabled": True, "SendQuota": quota} | changes


def quiet_alarms() -> list[dict[str, Any]]:
    alarm = {"StateValue": "OK", "ActionsEnabled": True, "AlarmActions": [TOPIC]}
    return [alarm | {"AlarmName": f"bellhop-{title}"} for title in ("NotifyErrors", "RetriesOld")]


def test_a_stack_on_which_all_is_well_has_a_line_for_each_check_and_ends_with_0(services: dict[str, Any]) -> None:
    result = bellhop("doctor")
    assert (result.exit_code, result.stderr) == (0, "")
    *lines, summary = result.stdout.splitlines()
    assert [line[:2] for line in lines] == ["ok"] * len(doctor.CHECKS)
    assert [check.name for check in doctor.CHECKS if not any(check.name in line for line in lines)] == []
    assert summary == f"{len(doctor.CHECKS)} ok, 0 problems, 0 could not be looked at"


def test_a_problem_has_what_to_type_below_it_and_ends_with_1(services: dict[str, Any]) -> None:
    services["sesv2"].responses["get_account"] = sending(ProductionAccessEnabled=False)
    result = bellhop("doctor")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    [number] = [n for n, line in enumerate(lines) if line.startswith("problem ")]
    assert "SES is in its sandbox" in lines[number]
    assert lines[number + 1].strip().startswith("aws sesv2 put-account-details")


def test_what_was_denied_is_named_and_the_other_checks_go_on(services: dict[str, Any]) -> None:
    services["lambda"].responses["get_account_settings"] = DENIED
    result = bellhop("doctor")
    assert (result.exit_code, "Traceback" in result.output) == (0, False)
    [line] = [line for line in result.stdout.splitlines() if line.startswith("could not look")]
    assert line.split(maxsplit=3)[3].split(maxsplit=1) == ["concurrency", "you may not lambda:GetAccountSettings"]
    assert result.stdout.splitlines()[-1].endswith(" ok, 0 problems, 1 could not be looked at")


def test_as_json_it_is_the_same_for_a_program(services: dict[str, Any]) -> None:
    services["lambda"].responses["get_event_source_mapping"] = mapping(State="Disabled")
    services["lambda"].responses["get_account_settings"] = DENIED
    result = bellhop("doctor", "--json")
    document = json.loads(result.stdout)
    assert (result.exit_code, document["stack"], document["well"]) == (1, "bellhop", False)
    by_check = {finding["check"]: finding for finding in document["findings"]}
    assert set(by_check) == {check.name for check in doctor.CHECKS}
    assert by_check["triggers"]["state"] == "problem"
    assert by_check["triggers"]["remedy"].startswith("aws lambda update-event-source-mapping")
    assert by_check["concurrency"]["state"] == "could not look"
    assert by_check["mail limits"] | {"text": ""} == {
        "check": "mail limits",
        "state": "ok",
        "text": "",
        "remedy": "",
        "parameter": "",
    }


def test_an_alarm_is_raised_only_if_that_is_asked_for(services: dict[str, Any]) -> None:
    cloudwatch = services["cloudwatch"]
    for arguments, raised in (([], 0), (["--ring"], 1)):
        result = bellhop("doctor", *arguments)
        assert (result.exit_code, "should have a message" in result.stdout) == (0, bool(raised))
        assert [operation for operation, _ in cloudwatch.calls].count("set_alarm_state") == raised
