import json
from typing import Any

import boto3
import pytest

from bellhop import deliveries
from bellhop.deliveries import Retry, Trial
from health import messages
from health.messages import FollowUp
from infra.cli.status import queues
from infra.cli.status.queues import DeadLetter
from tests.support.fakes import delivery

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


@pytest.mark.parametrize(
    ("body", "about"),
    [
        (deliveries.encode(delivery(delivery_id="msg_1")), "delivery msg_1 to pager"),
        (deliveries.encode(Retry("msg_1", "pager", 2)), "retry of msg_1 to pager"),
        (deliveries.encode(Trial("pager", 1, 0)), "trial of pager"),
        (messages.encode(FollowUp("pager", "00000001#disabled")), "follow_up of pager"),
        (json.dumps({"event_id": "e-1", "organization_id": "acme"}), "event e-1 of acme"),
        ("not json", "unreadable"),
        ("[1]", "unreadable"),
        ('{"v": 99}', "unreadable"),
    ],
)
def test_a_dead_letter_without_a_reason_says_what_it_is_about(body: str, about: str) -> None:
    assert DeadLetter(body).about == about
    assert DeadLetter(body).reason == ""


def test_the_body_of_a_dead_letter_is_not_in_the_document() -> None:
    sqs, url = dead_letters('{"secret": 1}')
    (found,) = queues.read(sqs, {"IssueEventsDeadLetters": url}, {})
    assert "secret" not in json.dumps(found.document())


def test_the_scheduler_says_why_it_could_not_send() -> None:
    assert DeadLetter("{}", {"ERROR_CODE": "X", "ERROR_MESSAGE": "no rights"}).reason == "no rights"
