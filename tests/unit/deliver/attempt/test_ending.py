"""What an attempt leaves behind: its row in the log, what is counted of it, the next attempt."""

import dataclasses
import json
from typing import Any

import pytest

from bellhop import circuits
from bellhop.registry import INTERNAL, PUBLISHED, UNPUBLISHED, App
from deliver.dependencies import DeliverDependencies
from deliver.http.response import Response, SendFailure
from tests.support.endpoint import (
    NOTHING,
    TIMEOUT,
    Endpoint,
    FakeBus,
    counters,
    packed,
    record,
    response,
    retries,
    run,
)
from tests.support.fakes import app, delivery, queue_message

BROKEN_OFF = SendFailure("connection_error", "ConnectionResetError: reset by peer")


def logged_response(deps: DeliverDependencies, body: bytes) -> str:
    """What the log has of a failed attempt's response."""
    assert run(deps, Endpoint(response(400, body)), queue_message(delivery())) == []
    return str(record().attempts[0]["response"])


@pytest.mark.parametrize("kind", [INTERNAL, UNPUBLISHED, PUBLISHED])
@pytest.mark.parametrize(
    "failure",
    [
        pytest.param((response(400), "http_400", "error"), id="400"),
        pytest.param((TIMEOUT, "timeout", "timeout"), id="timeout"),
        pytest.param((BROKEN_OFF, "connection_error", "timeout"), id="connection error"),
    ],
)
def test_a_failure_of_an_app_of_any_kind_is_logged_counted_and_retried_to_the_end(
    deps: DeliverDependencies,
    apps: dict[str, App],
    queue: str,
    kind: str,
    failure: tuple[Response | SendFailure, str, str],
) -> None:
    outcome, result, counter = failure
    apps["pager"] = app(kind=kind)
    due, sent = [queue_message(delivery())], []
    for _ in range(1 + len(deps.policy.delays)):
        assert run(deps, Endpoint(outcome), *due) == []
        due = retries(queue)
        sent.append(len(due))
    assert sent == [1, 1, 0]
    assert [entry["result"] for entry in record().attempts] == [result] * 3
    assert counters() == NOTHING | {counter: 3}


class Reader(FakeBus):
    """A bus at which somebody reads the record as soon as an event comes."""

    def publish(self, kind: str, event_id: str, detail: dict[str, Any]) -> None:
        super().publish(kind, event_id, detail | {"state": record().state})


def test_that_a_delivery_is_exhausted_is_announced_once_that_is_written_and_not_before(
    deps: DeliverDependencies, queue: str
) -> None:
    bus, due = Reader(), [queue_message(delivery())]
    deps = dataclasses.replace(deps, bus=bus)
    while due:
        assert run(deps, Endpoint(response(500)), *due) == []
        due = retries(queue)
    assert [(kind, detail["state"]) for kind, _, detail in bus.events] == [
        ("bellhop.delivery.exhausted", "exhausted")
    ]


@pytest.mark.parametrize("kind", [INTERNAL, UNPUBLISHED, PUBLISHED])
def test_a_success_of_an_app_of_any_kind_is_logged_and_counted(
    deps: DeliverDependencies, apps: dict[str, App], queue: str, kind: str
) -> None:
    apps["pager"] = app(kind=kind)
    assert run(deps, Endpoint(response(200)), queue_message(delivery())) == []
    assert [entry["result"] for entry in packed()] == ["http_200"]
    assert counters() == NOTHING | {"success": 1}
    assert retries(queue) == []


def test_two_apps_that_both_respond_with_404_are_both_attempted_each_at_its_own_url(
    deps: DeliverDependencies, apps: dict[str, App], queue: str
) -> None:
    apps["pager"], apps["chat"] = app(url="https://pager.example/"), app("chat", url="https://chat.example/")
    endpoint = Endpoint(response(404))
    batch = [queue_message(delivery(delivery_id=f"msg_{name}", app_id=name), name) for name in apps]
    assert run(deps, endpoint, *batch) == []
    posted = {url: headers["webhook-id"] for url, headers, _ in endpoint.posted}
    assert posted == {"https://pager.example/": "msg_pager", "https://chat.example/": "msg_chat"}
    assert [record(f"msg_{name}").state for name in apps] == ["retrying", "retrying"]
    assert len(retries(queue)) == 2


def test_an_html_response_is_kept_as_text(deps: DeliverDependencies) -> None:
    page = '<!doctype html>\n<title>404</title><p>Nothing here: caf\u00e9 & "more"</p>'
    assert logged_response(deps, page.encode()) == page


def test_a_json_response_is_kept_so_that_it_can_be_decoded_again(deps: DeliverDependencies) -> None:
    body = {"error": 'no "such" issue \u20ac', "fields": [1, None, {"deep": True}]}
    assert json.loads(logged_response(deps, json.dumps(body).encode())) == body


def test_bytes_of_a_response_that_are_no_text_are_replaced(deps: DeliverDependencies) -> None:
    assert (
        logged_response(deps, b"\xff\xfe half a \xe2\x82 and a nul \x00")
        == "\ufffd\ufffd half a \ufffd and a nul \x00"
    )


def test_a_timeout_is_logged_without_a_status_counted_once_and_leaves_the_app_on(
    deps: DeliverDependencies,
) -> None:
    endpoint = Endpoint(TIMEOUT, response(200))
    run(deps, endpoint, queue_message(delivery()))
    [entry] = record().attempts
    assert (entry["result"], "status" in entry) == ("timeout", False)
    assert counters() == NOTHING | {"timeout": 1}
    run(deps, endpoint, queue_message(delivery(delivery_id="msg_next")))
    assert len(endpoint.posted) == 2
    assert circuits.load("pager").paused_since is None


def test_the_log_has_the_request_id_that_each_attempt_was_sent_with(deps: DeliverDependencies, queue: str) -> None:
    endpoint = Endpoint(TIMEOUT, response(500), response(200))
    run(deps, endpoint, queue_message(delivery()))
    run(deps, endpoint, *retries(queue))
    run(deps, endpoint, queue_message(delivery(delivery_id="msg_other")))
    first, second, other = (headers["Request-ID"] for _, headers, _ in endpoint.posted)
    assert [entry["request_id"] for entry in record().attempts] == [first, second]
    assert [entry["request_id"] for entry in packed()] == [other]
