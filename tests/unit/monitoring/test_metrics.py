"""Nothing watches a metric that nobody emits."""

from collections.abc import Iterator

import pytest

from tests.support import cloudwatch, emitted
from tests.support.cloudwatch import Metric
from tests.support.monitoring import NAMESPACE, alarms, widgets


def on_the_dashboard() -> Iterator[Metric]:
    for widget in widgets("metric"):
        for namespace, *rest in widget["properties"]["metrics"]:
            if isinstance(namespace, str):
                name, dimension, value = rest[:3]
                yield Metric(namespace, name, ((dimension, value),))


def watched() -> dict[str, list[Metric]]:
    of_alarms = {name: cloudwatch.metrics(alarm) for name, alarm in alarms().items()}
    return of_alarms | {"the dashboard": list(on_the_dashboard())}


@pytest.mark.parametrize("by", watched())
def test_every_metric_that_is_watched_is_emitted_with_these_dimensions(by: str) -> None:
    assert watched()[by]
    assert set(watched()[by]) <= emitted.of_aws() | emitted.of_ours()


@pytest.mark.parametrize(
    ("name", "service"),
    [
        ("DeliveryDelay", "deliver"),
        ("AppDisabled", "health"),
        ("EventReceived", "notify"),
        ("MessageReturned", "notify"),
    ],
)
def test_what_the_code_emits_is_found_in_it(name: str, service: str) -> None:
    assert Metric(NAMESPACE, name, (("service", service),)) in emitted.of_ours()


def test_a_metric_is_not_found_under_a_service_that_does_not_emit_it() -> None:
    assert Metric(NAMESPACE, "DeliveryDelay", (("service", "health"),)) not in emitted.of_ours()
