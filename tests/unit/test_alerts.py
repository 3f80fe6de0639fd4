"""Alerts are delivered, retried and logged like everything else, and never counted against an app."""

import pytest

from bellhop.attempts import DeliveryRecord
from bellhop.outcomes import OutcomeDay
from bellhop.successes import SuccessPack
from deliver.answer import Answer, NoAnswer
from deliver.desk import Desk
from tests.endpoint import TIMEOUT, Endpoint, answer, retries, run
from tests.fakes import delivery, sqs_record

ALERTS = [
    "event_alert.triggered",
    "metric_alert.open",
    "metric_alert.critical",
    "metric_alert.warning",
    "metric_alert.resolved",
]


def logged() -> dict[str, list[str]]:
    """The results of each event's attempts."""
    packed = {entry["event"]: [entry["result"]] for pack in SuccessPack.scan() for entry in pack.entries}
    return packed | {row.event: [entry["result"] for entry in row.history] for row in DeliveryRecord.scan()}


@pytest.mark.parametrize(
    ("outcome", "results"),
    [
        pytest.param(answer(200), ["http_200"], id="200"),
        pytest.param(answer(404), ["http_404"] * 3, id="404"),
        pytest.param(answer(410), ["http_410"], id="410"),
        pytest.param(answer(500), ["http_500"] * 3, id="500"),
        pytest.param(TIMEOUT, ["timeout"] * 3, id="timeout"),
        pytest.param(answer(200, **{"webhook-delivery": "disable"}), ["disable_requested"], id="disable"),
    ],
)
def test_no_answer_to_an_alert_is_counted_and_every_attempt_is_logged(
    desk: Desk, queue: str, outcome: Answer | NoAnswer, results: list[str]
) -> None:
    due = [sqs_record(delivery(delivery_id=f"msg_{event}", event=event), event) for event in ALERTS]
    for _ in range(1 + len(desk.policy.delays)):
        assert run(desk, Endpoint(outcome), *due, slots=len(ALERTS)) == []
        due = retries(queue)
    assert due == []
    assert list(OutcomeDay.scan()) == []
    assert logged() == dict.fromkeys(ALERTS, results)
