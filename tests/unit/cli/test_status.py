import json
import re
import time
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from rich.console import Console, Group

from bellhop.circuits import Circuit
from infra.cli import stack
from infra.cli.commands import status
from infra.cli.condition import condition
from infra.cli.dead_letters.content import Content
from infra.cli.stack import Stack
from infra.cli.status.fleet import AppStatus, Fleet
from infra.cli.status.queues import DeadLetter, QueueDepth
from infra.cli.status.traffic import Traffic
from tests.support.fakes import app
from tests.unit.cli.cli_runner import EXAMPLE, CloudFormation, bellhop, succeed

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)


class NoMetrics:
    def get_metric_data(self, **_: Any) -> dict[str, Any]:
        return {"MetricDataResults": []}


@pytest.fixture
def dead(cloudformation: CloudFormation, monkeypatch: pytest.MonkeyPatch) -> str:
    real = stack.client
    url = str(boto3.client("sqs").create_queue(QueueName="dead")["QueueUrl"])
    cloudformation.queue_urls = {
        "IssueEventsDeadLetters": url,
        "Retries": cloudformation.outputs["RetriesQueueUrl"],
    }
    monkeypatch.setattr(stack, "client", lambda name: NoMetrics() if name == "cloudwatch" else real(name))
    return url


def crowd(paused: int, well: int) -> Fleet:
    apps = []
    for number in range(paused + well):
        made, since = app(app_id=f"a-rather-long-name-{number}"), NOW.timestamp() - 90 if number < paused else None
        circuit = Circuit(made.app_id, generation=1, paused_since=since, next_trial_at=NOW.timestamp() + 20)
        apps.append(AppStatus(made, condition(made, circuit, frozenset(), NOW.timestamp())))
    return Fleet(apps)


def shown(width: int, height: int, fleet: Fleet, option: str = "") -> list[str]:
    letter = DeadLetter("{}", Content("malformed event", "type: must be one of " + "created, " * 40))
    queues = [
        QueueDepth(name, 12_345, 10, 999) for name in ("IssueEvents", "Deliveries", "Retries", "Transitions")
    ]
    queues.append(QueueDepth("IssueEventsDeadLetters", 3, 0, 0, dead_letters=(letter,)))
    traffic = Traffic({"delivered": 123_456, "failed": 1234}, 0.1, 12.3, "CloudWatch")
    seen = status.Status(
        Stack("bellhop", {}, {}, "UPDATE_COMPLETE", option), NOW, queues, traffic, fleet, (16_000, False)
    )
    console = Console(width=width, height=height)
    with console.capture() as capture:
        console.print(Group(*status.screen(seen, width, height)))
    return capture.get().splitlines()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (140, 40)])
def test_the_whole_stack_fits_on_a_screen_whatever_is_wrong(width: int, height: int) -> None:
    lines = shown(width, height, crowd(150, 50))
    assert len(lines) < height
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert "200 apps: 150 paused, 50 on" in text
    assert "1 min 30 s, next trial in 20 s" in text
    assert "more: bellhop apps" in text
    assert "at least 16,000 wait for a retry" in text


def test_the_last_lines_of_a_status_keep_each_command_with_its_stack_at_eighty_columns() -> None:
    lines = shown(80, 24, crowd(150, 50), " --stack a-stack-of-a-long-name")
    assert max(map(len, lines)) <= 80
    assert len(lines) < 24
    text = " ".join(map(str.strip, lines))
    commands = re.findall(r"bellhop [^;:]*", text[text.index("Next: ") :])
    assert len(commands) == 4
    assert all("--stack a-stack-of-a-long-name" in command for command in commands)


def test_a_message_whose_age_is_not_known_is_said_to_be_so() -> None:
    assert any("Retries" in line and "not known" in line for line in shown(80, 24, crowd(0, 1)))


@pytest.mark.usefixtures("dead")
def test_status_reads_apps_queues_and_dead_letters(dead: str) -> None:
    succeed("apply", EXAMPLE, "--yes")
    attributes: Any = {"reason": {"DataType": "String", "StringValue": "\x1b[31mnot json"}}
    boto3.client("sqs").send_message(QueueUrl=dead, MessageBody="x", MessageAttributes=attributes)
    text = succeed("status")
    assert "2 apps: 2 on" in text
    assert "\n  \\x1b[31mnot json" in text
    read = json.loads(succeed("status", "--json"))
    assert read["counts"]["on"] == 2
    assert [queue["queue"] for queue in read["queues"]] == ["Retries", "IssueEventsDeadLetters"]


@pytest.mark.usefixtures("dead")
def test_watch_looks_again_and_ends_cleanly_with_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    slept = list[float]()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", sleep)
    result = bellhop("status", "--watch", "--json")
    assert result.exit_code == 0
    assert len([json.loads(line) for line in result.stdout.splitlines()]) == 2


@pytest.mark.usefixtures("cloudformation")
def test_what_the_credentials_may_not_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Denied:
        def get_metric_data(self, **_: Any) -> None:
            fault: Any = {"Code": "AccessDenied", "Message": "not authorized to perform: cloudwatch:GetMetricData"}
            raise ClientError({"Error": fault}, "GetMetricData")

    real = stack.client
    monkeypatch.setattr(stack, "client", lambda name: Denied() if name == "cloudwatch" else real(name))
    result = bellhop("status")
    assert result.exit_code == 1
    assert "cloudwatch:GetMetricData" in result.stderr


def test_the_line_of_the_last_minutes_was_cut_at_80_columns() -> None:
    whole = shown(200, 24, crowd(1, 1))
    assert whole[2].endswith("(99%)")
    assert shown(80, 24, crowd(1, 1))[1:3] == whole[1:3]
