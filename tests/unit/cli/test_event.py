import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest

from bellhop import attempts, pings, resends
from bellhop.attempts import EXHAUSTED, PARKED, RETRYING, STOPPED, Attempt, NextState
from bellhop.circuits import Circuit
from bellhop.deliveries import Delivery, delivery_id
from bellhop.long_responses import LongResponse
from bellhop.registry import App
from bellhop.resends import Times
from bellhop.secrets import SigningSecret
from bellhop.successes import SuccessLog
from infra.cli import stack
from infra.cli.errors import CommandError
from notify.report import COLUMNS
from tests.support.endpoint import log_rows
from tests.support.fakes import app, installation, organization
from tests.support.key_pairs import KEY_PAIR
from tests.unit.cli.cli_runner import CloudFormation, bellhop, misused, refused, succeed


class Logs:
    """CloudWatch Logs with some lines in each group; knows quoted patterns."""

    def __init__(self, **lines: list[dict[str, Any] | str]) -> None:
        self.lines = lines
        self.asked = list[dict[str, Any]]()

    def get_paginator(self, operation: str) -> "Logs":
        assert operation == "filter_log_events"
        return self

    def paginate(self, **asked: Any) -> list[dict[str, Any]]:
        self.asked.append(asked)
        at = int(datetime.now(UTC).timestamp() * 1000)
        lines = self.lines.get(asked["logGroupName"].removeprefix("logs-of-"), [])
        texts = [each if isinstance(each, str) else json.dumps(each) for each in lines]
        wanted = [text for text in texts if asked.get("filterPattern", "").strip('"') in text]
        return [{"events": [{"timestamp": at, "eventId": text, "message": text} for text in wanted]}]


@pytest.fixture
def logs(cloudformation: CloudFormation, monkeypatch: pytest.MonkeyPatch) -> Logs:
    made, real = Logs(), stack.client
    monkeypatch.setattr(stack, "client", lambda name: made if name == "logs" else real(name))
    organization().save()
    for name in ("pager", "board", "mute"):
        app(app_id=name).save()
        installation(installation_id=f"{name}-hook", app_id=name).save()
    return made


def webhook(name: str) -> str:
    return delivery_id("acme", "e-1", f"{name}-hook")


def delivery(name: str) -> Delivery:
    return Delivery(webhook(name), "e-1", "issue.created", name, "acme", f"{name}-hook", b"{}")


def fail(name: str, state: str, due: float = 0.0) -> None:
    now = datetime.now(UTC)
    headers = {"Retry-After": "120", "Server": "[red]x\x1b[0m"}
    failed = Attempt(1, now, 31, "request", "http_503", 503, "[red]down\x1b[0m", headers)
    attempts.open_record(delivery(name), NextState(state, due, failed), now)


def deliver_at_once(name: str, at: datetime) -> None:
    row = Attempt(1, at, 12, "request", "http_200", 200).row()
    names = {"app": name, "event_id": "e-1", "event": "issue.created", "delivery_id": webhook(name)}
    log_rows(SuccessLog("process", timedelta(0)), [row | names], at)


def enqueued(organization_id: str, installations: list[str]) -> dict[str, Any]:
    row = ["e-1", "issue.created", organization_id, "42", "7", installations]
    return {"message": "deliveries enqueued", "columns": COLUMNS, "events": [row]}


@pytest.mark.usefixtures("logs")
def test_an_event_shows_who_got_it_and_every_attempt() -> None:
    fail("pager", EXHAUSTED)
    deliver_at_once("board", datetime.now(UTC))
    text = succeed("event", "acme", "e-1")
    assert f"pager  exhausted  {webhook('pager')}" in text
    assert "http_503  31 ms  [red]down\\x1b[0m" in text
    assert f"bellhop resend {webhook('pager')}" in text
    assert f"board  delivered  {webhook('board')}" in text
    assert "Not known of mute-hook (mute)" in text
    assert "2 deliveries, 0 skipped." in text


def test_an_event_shows_who_was_skipped_as_notify_logged_it(logs: Logs) -> None:
    fail("pager", EXHAUSTED)
    event: dict[str, Any] = {"event_id": "e-1", "organization_id": "acme"}
    skipped = event | {"event_name": "issue.created", "skipped": {"project_not_allowed": ["mute-hook"]}}
    logs.lines["notify"] = [
        enqueued("acme", ["pager-hook", "board-hook"]),
        {"message": "event fanned out, but not to every installation"} | skipped,
        enqueued("other", ["mute-hook"]),
    ]
    read = json.loads(succeed("event", "acme", "e-1", "--json"))
    assert [(each["app_id"], each["reason"], each["logged"]) for each in read["skipped"]] == [
        ("mute", "project_not_allowed", True)
    ]
    assert [each["app_id"] for each in read["unknown"]] == ["board"]
    shown = succeed("event", "acme", "e-1")
    assert "Enqueued, and neither failed nor delivered yet, or its log has expired: board-hook (board).\n" in shown
    assert "Not known of" not in shown  # the same, said twice


def skips_a_hook(logs: Logs, reason: str, fault: dict[str, Any]) -> None:
    """Have notify's log say why the app "mute" does not get the event, and what failed."""
    event: dict[str, Any] = {"event_id": "e-1", "organization_id": "acme", "event_name": "issue.created"}
    skipped = {"message": "event fanned out, but not to every installation", "skipped": {reason: ["mute-hook"]}}
    logs.lines["notify"] = [skipped | event, fault | event]


def test_an_event_tells_whom_a_filter_kept_it_from_and_whose_could_not_be_evaluated(logs: Logs) -> None:
    fail("pager", EXHAUSTED)
    fault = {"message": "filter could not be evaluated", "faults": {"pager-hook": "no"}}
    skips_a_hook(logs, "filtered_out", fault)
    text = succeed("event", "acme", "e-1")
    assert re.search(r"mute-hook +mute +filtered_out", text)
    assert "The filter of pager-hook could not be evaluated, so it kept nothing back: no" in text
    assert json.loads(succeed("event", "acme", "e-1", "--json"))["filter_faults"] == {"pager-hook": "no"}


def test_an_event_tells_for_whom_a_transform_failed_and_how_they_get_it_after_all(logs: Logs) -> None:
    fail("pager", EXHAUSTED)
    faults = {"mute-hook": {"app_id": "mute", "reason": "no"}}
    skips_a_hook(logs, "transform_failed", {"message": "transform failed", "transform_faults": faults})
    text = succeed("event", "acme", "e-1")
    assert re.search(r"mute-hook +mute +transform_failed", text)
    assert "The transform failed for mute-hook, so it did not get the event: no" in text
    assert "publish the event again with that installation_id" in text
    read = json.loads(succeed("event", "acme", "e-1", "--json"))
    assert (read["transform_faults"], read["filter_faults"]) == ({"mute-hook": "no"}, {})


def test_a_hook_that_notify_did_not_name_may_have_got_nothing_by_its_transform(logs: Logs) -> None:
    app("mute", transform="{a: action}").save()
    event: dict[str, Any] = {"event_id": "e-1", "organization_id": "acme", "event_name": "issue.created"}
    logs.lines["notify"] = [{"message": "event skipped: no installation gets it"} | event | {"skipped": {}}]
    assert "its app's transform failed on the event" in succeed("event", "acme", "e-1")


def test_an_event_that_was_published_several_times_tells_when_it_was_fanned_out_again(logs: Logs) -> None:
    deliver_at_once("board", datetime.now(UTC))
    pieces = [enqueued("acme", ["board-hook"]), enqueued("acme", ["pager-hook"])]
    logs.lines["notify"] = list(pieces)
    assert "Fanned out again" not in succeed("event", "acme", "e-1")
    logs.lines["notify"] = [*pieces, *pieces, enqueued("other", ["board-hook"]), *pieces[:1]]
    text = succeed("event", "acme", "e-1")
    assert re.search(r"Fanned out again: 20[^,]* UTC, 20[^,]* UTC\. Of each delivery one", text)
    assert "all: bellhop log APP\n" in text
    assert len(json.loads(succeed("event", "acme", "e-1", "--json"))["fanned_out_again_at"]) == 2


def test_an_event_tells_of_its_duplicates_and_does_not_take_them_for_the_event(logs: Logs) -> None:
    event: dict[str, Any] = {"event_id": "e-1", "organization_id": "acme", "event_name": "issue.created"}
    logs.lines["notify"] = [
        {"message": "event skipped as a duplicate: `bellhop resend`", "reasons": "duplicate"} | event
    ]
    text = succeed("event", "acme", "e-1")
    assert text.startswith("e-1 of acme: issue.created\n")
    assert "Published again, and dropped as a duplicate: 20" in text
    assert "To send its webhooks again: bellhop resend --event e-1 --organization acme" in text
    assert "Nothing tells that this event arrived" not in text
    read = json.loads(succeed("event", "acme", "e-1", "--json"))
    assert (read["fanned_out_at"], len(read["duplicates"])) == (None, 1)
    assert [each["app_id"] for each in read["unknown"]] == ["board", "mute", "pager"]


def test_a_hook_that_notify_did_not_name_may_have_been_kept_out_by_its_filter(logs: Logs) -> None:
    installation(installation_id="mute-hook", app_id="mute", filter="data.issue").save()
    event: dict[str, Any] = {"event_id": "e-1", "organization_id": "acme", "event_name": "issue.created"}
    logs.lines["notify"] = [{"message": "event skipped: no installation gets it"} | event | {"skipped": {}}]
    assert "its filter did not want the event" in succeed("event", "acme", "e-1")


@pytest.mark.usefixtures("logs")
def test_without_a_log_the_reasons_are_those_of_what_is_registered_now() -> None:
    fail("pager", EXHAUSTED)
    installation(installation_id="mute-hook", app_id="mute", events=["issue.resolved"]).save()
    text = succeed("event", "acme", "e-1")
    assert "event_not_in_hook, as it is registered now" in text


@pytest.mark.usefixtures("logs")
@pytest.mark.parametrize(
    ("result", "why"),
    [
        ("http_410", "the endpoint asked for no more"),
        ("abort_requested", "the endpoint asked for no more"),
        ("address_not_allowed", "its address, URL or header"),
        ("token_error", "the address of its token endpoint is not allowed"),
    ],
)
def test_what_was_stopped_says_why(result: str, why: str) -> None:
    now = datetime.now(UTC)
    ended = Attempt(1, now, 31, "request", result, 410 if result.startswith("http") else None)
    attempts.open_record(delivery("pager"), NextState("stopped", 0.0, ended), now)
    assert f"nothing: {why}" in succeed("delivery", webhook("pager"))


@pytest.mark.usefixtures("logs")
@pytest.mark.parametrize(("result", "status"), [("timeout", None), ("http_500", 500)])
def test_a_ping_that_failed_was_told_as_a_webhook_that_was_stopped(result: str, status: int | None) -> None:
    now = datetime.now(UTC)
    sent = pings.make(App.get("pager"), "1", now)
    attempts.open_record(sent, NextState(STOPPED, attempt=Attempt(1, now, 31, "request", result, status)), now)
    told = succeed("delivery", sent.delivery_id)
    assert "next       nothing: a ping is not retried\n" in told
    assert "bellhop event" not in told  # it would say that it was never published
    assert told.endswith("Next: bellhop explain pager\n")


@pytest.mark.usefixtures("logs")
def test_what_waits_says_when_and_why() -> None:
    now = datetime.now(UTC).timestamp()
    fail("pager", RETRYING, now + 3_630)
    attempts.open_record(delivery("board"), NextState(PARKED), datetime.now(UTC))
    Circuit("board", generation=1, paused_since=now - 60, next_trial_at=now + 600).save()
    text = succeed("event", "acme", "e-1")
    assert "next       attempt 2 in 1 h" in text
    assert "parked while board is paused since" in text
    assert "next trial in 9 min" in text


def test_an_event_that_is_a_dead_letter_is_found(logs: Logs, cloudformation: CloudFormation) -> None:
    assert logs.asked == []
    sqs = boto3.client("sqs")
    url = sqs.create_queue(QueueName="dead")["QueueUrl"]
    cloudformation.queue_urls = {"IssueEventsDeadLetters": url}
    reason: Any = {"reason": {"DataType": "String", "StringValue": "is missing"}}
    body = json.dumps({"event_id": "e-1", "organization_id": "acme"})
    sqs.send_message(QueueUrl=url, MessageBody=body, MessageAttributes=reason)
    sqs.send_message(QueueUrl=url, MessageBody=body.replace("e-1", "e-2"))
    text = succeed("event", "acme", "e-1")
    assert text.count("Dead letter in IssueEventsDeadLetters: malformed event: is missing") == 1
    # They were hidden for some seconds, in which no other command found them.
    assert len(sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]) == 2


def test_a_malformed_event_was_said_to_be_fanned_out(logs: Logs) -> None:
    line = {"message": "event malformed: it was sent to the dead-letter queue", "field": "type"}
    logs.lines["notify"] = [line | {"event_id": "e-1", "organization_id": "acme"}]
    text = succeed("event", "acme", "e-1")
    assert "refused as malformed" in text
    assert "fanned out" not in text
    assert "Not known of" not in text


@pytest.mark.usefixtures("logs")
def test_an_event_of_which_nothing_is_known_says_what_that_can_mean() -> None:
    unheard_of = bellhop("event", "acme", "e-9")
    assert unheard_of.exit_code == 1
    assert "Nothing tells that this event arrived since" in unheard_of.stdout
    assert "no organisation 'acne'" in refused("event", "acne", "e-1")


def test_of_an_organisation_that_is_not_registered_what_notify_logged_was_not_shown(logs: Logs) -> None:
    fields = {"event_id": "e-1", "organization_id": "nobody", "event_name": "issue.created"}
    why = {"reasons": "missing_organization", "skipped": {"missing_organization": ["nobody"]}}
    logs.lines["notify"] = [{"message": "event skipped: no installation gets it"} | fields | why]
    assert "It reached nobody: missing_organization." in succeed("event", "nobody", "e-1")
    assert json.loads(succeed("event", "nobody", "e-1", "--json"))["reached_nobody"] == "missing_organization"


@pytest.mark.usefixtures("logs")
def test_a_delivery_shows_each_request_with_what_is_secret_masked() -> None:
    fail("pager", EXHAUSTED)
    text = succeed("delivery", webhook("pager"))
    assert f"webhook-id: {webhook('pager')}" in text
    assert "Request-ID: request" in text
    assert "webhook-signature: ****" in text
    assert "Sentry-Hook-Signature: ****" in text
    assert "response 503:" in text
    assert "[red]down\\x1b[0m" in text
    assert "    < Retry-After: 120\n" in text
    assert "    < Server: [red]x\\x1b[0m\n" in text
    read = json.loads(succeed("delivery", webhook("pager"), "--json"))
    assert read["attempts"][0]["request_headers"]["Sentry-Hook-Signature"] == "****"


@pytest.mark.usefixtures("logs")
def test_a_delivery_shows_that_a_token_was_sent_and_not_which() -> None:
    fail("pager", EXHAUSTED)
    SigningSecret("pager", secret="s" * 24, oauth2={"client_secret": "client-secret"}).save()
    text = succeed("delivery", webhook("pager"))
    assert "Authorization: ****" in text
    assert "client-secret" not in text


@pytest.mark.usefixtures("logs")
def test_a_delivery_shows_no_request_where_none_was_posted() -> None:
    now, token_url = datetime.now(UTC), "https://login.example/token"
    SigningSecret("pager", secret="s" * 24, oauth2={"token_url": token_url}).save()
    first = Attempt(1, now, 31, "request", "token_error", response="token endpoint: http_401: invalid_client")
    attempts.open_record(delivery("pager"), NextState(EXHAUSTED, attempt=first), now)
    text = succeed("delivery", webhook("pager"))
    assert f"    not posted: no access token from {token_url}\n" in text
    for absent in ("POST", "webhook-id", "****", "composed anew", "No attempt"):
        assert absent not in text
    [attempt] = json.loads(succeed("delivery", webhook("pager"), "--json"))["attempts"]
    assert (attempt["request_headers"], attempt["not_posted"]) == ({}, f"no access token from {token_url}")


@pytest.mark.usefixtures("logs")
def test_a_delivery_shows_a_long_response_whole_and_says_where_one_is_cut() -> None:
    first = Attempt(
        1, datetime.now(UTC), 9, "request-1", "http_500", 500, "x" * 1024, long=LongResponse("x" * 2000)
    )
    second = replace(first, request_id="request-2", long=LongResponse("y" * 2000, {"X-Host": "a"}, cut=True))
    known = attempts.open_record(delivery("pager"), NextState(EXHAUSTED, attempt=first), datetime.now(UTC))
    assert known
    assert attempts.reopen(delivery("pager"), known, NextState(EXHAUSTED, attempt=second), datetime.now(UTC))
    text = succeed("delivery", webhook("pager"))
    assert f"        {'x' * 1024}\n        (cut: the first 1,024 bytes are kept)" in text
    assert f"        {'y' * 2000}\n        (cut: the first 2,000 bytes are kept)" in text
    assert "    < X-Host: a\n" in text
    shown = json.loads(succeed("delivery", webhook("pager"), "--json"))["attempts"]
    assert [(len(each["response"]), each["cut"]) for each in shown] == [(1024, True), (2000, True)]


@pytest.mark.usefixtures("logs")
def test_a_delivery_shows_no_classic_signature_of_an_app_that_has_a_key_pair() -> None:
    fail("pager", EXHAUSTED)
    SigningSecret("pager", secret=KEY_PAIR).save()
    text = succeed("delivery", webhook("pager"))
    assert "webhook-signature: ****" in text
    assert "Sentry-Hook-Signature" not in text


@pytest.mark.usefixtures("logs")
def test_a_delivery_that_succeeded_at_once_is_found_by_its_app() -> None:
    deliver_at_once("board", datetime.now(UTC))
    assert "state      delivered" in succeed("delivery", webhook("board"), "--app", "board")
    assert "no delivery" in refused("delivery", webhook("board"), "--app", "pager")


def test_a_delivery_that_succeeded_at_once_is_found_by_delivers_log(logs: Logs) -> None:
    deliver_at_once("board", datetime.now(UTC))
    assert f"bellhop delivery {webhook('board')} --app APP --since 7d" in refused("delivery", webhook("board"))
    row = ["board", "e-1", webhook("board"), 1, 200, 12]
    logs.lines["deliver"] = [{"message": "delivered", "deliveries": [row]}]
    assert f"{webhook('board')} to board" in succeed("delivery", webhook("board"))


def test_tail_shows_first_what_an_exception_says_and_no_traceback(logs: Logs) -> None:
    reason = "app pager has no signing secret"
    trace = {
        "type": "InternalError",
        "value": reason,
        "module": "deliver",
        "frames": [{"file": "app.py", "line": 1}, {"file": "chain.py", "line": 276, "function": "keys"}],
    }
    line: dict[str, Any] = {"level": "ERROR", "message": "attempt not begun", "delivery_id": "msg_1"}
    line |= {"exception": "Traceback " * 100 + reason, "exception_name": "InternalError", "stack_trace": trace}
    logs.lines["deliver"] = [line, {"level": "ERROR", "message": "cut", "exception_name": "InternalError"}]
    first, second = succeed("tail").splitlines()
    assert first.endswith(
        f"ERROR attempt not begun  error=InternalError: {reason}  at=chain.py:276  delivery_id=msg_1"
    )
    assert second.endswith("ERROR cut  error=InternalError")
    assert json.loads(succeed("tail", "--text", "msg_1", "--json"))["stack_trace"] == trace


def test_tail_joins_the_logs_without_metrics_and_routine(logs: Logs) -> None:
    logs.lines = {
        "notify": [
            {"level": "INFO", "message": "deliveries enqueued", "timestamp": "2026-11-27 12:00:00,001+0000"}
        ],
        "deliver": [
            {"level": "WARNING", "message": "app paused", "app_id": "pager\x1b[31m"},
            {"_aws": {}, "DeliverySucceeded": [1.0]},
            "START RequestId: 1 Version: 2",
            "REPORT RequestId: 1\tDuration: 1 ms",
            "REPORT RequestId: 2\tDuration: 1 ms\tStatus: timeout",
        ],
    }
    text = succeed("tail")
    assert "No such line" not in text
    assert text.splitlines()[0] == "2026-11-27 12:00:00.001 notify  deliveries enqueued"
    assert "WARNING app paused  app_id=pager\\x1b[31m" in text
    assert "Status: timeout" in text
    assert len(text.splitlines()) == 3
    assert len(succeed("tail", "--level", "warning").splitlines()) == 2
    assert json.loads(succeed("tail", "--function", "notify", "--json"))["message"] == "deliveries enqueued"
    assert "none of notify, deliver, health" in misused("tail", "--function", "sweep")


def test_a_busy_apps_delivery_is_told_though_its_record_stands_under_a_further_key(logs: Logs) -> None:
    now = datetime.now(UTC)
    failed = Attempt(1, now, 31, "request", "http_503", 503)
    attempts.open_record(delivery("pager"), NextState(RETRYING, now.timestamp() + 60, failed), now, key="pager#3")
    for command in (("event", "acme", "e-1"), ("delivery", webhook("pager"))):
        read = json.loads(succeed(*command, "--json"))
        story = read["deliveries"][0] if command[0] == "event" else read
        assert (story["app_id"], story["state"], story["attempts"][0]["result"]) == ("pager", RETRYING, "http_503")


def resend(name: str, now: datetime) -> None:
    """As a resend does with what was delivered at once."""
    assert resends.open_delivered(delivery(name), 1, now - timedelta(hours=5), now)
    opened = resends.look(delivery(name).delivery_id, now)
    assert opened
    assert resends.make_due(opened, Times(now.timestamp(), now.timestamp()), now)


@pytest.mark.usefixtures("logs")
def test_the_success_before_a_resend_was_missing_from_the_story() -> None:
    now = datetime.now(UTC)
    deliver_at_once("board", now - timedelta(hours=5))
    resend("board", now)
    for command in (("event", "acme", "e-1"), ("delivery", webhook("board"))):
        text = succeed(*command)
        assert "attempt 1" in text
        assert "http_200  12 ms" in text
        assert "attempt 2 is due" in text
        assert "further back with --since" in succeed(*command, "--since", "2h")


def test_after_a_resend_an_event_was_looked_for_around_the_time_of_the_resend(logs: Logs) -> None:
    now = datetime.now(UTC)
    for name in ("board", "pager"):
        deliver_at_once(name, now - timedelta(hours=5))
    resend("board", now)
    assert "pager  delivered" in succeed("event", "acme", "e-1")
    [asked] = logs.asked
    begin, end = (asked[name] / 1000 for name in ("startTime", "endTime"))
    assert begin < (now - timedelta(hours=5)).timestamp() < end


def test_tail_said_nothing_where_there_are_no_lines(logs: Logs) -> None:
    logs.lines["notify"] = [{"level": "INFO", "message": "deliveries enqueued"}]
    shown = succeed("tail", "--level", "warning", "--since", "2h")
    assert re.fullmatch(r"No such line since \S+ \S+ UTC. Further back: --since 1d, up to 30d.\n", shown)
    assert succeed("tail", "--level", "warning", "--json") == ""


def test_tail_asked_aws_for_its_clients_before_it_knew_of_the_local_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def found(name: str) -> Any:
        asked.append(f"stack {name}")
        raise CommandError("no local stack is up")

    monkeypatch.setattr(stack, "client", asked.append)
    monkeypatch.setattr(stack, "find", found)
    refused("tail", "--stack", "local")
    assert asked == ["stack local"]
