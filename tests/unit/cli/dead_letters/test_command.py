"""bellhop dead-letters, on queues in memory."""

import json
from typing import Any

import boto3
import pytest

from bellhop import deliveries
from bellhop.deliveries import Retry
from bellhop.queues import Queue
from infra.cli import terminal
from infra.cli.dead_letters import queues
from infra.cli.dead_letters.queues import ORIGINS
from tests.support.fakes import delivery, issue_event
from tests.unit.cli.cli_runner import CloudFormation, bellhop, misused, refused, succeed
from tests.unit.cli.failing_app import ESCAPED, HOSTILE

MALFORMED = json.dumps({"event_id": "ev7", "issue": {"title": HOSTILE}})


@pytest.fixture(autouse=True)
def stack(cloudformation: CloudFormation, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stack whose dead-letter queues, and work queues, are queues of their own."""
    sqs = boto3.client("sqs")
    monkeypatch.setattr(queues, "WAIT_SECONDS", 0)
    for name, output in ORIGINS.items():
        made = sqs.create_queue(QueueName=f"{name}DeadLetters")["QueueUrl"]
        cloudformation.queue_urls[f"{name}DeadLetters"] = made
        cloudformation.outputs[output] = sqs.create_queue(QueueName=output)["QueueUrl"]


def put(queue: str, body: str, group: str | None = None, **attributes: str) -> str:
    """Put a dead letter there; returns its id."""
    sqs = boto3.client("sqs")
    texts: Any = {name: {"DataType": "String", "StringValue": text} for name, text in attributes.items()}
    grouped: Any = {"MessageGroupId": group} if group else {}
    url = sqs.get_queue_url(QueueName=f"{queue}DeadLetters")["QueueUrl"]
    return sqs.send_message(QueueUrl=url, MessageBody=body, MessageAttributes=texts, **grouped)["MessageId"]


def visible(queue: str) -> int:
    """How many messages anybody may receive now."""
    sqs = boto3.client("sqs")
    return Queue(sqs, sqs.get_queue_url(QueueName=queue)["QueueUrl"]).waiting()


def sent_to(name: str) -> list[dict[str, Any]]:
    """What was put on a work queue."""
    sqs = boto3.client("sqs")
    url = sqs.get_queue_url(QueueName=ORIGINS[name])["QueueUrl"]
    found = sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["All"], MessageAttributeNames=["All"]
    )
    return [dict(message) for message in found.get("Messages", [])]


def a_retry(number: int = 1) -> str:
    return deliveries.encode(Retry(f"msg_{number}", "pager", 2))


def test_every_dead_letter_is_listed_with_its_reason_and_stays_where_it_is() -> None:
    put("IssueEvents", MALFORMED, field="type", reason="is missing")
    for number in range(25):
        put("Retries", a_retry(number), "pager")
    shown = succeed("dead-letters", "list")
    assert "malformed event" in shown
    assert "type: is missing" in shown
    assert all(f"msg_{number} " in shown for number in range(25))
    assert "26 dead letters." in shown
    assert (visible("IssueEventsDeadLetters"), visible("RetriesDeadLetters")) == (1, 25)


def test_no_more_are_looked_at_than_is_asked_for_and_that_is_said() -> None:
    for number in range(12):
        put("Retries", a_retry(number))
    assert "11 dead letters, the first of each queue: --limit shows more" in succeed(
        "dead-letters", "list", "--limit", "11"
    )
    document = json.loads(succeed("dead-letters", "list", "--limit", "11", "--json"))
    assert (len(document["dead_letters"]), document["complete"]) == (11, False)
    assert visible("RetriesDeadLetters") == 12


def test_one_is_shown_whole_and_what_others_wrote_is_made_printable() -> None:
    message = put("IssueEvents", MALFORMED, field="type", reason="is missing")
    hostile = put("Deliveries", deliveries.encode(delivery(event_id=HOSTILE)))
    shown = succeed("dead-letters", "show", message)
    assert "type: is missing" in shown
    assert "\x1b" not in shown
    assert '{"event_id": "ev7", "issue"' in shown
    assert ESCAPED in succeed("dead-letters", "show", hostile)
    assert ESCAPED in succeed("dead-letters", "list")


def test_what_is_not_there_is_an_error_that_says_where_the_ids_are() -> None:
    assert "no dead letter 'nowhere\\x1b'" in refused("dead-letters", "show", "nowhere\x1b")
    result = bellhop("dead-letters", "redrive", "nowhere")
    assert result.exit_code == 1
    assert "no dead letter nowhere: `bellhop dead-letters list`" in result.stdout


def test_one_is_redriven_to_the_queue_that_it_came_from_and_the_others_stay() -> None:
    put("Retries", a_retry(1), "pager")
    wanted = put("Retries", a_retry(2), "pager")
    assert "1 dead letter of Retries redriven." in succeed("dead-letters", "redrive", wanted)
    [message] = sent_to("Retries")
    assert message["Body"] == a_retry(2)
    assert message["Attributes"]["MessageGroupId"] == "pager"
    assert visible("RetriesDeadLetters") == 1


def test_all_are_redriven_but_those_that_would_come_straight_back() -> None:
    put("Deliveries", deliveries.encode(delivery()), "pager")
    put("Schedules", a_retry())
    put("IssueEvents", json.dumps(issue_event()), "acme", trace="t1")
    malformed = put("IssueEvents", MALFORMED, field="type", reason="is missing")
    result = bellhop("dead-letters", "redrive", "--all")
    assert result.exit_code == 1
    assert f"{malformed} of IssueEvents: it is malformed" in result.stdout
    assert "3 dead letters (1 of IssueEvents, 1 of Deliveries, 1 of Schedules) redriven." in result.stdout
    [event] = sent_to("IssueEvents")
    assert event["MessageAttributes"]["trace"]["StringValue"] == "t1"
    assert [message["Body"] for message in sent_to("Schedules")] == [a_retry()]  # on Retries
    assert (visible("IssueEventsDeadLetters"), visible("SchedulesDeadLetters")) == (1, 0)


def test_a_death_between_sending_and_deleting_leaves_a_copy_and_never_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted = put("Retries", a_retry())
    with monkeypatch.context() as patch:
        patch.setattr(queues.Reading, "delete", lambda *_: 1 / 0)
        assert isinstance(bellhop("dead-letters", "redrive", wanted).exception, ZeroDivisionError)
    assert visible("RetriesDeadLetters") == 1
    assert "1 dead letter of Retries redriven." in succeed("dead-letters", "redrive", wanted)
    assert [message["Body"] for message in sent_to("Retries")] == [a_retry(), a_retry()]


def test_what_the_work_queue_does_not_take_stays_a_dead_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    message = put("Retries", a_retry())
    monkeypatch.setattr(Queue, "send_all", lambda _, sent, __: set(range(len(sent))))
    result = bellhop("dead-letters", "redrive", "--queue", "retries")
    assert result.exit_code == 1
    assert f"{message} of Retries: Retries did not take it" in result.stdout
    assert visible("RetriesDeadLetters") == 1


def test_one_is_deleted_only_when_that_is_confirmed() -> None:
    message, other = put("Retries", a_retry()), put("Retries", a_retry(2))
    assert "--yes" in refused("dead-letters", "delete", message)
    assert visible("RetriesDeadLetters") == 2
    document = json.loads(succeed("dead-letters", "delete", message, "--yes", "--json"))
    assert document == {"deleted": {"Retries": 1}, "left": [], "not_found": []}
    assert visible("RetriesDeadLetters") == 1
    assert other in succeed("dead-letters", "list")
    succeed("dead-letters", "delete", "--queue", "Retries", "--yes")
    assert visible("RetriesDeadLetters") == 0


@pytest.mark.parametrize("which", [["nosuch"], ["--all"], ["--queue", "Retries"]])
def test_it_asked_whether_to_delete_what_is_not_there(which: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "confirm", lambda question, *_, **__: pytest.fail(question))
    result = bellhop("dead-letters", "delete", *which)
    assert result.exit_code == (1 if which == ["nosuch"] else 0)
    assert result.stdout.endswith("0 dead letters deleted.\n")
    assert ("no dead letter nosuch" in result.stdout) == (which == ["nosuch"])


def test_whoever_deletes_is_asked_how_many_of_which_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(terminal, "confirm", lambda question, *_, **__: asked.append(question))
    one = put("IssueEvents", MALFORMED)
    put("Retries", a_retry())
    put("Retries", a_retry(2))
    assert "1 dead letter of IssueEvents deleted." in bellhop("dead-letters", "delete", one, "nosuch").stdout
    assert "2 dead letters of Retries deleted." in succeed("dead-letters", "delete", "--all")
    assert asked == ["Delete 1 dead letter of IssueEvents?", "Delete 2 dead letters of Retries?"]


def test_a_large_body_filled_many_screens() -> None:
    event = json.dumps(issue_event(issue={"id": 1, "title": "x" * 250_000}))
    message = put("IssueEvents", event)
    shown = succeed("dead-letters", "show", message)
    assert len(shown) < 6_000
    assert f"... and {len(event) - 4_000:,} more characters: --json has all" in shown
    assert json.loads(succeed("dead-letters", "show", message, "--json"))["body"] == event


def test_to_redrive_was_the_advice_where_none_can_be_redriven() -> None:
    malformed = put("IssueEvents", MALFORMED)
    shown = succeed("dead-letters", "list")
    assert "None of these can be redriven" in shown
    assert shown.endswith(
        f"Next: bellhop dead-letters show {malformed}; bellhop dead-letters delete {malformed}\n"
    )
    assert f"Next: bellhop dead-letters delete {malformed}" in succeed("dead-letters", "show", malformed)
    put("Retries", a_retry())
    shown = succeed("dead-letters", "list")
    assert "None of these" not in shown
    verbs = ("show", "redrive", "delete")
    assert shown.endswith(f"Next: {'; '.join(f'bellhop dead-letters {verb} MESSAGE' for verb in verbs)}\n")


@pytest.mark.parametrize("arguments", [[], ["--all", "id"], ["--all", "--queue", "Retries"]])
@pytest.mark.parametrize("verb", ["redrive", "delete"])
def test_what_is_meant_must_be_said(verb: str, arguments: list[str]) -> None:
    assert "or a queue by --queue, or --all" in misused("dead-letters", verb, *arguments)


def test_they_are_exported_as_json_lines_with_the_message_as_it_is() -> None:
    put("IssueEvents", MALFORMED, field="type", reason="is missing")
    put("Retries", a_retry(), "pager")
    result = bellhop("dead-letters", "export")
    first, second = [json.loads(text) for text in result.stdout.splitlines()]
    assert (first["body"], first["attributes"]) == (MALFORMED, {"field": "type", "reason": "is missing"})
    assert (second["queue"], second["group"], second["names"]["delivery_id"]) == ("Retries", "pager", "msg_1")
    assert result.stderr == "2 dead letters\n"
    assert (visible("IssueEventsDeadLetters"), visible("RetriesDeadLetters")) == (1, 1)


def test_a_stack_without_such_a_queue_is_an_older_one(cloudformation: CloudFormation) -> None:
    del cloudformation.queue_urls["RetriesDeadLetters"]
    assert "has no queue RetriesDeadLetters" in refused("dead-letters", "list")


def test_a_message_that_shows_again_while_it_is_read_is_listed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues, "HIDDEN_SECONDS", 0)
    put("Retries", a_retry())
    shown = succeed("dead-letters", "list", "--queue", "RETRIES")
    assert shown.count("msg_1") == 1


def test_what_another_command_has_just_received_is_not_taken_for_gone() -> None:
    put("Retries", a_retry())
    sqs = boto3.client("sqs")
    url = sqs.get_queue_url(QueueName="RetriesDeadLetters")["QueueUrl"]
    sqs.receive_message(QueueUrl=url, VisibilityTimeout=60)
    shown = succeed("dead-letters", "list")
    assert "0 dead letters." in shown
    assert "Another command is reading 1 more" in shown


def test_the_queues_were_listed_in_another_spelling() -> None:
    said = misused("dead-letters", "list", "--queue", "Foo")
    assert "'--queue': 'Foo' is none of IssueEvents, Deliveries, Retries, Schedules, Transitions" in said
