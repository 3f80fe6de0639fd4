"""The dashboard fits on one screen, costs nothing while it may, and shows the alarms' own limits."""

import itertools
import re
from typing import Any

import pytest

from infra.deploy import parameters
from tests.support import cloudwatch
from tests.support.monitoring import ALARMS, FOLDER, alarms, exported, resources, widgets

COLUMNS, ROWS = 24, 20  # what fits on one screen
FREE_METRICS = (
    50  # https://aws.amazon.com/cloudwatch/pricing/: three dashboards with so many metrics each are free
)

METRIC_WIDGETS = {widget["properties"]["title"]: widget["properties"] for widget in widgets("metric")}


def area(widget: dict[str, Any]) -> set[tuple[int, int]]:
    columns = range(widget["x"], widget["x"] + widget["width"])
    return set(itertools.product(columns, range(widget["y"], widget["y"] + widget["height"])))


def series(properties: dict[str, Any]) -> list[list[Any]]:
    return [metric for metric in properties["metrics"] if isinstance(metric[0], str)]


def expressions(properties: dict[str, Any]) -> list[str]:
    return [metric[0]["expression"] for metric in properties["metrics"] if isinstance(metric[0], dict)]


def test_its_widgets_fill_one_screen_without_a_gap_or_an_overlap() -> None:
    areas = [area(widget) for widget in widgets()]
    covered = set().union(*areas)
    assert len(covered) == sum(map(len, areas))
    height = max(row for _, row in covered) + 1
    assert covered == set(itertools.product(range(COLUMNS), range(height)))
    assert height <= ROWS


def test_it_may_be_one_of_the_three_that_are_free() -> None:
    assert sum(len(series(properties)) for properties in METRIC_WIDGETS.values()) <= FREE_METRICS


def test_it_shows_every_alarm_that_rings() -> None:
    [shown] = widgets("alarm")
    assert shown["properties"]["states"] == ["ALARM"]
    assert shown["properties"]["alarms"] == ["Alarms", "OwnAlarms"]
    assert sorted(name for template in ALARMS for name in exported(template)) == sorted(alarms())


@pytest.mark.parametrize("title", METRIC_WIDGETS)
def test_every_expression_is_made_of_the_widgets_own_metrics(title: str) -> None:
    properties = METRIC_WIDGETS[title]
    ids = {metric[-1]["id"] for metric in series(properties) if "id" in metric[-1]}
    assert {name for text in expressions(properties) for name in cloudwatch.ids_in(text)} == ids


def test_the_shares_of_faults_are_those_of_the_attempts() -> None:
    counted = {"ours1": 5.0, "ours2": 5.0, "failed": 10.0, "delivered": 80.0}
    theirs, ours = expressions(METRIC_WIDGETS["Whose fault, in percent"])
    assert (cloudwatch.calculate(theirs, counted), cloudwatch.calculate(ours, counted)) == (10.0, 10.0)
    at_night = dict.fromkeys(counted, None)
    assert cloudwatch.calculate(ours, at_night) is None


@pytest.mark.parametrize(
    ("title", "alarm"),
    [("Whose fault, in percent", "OurFaultShare"), ("Delay of first attempts, seconds", "DeliveryDelayed")],
)
def test_a_line_across_a_graph_is_where_its_alarm_is(title: str, alarm: str) -> None:
    [line] = METRIC_WIDGETS[title]["annotations"]["horizontal"]
    assert line["value"] == alarms()[alarm]["Threshold"]


def test_a_graph_has_the_unit_that_its_title_names() -> None:
    # Lambda measures the stream's age in milliseconds, and SQS that of its queues in seconds.
    assert "age / 1000" in expressions(METRIC_WIDGETS["Queues: age of the oldest message, seconds"])


def test_every_placeholder_is_a_parameter_that_the_stack_gives() -> None:
    [dashboard] = resources("AWS::CloudWatch::Dashboard").values()
    assert "$" not in dashboard["DashboardBody"]
    source = (FOLDER / "dashboard.yaml").read_text()
    named = set(re.findall(r"\$\{(\w+)\}", source))
    assert named == set(parameters.declared(FOLDER / "dashboard.yaml"))
