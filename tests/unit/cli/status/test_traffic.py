from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from infra.cli.doctor.looking import Deployed
from infra.cli.log_lines import LogLine
from infra.cli.stack import Stack
from infra.cli.status import traffic

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
URLS = {"Retries": "https://sqs.example/1/bellhop-Retries-X"}


class CloudWatch:
    """Has results by the ids of queries."""

    def __init__(self, **results: list[tuple[datetime, float]]) -> None:
        self.results = results
        self.calls = 0

    def get_metric_data(self, MetricDataQueries: list[dict[str, Any]], **_: Any) -> dict[str, Any]:  # noqa: N803
        self.calls += 1
        found = []
        for query in MetricDataQueries:
            points = self.results.get(query["Id"], [])
            found.append(
                {
                    "Id": query["Id"],
                    "Timestamps": [at for at, _ in points],
                    "Values": [value for _, value in points],
                }
            )
        return {"MetricDataResults": found}


def read(cloudwatch: CloudWatch) -> traffic.Traffic:
    return traffic.read(Deployed(Stack("bellhop", {}, {}), "", lambda _: cloudwatch), URLS, NOW)


def test_one_call_has_the_last_minutes_and_the_ages_of_the_queues() -> None:
    minute = timedelta(minutes=1)
    cloudwatch = CloudWatch(
        delivered=[(NOW - minute, 5.0), (NOW - 2 * minute, 7.0), (NOW - 9 * minute, 100.0)],
        failed=[(NOW - minute, 1.0)],
        median_delay=[(NOW - minute, 0.2)],
        p99_delay=[(NOW - minute, 3.0)],
        age0=[(NOW - minute, 42.0)],
    )
    found = read(cloudwatch)
    assert found.counts == {"delivered": 12, "failed": 1}
    assert found.ages == {"bellhop-Retries-X": 42.0}
    assert found.text() == "last 5 min: 12 delivered, 1 failed"
    assert found.delays_text() == "  first attempts waited 0.2 s (median), 3.0 s (99%)"
    assert cloudwatch.calls == 1


def test_where_cloudwatch_has_nothing_it_is_said() -> None:
    found = read(CloudWatch())
    assert "nothing was attempted, or CloudWatch has not counted it yet" in found.text()
    assert found.document()["source"] is None


def test_on_the_embedded_aws_the_lines_of_the_log_have_the_same_numbers() -> None:
    lines = [
        LogLine(NOW, "deliver", "", "", {"_aws": {}, "DeliverySucceeded": [2.0], "DeliveryDelay": [0.1, 0.3]}),
        LogLine(NOW, "deliver", "", "", {"_aws": {}, "DeliverySucceeded": [1.0], "AttemptFailed": [4.0]}),
        LogLine(NOW, "deliver", "", "", {"_aws": {}, "DeliveryDelay": 9}),
    ]
    found = traffic.of_lines(lines, {})
    assert (found.counts["delivered"], found.counts["failed"]) == (3, 4)
    assert (found.median_delay, found.p99_delay) == (0.3, 9.0)
    assert found.source == "deliver's log"
    assert not traffic.of_lines([], {}).source


@pytest.mark.parametrize(("share", "expected"), [(0.5, 2.0), (0.99, 4.0), (0.01, 1.0)])
def test_a_percentile_is_a_value_that_was_measured(share: float, expected: float) -> None:
    assert traffic.percentile([4.0, 1.0, 3.0, 2.0], share) == expected
    assert traffic.percentile([], share) is None
