"""Alerts are delivered, retried and logged like everything else, and never counted against an app."""

import pytest

from bellhop import circuits
from bellhop.attempts import DeliveryRecord
from bellhop.outcomes import OutcomeDay
from deliver.dependencies import DeliverDependencies
from deliver.http.response import Response, SendFailure
from tests.support.endpoint import TIMEOUT, Endpoint, packed, response, retries, run
from tests.support.fakes import delivery, queue_message

ALERTS = [
    "event_alert.triggered",
    "metric_alert.open",
    "metric_alert.critical",
    "metric_alert.warning",
    "metric_alert.resolved",
]


def logged() -> dict[str, list[str]]:
    """The results of each event's attempts."""
    at_once = {row["event"]: [row["result"]] for row in packed()}
    return at_once | {row.event: [entry["result"] for entry in row.attempts] for row in DeliveryRecord.scan()}


@pytest.mark.parametrize(
    ("outcome", "results"),
    [
        pytest.param(response(200), ["http_200"], id="200"),
        pytest.param(response(404), ["http_404"] * 3, id="404"),
        pytest.param(response(410), ["http_410"], id="410"),
        pytest.param(response(500), ["http_500"] * 3, id="500"),
        pytest.param(TIMEOUT, ["timeout"] * 3, id="timeout"),
        pytest.param(response(200, headers={"webhook-delivery": "disable"}), ["disable_requested"], id="disable"),
    ],
)
def test_no_response_to_an_alert_is_counted_and_every_attempt_is_logged(
    deps: DeliverDependencies, queue: str, outcome: Response | SendFailure, results: list[str]
) -> None:
    deps.registry.app("pager").events = ALERTS  # type: ignore[union-attr]
    deps.registry.installation("acme", "in-pager").events = ALERTS  # type: ignore[union-attr]
    due = [queue_message(delivery(delivery_id=f"msg_{event}", event=event), event) for event in ALERTS]
    for _ in range(1 + len(deps.policy.delays)):
        assert run(deps, Endpoint(outcome), *due) == []
        due = retries(queue)
        circuits.clear("pager", 1)
    assert due == []
    assert list(OutcomeDay.scan()) == []
    assert logged() == dict.fromkeys(ALERTS, results)
