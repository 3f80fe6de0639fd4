"""What reaches CloudWatch: JSON lines, and what was counted once an invocation."""

import json
import os
from types import SimpleNamespace
from typing import Any

import pytest

from bellhop.powertools import PowertoolsTelemetry


@pytest.fixture(autouse=True)
def environment(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    # A name's logger is made once in a process and keeps the stream of then: each test has its own.
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", request.node.name)
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Bellhop")


def written(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def begun(telemetry: PowertoolsTelemetry, request_id: str) -> None:
    telemetry.begin(SimpleNamespace(aws_request_id=request_id))


def test_what_was_counted_is_written_once_when_the_invocation_ends(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry = PowertoolsTelemetry()
    telemetry.count("AttemptFailed")
    telemetry.count("AttemptFailed", 2)
    assert written(capsys) == []
    telemetry.flush()
    [line] = written(capsys)
    assert sum(line["AttemptFailed"]) == 3
    [declared] = line["_aws"]["CloudWatchMetrics"]
    assert (declared["Namespace"], declared["Dimensions"]) == ("Bellhop", [["service"]])
    assert line["service"] == os.environ["POWERTOOLS_SERVICE_NAME"]
    assert [(metric["Name"], metric["Unit"]) for metric in declared["Metrics"]] == [("AttemptFailed", "Count")]


def test_durations_are_written_beside_the_counts_one_by_one_so_that_percentiles_can_be_made_of_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    telemetry = PowertoolsTelemetry()
    telemetry.measure("DeliveryDelay", 0.12345)
    telemetry.measure("DeliveryDelay", 61.0)
    telemetry.count("DeliverySucceeded", 2)
    telemetry.flush()
    telemetry.flush()
    [line] = written(capsys)
    assert line["DeliveryDelay"] == [0.12, 61.0]
    assert {m["Name"]: m["Unit"] for m in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]} == {
        "DeliveryDelay": "Seconds",
        "DeliverySucceeded": "Count",
    }


@pytest.mark.parametrize(("number", "lines"), [(99, [99]), (100, [100]), (101, [100, 1])])
def test_a_line_has_no_more_durations_than_cloudwatch_takes(
    number: int, lines: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    telemetry = PowertoolsTelemetry()
    for _ in range(number):
        telemetry.measure("DeliveryDelay", 0.1)
    telemetry.flush()
    assert [len(line["DeliveryDelay"]) for line in written(capsys)] == lines


def test_an_invocation_that_counted_nothing_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry = PowertoolsTelemetry()
    telemetry.flush()
    telemetry.count("PauseBegan")
    telemetry.flush()
    capsys.readouterr()
    telemetry.flush()
    assert written(capsys) == []


def test_the_next_invocation_counts_from_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry = PowertoolsTelemetry()
    telemetry.count("PauseBegan", 5)
    telemetry.flush()
    telemetry.count("PauseEnded")
    telemetry.flush()
    _, second = written(capsys)
    assert sum(second["PauseEnded"]) == 1
    assert "PauseBegan" not in second


def test_every_line_has_its_own_invocations_request_id(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry = PowertoolsTelemetry()
    begun(telemetry, "first")
    telemetry.info("delivered", number=1)
    telemetry.warning("app paused", app_id="pager")
    begun(telemetry, "second")
    telemetry.info("delivered", number=2)
    lines = written(capsys)
    assert [line["aws_request_id"] for line in lines] == ["first", "first", "second"]
    assert [(line["level"], line["message"]) for line in lines[:2]] == [
        ("INFO", "delivered"),
        ("WARNING", "app paused"),
    ]
    assert (lines[1]["app_id"], lines[2]["number"]) == ("pager", 2)


def test_a_line_says_nothing_that_cloudwatch_says_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry = PowertoolsTelemetry()
    begun(telemetry, "first")
    telemetry.info("delivered")
    assert written(capsys) == [{"level": "INFO", "message": "delivered", "aws_request_id": "first"}]


def test_the_fields_of_one_line_are_not_on_the_next(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry = PowertoolsTelemetry()
    telemetry.info("attempt failed", delivery_id="msg_1")
    telemetry.info("delivered")
    assert "delivery_id" not in written(capsys)[1]


def test_an_error_says_what_was_raised(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry = PowertoolsTelemetry()
    try:
        raise ConnectionError("the table does not respond")
    except ConnectionError:
        telemetry.error("delivery not handled", message_id="m1")
    [line] = written(capsys)
    assert (line["level"], line["message_id"], line["exception_name"]) == ("ERROR", "m1", "ConnectionError")
    assert "the table does not respond" in line["exception"]
