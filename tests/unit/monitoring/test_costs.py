"""The table of what watching costs is what the templates and the code come to."""

from tests.bench import prices
from tests.docs.pages import DOCS, rows
from tests.support import cloudwatch, emitted
from tests.support.monitoring import alarms, composites, queries, resources

MEASUREMENTS = DOCS / "measurements.md"


def test_the_table_of_what_watching_costs_is_true() -> None:
    numbers = {
        "metrics that alarms watch": (
            sum(len(cloudwatch.metrics(a)) for a in alarms().values()),
            prices.ALARM_METRIC,
        ),
        "composite alarms": (len(composites()), prices.COMPOSITE_ALARM),
        "dashboards": (len(resources("AWS::CloudWatch::Dashboard")), prices.DASHBOARD),
        "metrics of our own": (len(emitted.of_ours()), prices.OWN_METRIC),
        "saved queries": (len(queries()), 0.0),
    }
    shown = {what: (int(number), float(dollars)) for what, number, dollars in rows(MEASUREMENTS, "watched by")}
    assert shown == {what: (number, round(number * price, 2)) for what, (number, price) in numbers.items()}


def test_the_price_of_a_query_is_the_one_that_is_named() -> None:
    assert f"{prices.SCANNED_GB} dollars for each GB" in MEASUREMENTS.read_text()
