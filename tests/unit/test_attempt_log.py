"""What an attempt leaves behind: its row in the log, what is counted of it, the next attempt."""

import json

import pytest

from bellhop import gates
from bellhop.registry import INTERNAL, PUBLISHED, UNPUBLISHED, App
from bellhop.successes import SuccessPack
from deliver.answer import Answer, NoAnswer
from deliver.desk import Desk
from tests.endpoint import TIMEOUT, Endpoint, answer, counters, record, retries, run
from tests.fakes import app, delivery, sqs_record

NOTHING = {"success": 0, "error": 0, "timeout": 0, "fatal": 0}
BROKEN_OFF = NoAnswer("connection_error", "ConnectionResetError: reset by peer")


def kept(desk: Desk, body: bytes) -> str:
    """What the log has of a failed attempt's answer; the delivery's message is done."""
    assert run(desk, Endpoint(answer(400, body)), sqs_record(delivery())) == []
    return str(record().history[0]["answer"])


def packed() -> list[dict[str, object]]:
    return [entry for pack in SuccessPack.scan() for entry in pack.entries]


@pytest.mark.parametrize("kind", [INTERNAL, UNPUBLISHED, PUBLISHED])
@pytest.mark.parametrize(
    "failure",
    [
        pytest.param((answer(400), "http_400", "error"), id="400"),
        pytest.param((TIMEOUT, "timeout", "timeout"), id="timeout"),
        pytest.param((BROKEN_OFF, "connection_error", "timeout"), id="connection error"),
    ],
)
def test_a_failure_of_an_app_of_any_kind_is_logged_counted_and_retried_to_the_end(
    desk: Desk, apps: dict[str, App], queue: str, kind: str, failure: tuple[Answer | NoAnswer, str, str]
) -> None:
    outcome, result, counter = failure
    apps["pager"] = app(kind=kind)
    due, sent = [sqs_record(delivery())], []
    for _ in range(1 + len(desk.policy.delays)):
        assert run(desk, Endpoint(outcome), *due) == []
        due = retries(queue)
        sent.append(len(due))
    assert sent == [1, 1, 0]
    assert [entry["result"] for entry in record().history] == [result] * 3
    assert counters() == NOTHING | {counter: 3}


@pytest.mark.parametrize("kind", [INTERNAL, UNPUBLISHED, PUBLISHED])
def test_a_success_of_an_app_of_any_kind_is_logged_and_counted(
    desk: Desk, apps: dict[str, App], queue: str, kind: str
) -> None:
    apps["pager"] = app(kind=kind)
    assert run(desk, Endpoint(answer(200)), sqs_record(delivery())) == []
    assert [entry["result"] for entry in packed()] == ["http_200"]
    assert counters() == NOTHING | {"success": 1}
    assert retries(queue) == []


def test_two_apps_that_both_answer_404_are_both_attempted_each_at_its_own_url(
    desk: Desk, apps: dict[str, App], queue: str
) -> None:
    apps["pager"], apps["chat"] = app(url="https://pager.example/"), app("chat", url="https://chat.example/")
    endpoint = Endpoint(answer(404))
    batch = [sqs_record(delivery(delivery_id=f"msg_{name}", app_id=name), name) for name in apps]
    assert run(desk, endpoint, *batch) == []
    posted = {url: headers["webhook-id"] for url, headers, _ in endpoint.posted}
    assert posted == {"https://pager.example/": "msg_pager", "https://chat.example/": "msg_chat"}
    assert [record(f"msg_{name}").state for name in apps] == ["retrying", "retrying"]
    assert len(retries(queue)) == 2


def test_an_html_answer_is_kept_as_text(desk: Desk) -> None:
    page = '<!doctype html>\n<title>404</title><p>Nothing here: caf\u00e9 & "more"</p>'
    assert kept(desk, page.encode()) == page


def test_a_json_answer_is_kept_so_that_it_can_be_decoded_again(desk: Desk) -> None:
    said = {"error": 'no "such" issue \u20ac', "fields": [1, None, {"deep": True}]}
    assert json.loads(kept(desk, json.dumps(said).encode())) == said


def test_bytes_of_an_answer_that_are_no_text_are_replaced(desk: Desk) -> None:
    assert kept(desk, b"\xff\xfe half a \xe2\x82 and a nul \x00") == "\ufffd\ufffd half a \ufffd and a nul \x00"


def test_a_timeout_is_logged_without_a_status_counted_once_and_leaves_the_app_on(desk: Desk) -> None:
    endpoint = Endpoint(TIMEOUT, answer(200))
    run(desk, endpoint, sqs_record(delivery()))
    [entry] = record().history
    assert (entry["result"], "status" in entry) == ("timeout", False)
    assert counters() == NOTHING | {"timeout": 1}
    run(desk, endpoint, sqs_record(delivery(delivery_id="msg_next")))
    assert len(endpoint.posted) == 2
    assert gates.load("pager").paused_since is None


def test_the_log_has_the_request_id_that_each_attempt_was_sent_with(desk: Desk, queue: str) -> None:
    endpoint = Endpoint(TIMEOUT, answer(500), answer(200))
    run(desk, endpoint, sqs_record(delivery()))
    run(desk, endpoint, *retries(queue))
    run(desk, endpoint, sqs_record(delivery(delivery_id="msg_other")))
    first, second, other = (headers["Request-ID"] for _, headers, _ in endpoint.posted)
    assert [entry["request_id"] for entry in record().history] == [first, second]
    assert [entry["request_id"] for entry in packed()] == [other]
