import json
from typing import TYPE_CHECKING, Any, cast

import boto3
import pytest

from bellhop.events import MalformedEventError, parse
from bellhop.queues import Queue
from infra.cli.commands.publish import read, send
from infra.cli.errors import CommandError
from tests.unit.cli.cli_runner import refused, succeed

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


def event(number: int = 1, **fields: Any) -> dict[str, Any]:
    names = {"event_id": f"e-{number}", "type": "created", "organization_id": "acme"}
    return names | {"issue": {"id": number}} | fields


def lines(error: pytest.ExceptionInfo[CommandError]) -> tuple[str, ...]:
    return error.value.lines


def test_one_event_keeps_its_own_text() -> None:
    text = json.dumps(event(), indent=2)
    ((sent, parsed),) = read(text)
    assert sent == text
    assert parsed.event_id == "e-1"


def test_an_array_and_json_lines_are_events_each() -> None:
    both = [event(1), event(2)]
    assert [e.event_id for _, e in read(json.dumps(both))] == ["e-1", "e-2"]
    text = "\n".join(map(json.dumps, both)) + "\n\n"
    assert [e.event_id for _, e in read(text)] == ["e-1", "e-2"]


def test_a_malformed_event_gets_the_same_error_as_from_notify() -> None:
    text = json.dumps(event(type="deleted"))
    with pytest.raises(MalformedEventError) as expected:
        parse(text)
    with pytest.raises(CommandError) as caught:
        read(text)
    assert lines(caught) == (str(expected.value),)


def test_every_malformed_event_is_named_by_its_place() -> None:
    with pytest.raises(CommandError) as caught:
        read(json.dumps([event(1, extra=1), event(2), event(3, type="x")]))
    assert [line.partition(": ")[0] for line in lines(caught)] == ["event [0]", "event [2]"]
    with pytest.raises(CommandError) as caught:
        read("\n".join([json.dumps(event(1)), "{", json.dumps(event(3))]))
    assert lines(caught)[0].startswith("line 2: body: is not JSON")


@pytest.mark.parametrize("text", ["", " \n", "[]"])
def test_nothing_to_publish_is_an_error(text: str) -> None:
    with pytest.raises(CommandError, match="no event in it"):
        read(text)


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "nonsense\nnonsense", '{"event_id": NaN}', "[NaN]", "7"])
def test_what_is_no_event_is_refused_without_a_traceback(text: str) -> None:
    with pytest.raises(CommandError):
        read(text)


def test_a_lone_surrogate_is_refused_in_an_array_too() -> None:
    with pytest.raises(CommandError, match="lone surrogate"):
        read('[{"event_id": "e", "type": "created", "organization_id": "a", "issue": {"id": "\\ud800"}}]')


def test_events_are_sent_in_the_group_of_their_organisation(queue: str) -> None:
    sqs = boto3.client("sqs")
    send(read(json.dumps([event(n) for n in range(12)])), Queue(sqs, queue), lambda calls: None)
    received: list[Any] = []
    while batch := sqs.receive_message(
        QueueUrl=queue, MaxNumberOfMessages=10, MessageSystemAttributeNames=["MessageGroupId"]
    ).get("Messages"):
        received += batch
    assert {json.loads(message["Body"])["event_id"] for message in received} == {f"e-{n}" for n in range(12)}
    assert {message["Attributes"]["MessageGroupId"] for message in received} == {"acme"}


def test_what_sqs_does_not_take_is_named() -> None:
    class Refusing:
        def send_message_batch(self, Entries: list[dict[str, str]], **_: object) -> dict[str, Any]:  # noqa: N803
            return {"Successful": [entry for entry in Entries if entry["Id"] != "1"]}

    queue = Queue(cast("SQSClient", Refusing()), "url")
    with pytest.raises(CommandError, match="did not take 1 of 3 events: publish e-1 again"):
        send(read(json.dumps([event(n) for n in range(3)])), queue, lambda calls: None)


@pytest.mark.usefixtures("cloudformation")
def test_publish_sends_the_event_and_says_which(queue: str) -> None:
    event = {"event_id": "e-1", "type": "created", "organization_id": "4501", "issue": {"id": 1}}
    assert "issue.created" in succeed("publish", "-", stdin=json.dumps(event))
    assert json.loads(succeed("publish", "-", "--json", stdin=json.dumps([event]))) == [
        {"event_id": "e-1", "organization_id": "4501", "event": "issue.created"}
    ]
    attributes = boto3.client("sqs").get_queue_attributes(
        QueueUrl=queue, AttributeNames=["ApproximateNumberOfMessages"]
    )
    assert attributes["Attributes"]["ApproximateNumberOfMessages"] == "2"


@pytest.mark.usefixtures("cloudformation")
def test_publish_refuses_all_when_one_is_malformed(queue: str) -> None:
    good = {"event_id": "e-1", "type": "created", "organization_id": "4501", "issue": {"id": 1}}
    said = refused("publish", "-", stdin=json.dumps([good, good | {"event_id": "a b"}]))
    assert "event [1]: event_id: " in said
    messages = boto3.client("sqs").receive_message(QueueUrl=queue)
    assert "Messages" not in messages
