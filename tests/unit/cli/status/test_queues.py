import json
from typing import Any

import boto3
import pytest

from bellhop import deliveries
from bellhop.deliveries import Retry
from infra.cli.status import queues

pytestmark = pytest.mark.usefixtures("aws")


def dead_letters(*bodies: str, **attributes: str) -> tuple[Any, str]:
    sqs = boto3.client("sqs")
    url = sqs.create_queue(QueueName="dead")["QueueUrl"]
    texts: Any = {name: {"DataType": "String", "StringValue": text} for name, text in attributes.items()}
    for body in bodies:
        sqs.send_message(QueueUrl=url, MessageBody=body, MessageAttributes=texts)
    return sqs, url


def test_dead_letters_are_counted_with_the_reason_that_came_with_them_and_stay() -> None:
    sqs, url = dead_letters("{}", "[]", field="type", reason="is missing")
    for _ in range(2):
        (found,) = queues.read(sqs, {"IssueEventsDeadLetters": url}, {})
        assert (found.total, found.reasons) == (2, {"type: is missing": 2})


def test_a_queue_that_is_no_dead_letter_queue_is_never_received_from() -> None:
    sqs, url = dead_letters("{}")
    (found,) = queues.read(sqs, {"Deliveries": url}, {"dead": 12.0})
    assert (found.dead_letters, found.waiting, found.oldest_seconds) == ((), 1, 12.0)


def test_queues_come_in_the_order_of_an_events_way_and_dead_letters_last() -> None:
    sqs, url = dead_letters()
    names = ("DeliveriesDeadLetters", "Transitions", "IssueEvents", "Retries", "Deliveries")
    found = [queue.name for queue in queues.read(sqs, dict.fromkeys(names, url), {})]
    assert found == ["IssueEvents", "Deliveries", "Retries", "Transitions", "DeliveriesDeadLetters"]


def test_a_dead_letter_without_a_reason_is_told_as_the_command_of_dead_letters_tells_it() -> None:
    sqs, url = dead_letters(deliveries.encode(Retry("msg_1", "pager", 2)))
    (found,) = queues.read(sqs, {"RetriesDeadLetters": url}, {})
    assert found.reasons == {"it failed ten times; deliver's log says why": 1}
    [letter] = found.document()["looked_at"]
    assert (letter["kind"], letter["delivery_id"], letter["app_id"]) == ("retry", "msg_1", "pager")


def test_the_body_of_a_dead_letter_is_not_in_the_document() -> None:
    sqs, url = dead_letters('{"data": "secret"}')
    (found,) = queues.read(sqs, {"IssueEventsDeadLetters": url}, {})
    assert "secret" not in json.dumps(found.document())
