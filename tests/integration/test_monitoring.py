"""What watches a stack names that stack's own queues, functions and alarms."""

import json
from typing import Any

import pytest

from infra.local.stack import Stack

pytestmark = pytest.mark.stack

QUEUES = ["IssueEvents", "Deliveries", "Retries", "Transitions"]


def widgets(stack: Stack, kind: str) -> list[dict[str, Any]]:
    cloudwatch = stack.client("cloudwatch")
    name = stack.outputs["Dashboard"].rpartition("/")[2]
    body = json.loads(cloudwatch.get_dashboard(DashboardName=name)["DashboardBody"])
    return [widget["properties"] for widget in body["widgets"] if widget["type"] == kind]


def test_the_dashboard_shows_the_stacks_queues_and_functions(stack: Stack) -> None:
    rows = [row for widget in widgets(stack, "metric") for row in widget["metrics"]]
    metrics = [row for row in rows if isinstance(row[0], str)]  # the others are expressions
    shown = {dimension for namespace, _, _, dimension, *_ in metrics if namespace.startswith("AWS/")}
    queues = {stack.resource(queue).rpartition("/")[2] for queue in QUEUES}
    functions = {stack.resource(f"{function}Function") for function in ("Notify", "Deliver", "Health")}
    assert queues | functions <= shown
    assert {namespace for namespace, *_ in metrics} == {"AWS/SQS", "AWS/Lambda", f"Bellhop/{stack.name}"}


def test_the_dashboard_shows_the_stacks_alarms_and_its_log(stack: Stack) -> None:
    alarms = stack.client("cloudwatch").describe_alarms(MaxRecords=100)["MetricAlarms"]
    [shown] = widgets(stack, "alarm")
    assert sorted(shown["alarms"]) == sorted(alarm["AlarmArn"] for alarm in alarms)
    assert len(alarms) > 20
    for table in widgets(stack, "log"):
        assert f"SOURCE '{stack.outputs['DeliverLogGroup']}'" in table["query"]
