import json
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, cast

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError

from bellhop.backoff import Backoff
from bellhop.client import MalformedEventsError, Publisher, PublishError
from bellhop.client.publisher import AT_ONCE
from tests.support.fakes import issue_event

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

Entry = dict[str, Any]


class Sqs:
    """Takes what `verdict` says, and remembers each call."""

    def __init__(self, verdict: Callable[[Entry], Entry | None] = lambda _: None) -> None:
        self.verdict = verdict
        self.calls: list[list[Entry]] = []

    def send_message_batch(self, QueueUrl: str, Entries: list[Entry]) -> dict[str, Any]:  # noqa: N803
        self.calls.append(Entries)
        failed = {entry["Id"]: fault for entry in Entries if (fault := self.verdict(entry))}
        sent = [
            {"Id": entry["Id"], "MessageId": f"m-{entry['Id']}"} for entry in Entries if entry["Id"] not in failed
        ]
        return {"Successful": sent, "Failed": [{"Id": number, **fault} for number, fault in failed.items()]}


def publisher(sqs: Sqs) -> Publisher:
    return Publisher("url", cast("SQSClient", sqs), Backoff(0.0, sleep=lambda _: None))


def events(number: int, **fields: Any) -> list[dict[str, Any]]:
    return [issue_event(event_id=f"e-{n}", **fields) for n in range(number)]


def test_events_go_in_batches_of_ten_in_the_group_of_their_organisation() -> None:
    sqs = Sqs()
    outcomes = publisher(sqs).publish_all(events(25))
    assert sorted(map(len, sqs.calls)) == [5, 10, 10]
    assert {entry["MessageGroupId"] for call in sqs.calls for entry in call} == {issue_event()["organization_id"]}
    assert [(o.position, o.event_id, o.message_id) for o in outcomes] == [
        (n, f"e-{n}", f"m-{n}") for n in range(25)
    ]


def test_a_batch_has_at_most_256_kib() -> None:
    sqs = Sqs()
    publisher(sqs).publish_all(events(4, data={"text": "\u20ac" * 30_000}))
    assert [len(call) for call in sqs.calls] == [2, 2]


def test_a_json_text_is_sent_as_it_was_written() -> None:
    sqs, text = Sqs(), json.dumps(issue_event(), indent=3)
    assert publisher(sqs).publish(text) == "m-0"
    assert sqs.calls[0][0]["MessageBody"] == text


def test_what_sqs_rejects_by_its_own_fault_is_sent_again_and_nothing_else() -> None:
    rejected = iter([{"Code": "InternalError", "SenderFault": False}])
    sqs = Sqs(lambda entry: next(rejected, None) if entry["Id"] == "1" else None)
    assert all(outcome.sent for outcome in publisher(sqs).publish_all(events(3)))
    assert [[entry["Id"] for entry in call] for call in sqs.calls] == [["0", "1", "2"], ["1"]]


def test_a_partial_failure_is_reported_for_each_event() -> None:
    fault = {"Code": "InvalidParameterValue", "Message": "no", "SenderFault": True}
    sqs = Sqs(lambda entry: fault if entry["Id"] == "1" else None)
    sent, failed, after = publisher(sqs).publish_all(events(3))
    assert (sent.sent, failed.sent, after.sent) == (True, False, True)
    assert (failed.event_id, failed.reason) == ("e-1", "InvalidParameterValue: no")
    assert len(sqs.calls) == 1
    with pytest.raises(PublishError, match="event e-0: InternalError"):
        publisher(Sqs(lambda _: {"Code": "InternalError", "SenderFault": False})).publish(events(1)[0])


def test_a_call_that_fails_is_the_outcome_of_its_events_and_not_of_the_others() -> None:
    def fail(entry: Entry) -> Entry | None:
        if entry["Id"] == "3":
            raise EndpointConnectionError(endpoint_url="https://queue.example")
        return None

    outcomes = publisher(Sqs(fail)).publish_all(events(15))
    assert [outcome.sent for outcome in outcomes] == [False] * 10 + [True] * 5
    assert isinstance(outcomes[0].cause, EndpointConnectionError)
    assert "queue.example" in outcomes[0].reason


def test_nothing_is_sent_when_one_event_is_malformed() -> None:
    sqs = Sqs()
    with pytest.raises(MalformedEventsError, match=r'event \[1\]: type: is "x"') as caught:
        publisher(sqs).publish_all([issue_event(), issue_event(type="x")])
    assert [*caught.value.faults] == [1]
    assert sqs.calls == []


def test_what_is_not_begun_when_it_is_closed_is_not_sent() -> None:
    sqs = Sqs()
    outcomes = publisher(sqs).outcomes(events(200))
    next(outcomes)
    cast("Generator[object, None, None]", outcomes).close()
    assert len(sqs.calls) == AT_ONCE


def test_a_real_queue_takes_them(queue: str) -> None:
    assert all(outcome.sent for outcome in Publisher(queue, boto3.client("sqs")).publish_all(events(12)))
