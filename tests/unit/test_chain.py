"""What each attempt's end leads to; the record in Attempts decides."""

import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest

from bellhop import attempts, deliveries
from bellhop.attempts import DeliveryRecord, SuccessPack
from bellhop.deliveries import Retry
from bellhop.outcomes import OutcomeDay
from deliver.answer import Answer, NoAnswer
from deliver.chain import Desk
from deliver.dispatch import Workers, process
from tests.fakes import NOW, SECRET, Recorder, app, delivery, sqs_record

TIMEOUT = NoAnswer("timeout", "no answer")


def answer(status: int, body: bytes = b"", **headers: str) -> Answer:
    return Answer(status, headers, body)


class Endpoint:
    """Answers in turn, the last one for ever; remembers what was posted."""

    def __init__(self, *answers: Answer | NoAnswer) -> None:
        self.answers = list(answers)
        self.posted: list[tuple[str, dict[str, str], bytes]] = []

    def __call__(self, url: str, headers: dict[str, str], body: bytes) -> Answer | NoAnswer:
        self.posted.append((url, headers, body))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture
def desk(queue: str) -> Desk:
    apps = {"pager": app()}
    return Desk(
        app=apps.get,
        secret=lambda _: SECRET,
        sqs=boto3.client("sqs"),
        retries_url=queue,
        delays=(0, 0),
        lease_seconds=30,
        telemetry=Recorder(),
        now=lambda: NOW,
        uniform=lambda low, high: 0.0,
        token=iter(map(str, range(1000))).__next__,
    )


def run(desk: Desk, endpoint: Endpoint, *records: dict[str, Any], time_left: bool = True) -> list[str]:
    with ThreadPoolExecutor(4) as pool:
        return process(records, desk, Workers(pool, endpoint, lambda: time_left, lambda _: None))


def retries(desk: Desk) -> list[dict[str, Any]]:
    """What waits on the Retries queue, as records; taken off it."""
    found = []
    while messages := desk.sqs.receive_message(
        QueueUrl=desk.retries_url, MaxNumberOfMessages=10, AttributeNames=["ApproximateReceiveCount"]
    ).get("Messages"):
        for message in messages:
            found.append(sqs_record(message["Body"], message["MessageId"]))
            desk.sqs.delete_message(QueueUrl=desk.retries_url, ReceiptHandle=message["ReceiptHandle"])
    return found


def record() -> DeliveryRecord:
    found = attempts.load(delivery().delivery_id)
    assert found
    return found


def counters() -> dict[str, int]:
    rows = list(OutcomeDay.scan())
    return {n: sum(int(getattr(r, n)) for r in rows) for n in ("success", "error", "timeout", "fatal")}


def test_a_success_is_counted_and_packed_and_leaves_no_record(desk: Desk) -> None:
    endpoint = Endpoint(answer(200))
    assert run(desk, endpoint, sqs_record(delivery())) == []
    assert counters() == {"success": 1, "error": 0, "timeout": 0, "fatal": 0}
    [packed] = SuccessPack.scan()
    assert packed.apps == ["pager"]
    assert packed.entries[0]["delivery_id"] == delivery().delivery_id
    assert attempts.load(delivery().delivery_id) is None
    assert retries(desk) == []


def test_a_failure_opens_a_record_and_sends_the_retry_by_reference(desk: Desk) -> None:
    assert run(desk, Endpoint(answer(500, b"boom\nmore")), sqs_record(delivery())) == []
    assert (record().state, record().attempt, record().queued) == ("retrying", 1, 2)
    assert record().history[0]["answer"] == "boom\nmore"
    [message] = retries(desk)
    assert deliveries.decode(message["body"]) == Retry(delivery().delivery_id, "pager", 2)
    assert delivery().body.decode() not in message["body"]


def test_a_retry_sends_the_same_bytes_under_the_same_id_with_a_new_request_id(desk: Desk) -> None:
    endpoint = Endpoint(answer(500), answer(200))
    run(desk, endpoint, sqs_record(delivery()))
    run(desk, endpoint, *retries(desk))
    (_, first, body), (_, second, again) = endpoint.posted
    assert body == again
    assert first["webhook-id"] == second["webhook-id"]
    assert first["Request-ID"] != second["Request-ID"]
    assert record().state == "delivered"
    assert [entry["result"] for entry in record().history] == ["http_500", "http_200"]


def test_the_last_retry_ends_exhausted_and_stays_in_the_log_with_its_body(desk: Desk) -> None:
    endpoint = Endpoint(TIMEOUT)
    run(desk, endpoint, sqs_record(delivery()))
    for _ in desk.delays:
        run(desk, endpoint, *retries(desk))
    assert len(endpoint.posted) == 1 + len(desk.delays)
    assert record().state == "exhausted"
    assert record().delivery == delivery()
    assert retries(desk) == []
    assert counters()["timeout"] == 3


def test_a_410_stops_the_chain_and_counts_as_fatal(desk: Desk) -> None:
    run(desk, Endpoint(answer(410)), sqs_record(delivery()))
    assert record().state == "stopped"
    assert counters()["fatal"] == 1
    assert retries(desk) == []


def test_an_alert_is_delivered_and_logged_but_never_counted(desk: Desk) -> None:
    run(desk, Endpoint(answer(410)), sqs_record(delivery(event="event_alert.triggered")))
    assert counters() == {"success": 0, "error": 0, "timeout": 0, "fatal": 0}
    assert record().state == "stopped"


def test_429_is_retried_but_not_counted(desk: Desk) -> None:
    run(desk, Endpoint(answer(429)), sqs_record(delivery()))
    assert counters()["error"] == 0
    assert record().state == "retrying"


def test_a_batch_adds_once_per_app_organisation_epoch_and_day(desk: Desk) -> None:
    batch = [sqs_record(delivery(delivery_id=f"msg_{n}"), f"m{n}") for n in range(5)]
    run(desk, Endpoint(answer(200), answer(500)), *batch)
    [row] = OutcomeDay.scan()
    assert (row.success, row.error, row.held_failure) == (1, 4, True)
    assert row.scope == "pager#acme"
    assert row.epoch_day == "00000001#2026-11-23"
    assert json.loads(row.last_failure)["error"] == "http_500"


def test_a_success_wakes_nobody(desk: Desk) -> None:
    run(desk, Endpoint(answer(500)), sqs_record(delivery(delivery_id="msg_a")))
    run(desk, Endpoint(answer(200)), sqs_record(delivery(delivery_id="msg_b")))
    [row] = OutcomeDay.scan()
    assert row.held_failure is False


def test_a_delivery_for_a_disabled_app_is_parked_with_its_body_and_not_sent(desk: Desk) -> None:
    endpoint = Endpoint(answer(200))
    off = dataclasses.replace(desk, app={"pager": app(state="disabled")}.get)
    assert run(off, endpoint, sqs_record(delivery())) == []
    assert endpoint.posted == []
    assert (record().state, record().attempt) == ("parked", 0)
    assert record().delivery == delivery()


def test_a_retry_for_a_disabled_app_is_parked_with_its_budget_untouched(desk: Desk) -> None:
    run(desk, Endpoint(answer(500)), sqs_record(delivery()))
    off = dataclasses.replace(desk, app={"pager": app(state="disabled")}.get)
    assert run(off, Endpoint(answer(200)), *retries(desk)) == []
    assert (record().state, record().attempt, record().lease) == ("parked", 1, None)


def test_a_missing_app_is_skipped_with_a_named_reason(desk: Desk) -> None:
    nobody = dataclasses.replace(desk, app=lambda _: None)
    assert run(nobody, Endpoint(answer(200)), sqs_record(delivery())) == []
    assert desk.telemetry.counts["Skipped_missing_app"] == 1


def test_a_missing_secret_is_our_fault_and_keeps_the_message(desk: Desk) -> None:
    endpoint = Endpoint(answer(200))
    nosecret = dataclasses.replace(desk, secret=lambda _: None)
    assert run(nosecret, endpoint, sqs_record(delivery())) == ["m1"]
    assert endpoint.posted == []


def test_a_fault_of_ours_keeps_one_message_and_counts_nothing_against_the_app(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: Any, **__: Any) -> None:
        raise ConnectionError("the table does not answer")

    monkeypatch.setattr(attempts, "open_record", down)
    endpoint = Endpoint(answer(500))
    assert run(desk, endpoint, sqs_record(delivery())) == ["m1"]
    assert counters()["error"] == 0


def test_counters_that_cannot_be_written_do_not_send_the_webhook_twice(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: Any) -> None:
        raise ConnectionError("the table does not answer")

    monkeypatch.setattr("bellhop.outcomes.add", down)
    assert run(desk, Endpoint(answer(200)), sqs_record(delivery())) == []
    assert desk.telemetry.counts["OutcomesNotCounted"] == 1


def test_without_time_left_nothing_is_attempted_and_the_claim_is_given_back(desk: Desk) -> None:
    run(desk, Endpoint(answer(500)), sqs_record(delivery()))
    [again] = retries(desk)
    endpoint = Endpoint(answer(200))
    assert run(desk, endpoint, again, time_left=False) == [again["messageId"]]
    assert endpoint.posted == []
    assert run(desk, endpoint, again) == []
    assert record().state == "delivered"


def test_a_garbled_message_is_kept_for_the_dead_letter_queue(desk: Desk) -> None:
    assert run(desk, Endpoint(answer(200)), sqs_record("not json"), sqs_record(delivery(), "m2")) == ["m1"]
    assert counters()["success"] == 1


# ---- Crashes. A message that SQS sends again finds in the record where to go on.


def test_a_first_attempt_sent_again_before_its_end_was_written_is_made_again(desk: Desk) -> None:
    endpoint = Endpoint(answer(200))
    run(desk, endpoint, sqs_record(delivery(), receive_count=2))
    assert len(endpoint.posted) == 1


def test_a_first_attempt_sent_again_after_its_retry_was_queued_is_dropped(desk: Desk) -> None:
    endpoint = Endpoint(answer(500))
    run(desk, endpoint, sqs_record(delivery()))
    assert run(desk, endpoint, sqs_record(delivery(), receive_count=2)) == []
    assert len(endpoint.posted) == 1
    assert len(retries(desk)) == 1


def test_a_crash_between_the_record_and_the_retry_sends_the_retry_when_the_message_returns(
    desk: Desk,
) -> None:
    failed = attempts.Attempt(1, NOW, 5, "r", "http_500", 500)
    attempts.open_record(delivery(), "retrying", NOW, failed)
    endpoint = Endpoint(answer(500))
    assert run(desk, endpoint, sqs_record(delivery(), receive_count=2)) == []
    assert endpoint.posted == []
    assert len(retries(desk)) == 1


def test_a_retry_sent_again_after_a_crash_before_its_successor_sends_that_again(desk: Desk) -> None:
    run(desk, Endpoint(answer(500)), sqs_record(delivery()))
    [second] = retries(desk)
    claimed = attempts.claim(delivery().delivery_id, 2, "w", NOW, 30)
    attempts.finish(claimed, "retrying", attempts.Attempt(2, NOW, 5, "r", "http_500", 500))
    endpoint = Endpoint(answer(500))
    assert run(desk, endpoint, second) == []
    assert endpoint.posted == []
    [third] = retries(desk)
    assert json.loads(third["body"])["retry"] == 3


def test_a_retry_that_another_worker_makes_comes_back_later(desk: Desk) -> None:
    run(desk, Endpoint(answer(500)), sqs_record(delivery()))
    [second] = retries(desk)
    attempts.claim(delivery().delivery_id, 2, "other", NOW, 30)
    endpoint = Endpoint(answer(200))
    assert run(desk, endpoint, second) == [second["messageId"]]
    assert endpoint.posted == []


def test_a_dead_workers_lease_ends_and_the_attempt_is_made(desk: Desk) -> None:
    run(desk, Endpoint(answer(500)), sqs_record(delivery()))
    [second] = retries(desk)
    attempts.claim(delivery().delivery_id, 2, "dead", NOW.replace(hour=11), 30)
    endpoint = Endpoint(answer(200))
    assert run(desk, endpoint, second) == []
    assert record().state == "delivered"


def test_a_worker_that_lost_its_lease_does_not_write_over_the_one_that_has_it(desk: Desk) -> None:
    run(desk, Endpoint(answer(500)), sqs_record(delivery()))
    slow = attempts.claim(delivery().delivery_id, 2, "slow", NOW.replace(hour=11), 30)
    quick = attempts.claim(delivery().delivery_id, 2, "quick", NOW, 30)
    ended = attempts.Attempt(2, NOW, 5, "r", "http_200", 200)
    assert attempts.finish(quick, "delivered", ended)
    assert not attempts.finish(slow, "retrying", ended)
    assert record().state == "delivered"


def test_a_duplicate_event_that_fails_too_does_not_fork_the_chain(desk: Desk) -> None:
    endpoint = Endpoint(answer(500))
    run(desk, endpoint, sqs_record(delivery(), "m1"))
    run(desk, endpoint, sqs_record(delivery(), "m2"))
    assert len(retries(desk)) == 1
    assert len(record().history) == 1


def test_secrets_reach_neither_the_log_nor_the_queue(desk: Desk) -> None:
    run(desk, Endpoint(answer(500)), sqs_record(delivery()))
    assert SECRET not in desk.telemetry.everything()
    assert all(SECRET not in message["body"] for message in retries(desk))


def test_the_evidence_of_a_failure_is_one_bounded_line(desk: Desk) -> None:
    run(desk, Endpoint(answer(500, "€".encode() * 200 + b"\nmore")), sqs_record(delivery()))
    [row] = OutcomeDay.scan()
    said = json.loads(row.last_failure)["answer"]
    assert said == "€" * 53
