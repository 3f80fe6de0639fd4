"""What each attempt's end leads to; the record in Attempts decides."""

import dataclasses
import json
from typing import Any

import pytest

from bellhop import attempts, deliveries
from bellhop.attempts import Attempt, End
from bellhop.deliveries import Retry
from bellhop.outcomes import OutcomeDay
from bellhop.successes import SuccessPack
from deliver.desk import Desk
from tests.endpoint import TIMEOUT, Endpoint, answer, counters, record, retries, run
from tests.fakes import NOW, SECRET, app, delivery, sqs_record


def test_a_success_is_counted_and_packed_and_leaves_no_record(desk: Desk, queue: str) -> None:
    endpoint = Endpoint(answer(200))
    assert run(desk, endpoint, sqs_record(delivery())) == []
    assert counters() == {"success": 1, "error": 0, "timeout": 0, "fatal": 0}
    [packed] = SuccessPack.scan()
    assert packed.apps == ["pager"]
    assert packed.entries[0]["delivery_id"] == delivery().delivery_id
    assert attempts.load(delivery().delivery_id) is None
    assert retries(queue) == []


def test_a_failure_opens_a_record_and_sends_the_retry_by_reference(desk: Desk, queue: str) -> None:
    assert run(desk, Endpoint(answer(500, b"boom\nmore")), sqs_record(delivery())) == []
    assert (record().state, record().attempt) == ("retrying", 1)
    assert record().history[0]["answer"] == "boom\nmore"
    [message] = retries(queue)
    assert deliveries.decode(message["body"]) == Retry(delivery().delivery_id, "pager", 2)
    assert delivery().body.decode() not in message["body"]


def test_a_retry_sends_the_same_bytes_under_the_same_id_with_a_new_request_id(desk: Desk, queue: str) -> None:
    endpoint = Endpoint(answer(500), answer(200))
    run(desk, endpoint, sqs_record(delivery()))
    run(desk, endpoint, *retries(queue))
    (_, first, body), (_, second, again) = endpoint.posted
    assert body == again
    assert first["webhook-id"] == second["webhook-id"]
    assert first["Request-ID"] != second["Request-ID"]
    assert record().state == "delivered"
    assert [entry["result"] for entry in record().history] == ["http_500", "http_200"]


def test_the_last_retry_ends_exhausted_and_stays_in_the_log_with_its_body(desk: Desk, queue: str) -> None:
    endpoint = Endpoint(TIMEOUT)
    run(desk, endpoint, sqs_record(delivery()))
    for _ in desk.policy.delays:
        run(desk, endpoint, *retries(queue))
    assert len(endpoint.posted) == 1 + len(desk.policy.delays)
    assert record().state == "exhausted"
    assert record().delivery == delivery()
    assert retries(queue) == []
    assert counters()["timeout"] == 3


def test_a_410_stops_the_chain_and_counts_as_fatal(desk: Desk, queue: str) -> None:
    run(desk, Endpoint(answer(410)), sqs_record(delivery()))
    assert record().state == "stopped"
    assert counters()["fatal"] == 1
    assert retries(queue) == []


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
    run(desk, Endpoint(answer(200)), sqs_record(delivery()))
    [row] = OutcomeDay.scan()
    assert row.held_failure is False


def test_a_delivery_for_a_disabled_app_is_parked_with_its_body_and_not_sent(desk: Desk) -> None:
    endpoint = Endpoint(answer(200))
    off = dataclasses.replace(desk, app={"pager": app(state="disabled")}.get)
    assert run(off, endpoint, sqs_record(delivery())) == []
    assert endpoint.posted == []
    assert (record().state, record().attempt) == ("parked", 0)
    assert record().delivery == delivery()


def test_a_retry_for_a_disabled_app_is_parked_with_its_budget_untouched(desk: Desk, queue: str) -> None:
    run(desk, Endpoint(answer(500)), sqs_record(delivery()))
    off = dataclasses.replace(desk, app={"pager": app(state="disabled")}.get)
    assert run(off, Endpoint(answer(200)), *retries(queue)) == []
    assert (record().state, record().attempt, record().lease) == ("parked", 1, None)


def test_a_missing_app_is_skipped_with_a_named_reason(desk: Desk) -> None:
    nobody = dataclasses.replace(desk, app=lambda _: None)
    assert run(nobody, Endpoint(answer(200)), sqs_record(delivery())) == []
    assert desk.telemetry.counts["Skipped_missing_app"] == 1


def test_a_retry_whose_app_is_gone_ends_stopped(desk: Desk, queue: str) -> None:
    run(desk, Endpoint(answer(500)), sqs_record(delivery()))
    gone, endpoint = dataclasses.replace(desk, app=lambda _: None), Endpoint(answer(200))
    assert run(gone, endpoint, *retries(queue)) == []
    assert endpoint.posted == []
    assert (record().state, record().attempt, record().lease) == ("stopped", 1, None)
    assert retries(queue) == []
    assert desk.telemetry.counts["Skipped_missing_app"] == 1


def test_a_missing_secret_is_our_fault_and_keeps_the_message(desk: Desk) -> None:
    endpoint = Endpoint(answer(200))
    nosecret = dataclasses.replace(desk, keys=lambda _: None)
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


def test_a_reminder_that_cannot_be_sent_keeps_the_message_and_the_attempt_is_counted_once(
    desk: Desk, queue: str
) -> None:
    def down(*_: Any) -> None:
        raise ConnectionError("the scheduler does not answer")

    endpoint = Endpoint(answer(500))
    assert run(dataclasses.replace(desk, remind=down), endpoint, sqs_record(delivery())) == ["m1"]
    assert run(desk, endpoint, sqs_record(delivery(), receive_count=2)) == []
    assert counters()["error"] == 1
    assert len(endpoint.posted) == 1
    assert len(retries(queue)) == 1


def test_counters_that_cannot_be_written_do_not_send_the_webhook_twice(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: Any) -> None:
        raise ConnectionError("the table does not answer")

    monkeypatch.setattr("bellhop.outcomes.add", down)
    assert run(desk, Endpoint(answer(200)), sqs_record(delivery())) == []
    assert desk.telemetry.counts["OutcomesNotCounted"] == 1


def test_without_time_left_nothing_is_attempted_and_the_claim_is_given_back(desk: Desk, queue: str) -> None:
    run(desk, Endpoint(answer(500)), sqs_record(delivery()))
    [again] = retries(queue)
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


def test_a_first_attempt_sent_again_after_its_end_was_written_is_not_made_again_but_its_reminder_may_be_sent_twice(
    desk: Desk, queue: str
) -> None:
    endpoint = Endpoint(answer(500))
    run(desk, endpoint, sqs_record(delivery()))
    assert run(desk, endpoint, sqs_record(delivery(), receive_count=2)) == []
    assert len(endpoint.posted) == 1
    twice = retries(queue)
    assert len(twice) == 2
    for reminder in twice:
        assert run(desk, endpoint, reminder) == []
    assert len(endpoint.posted) == 2
    assert record().attempt == 2


def test_a_crash_between_the_record_and_the_retry_sends_the_retry_when_the_message_returns(
    desk: Desk, queue: str
) -> None:
    failed = Attempt(1, NOW, 5, "r", "http_500", 500)
    attempts.open_record(delivery(), End("retrying", 0, failed), NOW)
    endpoint = Endpoint(answer(500))
    assert run(desk, endpoint, sqs_record(delivery(), receive_count=2)) == []
    assert endpoint.posted == []
    assert len(retries(queue)) == 1


def test_a_retry_sent_again_after_a_crash_before_its_successor_sends_that_again(desk: Desk, queue: str) -> None:
    run(desk, Endpoint(answer(500)), sqs_record(delivery()))
    [second] = retries(queue)
    claimed = attempts.claim(delivery().delivery_id, 2, "w", NOW, 30)
    attempts.finish(claimed, End("retrying", 0, Attempt(2, NOW, 5, "r", "http_500", 500)), NOW)
    endpoint = Endpoint(answer(500))
    assert run(desk, endpoint, second) == []
    assert endpoint.posted == []
    [third] = retries(queue)
    assert json.loads(third["body"])["attempt"] == 3


def test_a_retry_that_another_worker_makes_comes_back_later(desk: Desk, queue: str) -> None:
    run(desk, Endpoint(answer(500)), sqs_record(delivery()))
    [second] = retries(queue)
    attempts.claim(delivery().delivery_id, 2, "other", NOW, 30)
    endpoint = Endpoint(answer(200))
    assert run(desk, endpoint, second) == [second["messageId"]]
    assert endpoint.posted == []


def test_a_dead_workers_lease_ends_and_the_attempt_is_made(desk: Desk, queue: str) -> None:
    run(desk, Endpoint(answer(500)), sqs_record(delivery()))
    [second] = retries(queue)
    attempts.claim(delivery().delivery_id, 2, "dead", NOW.replace(hour=11), 30)
    endpoint = Endpoint(answer(200))
    assert run(desk, endpoint, second) == []
    assert record().state == "delivered"


def test_a_worker_that_lost_its_lease_does_not_write_over_the_one_that_has_it(desk: Desk) -> None:
    run(desk, Endpoint(answer(500)), sqs_record(delivery()))
    slow = attempts.claim(delivery().delivery_id, 2, "slow", NOW.replace(hour=11), 30)
    quick = attempts.claim(delivery().delivery_id, 2, "quick", NOW, 30)
    ended = Attempt(2, NOW, 5, "r", "http_200", 200)
    assert attempts.finish(quick, End("delivered", 0, ended), NOW)
    assert not attempts.finish(slow, End("retrying", 0, ended), NOW)
    assert record().state == "delivered"


def test_a_duplicate_event_that_fails_too_does_not_fork_the_chain(desk: Desk, queue: str) -> None:
    endpoint = Endpoint(answer(500))
    run(desk, endpoint, sqs_record(delivery(), "m1"))
    run(desk, endpoint, sqs_record(delivery(), "m2"))
    assert len(retries(queue)) == 1
    assert len(record().history) == 1


def test_secrets_reach_neither_the_log_nor_the_queue(desk: Desk, queue: str) -> None:
    run(desk, Endpoint(answer(500)), sqs_record(delivery()))
    assert SECRET not in desk.telemetry.everything()
    assert all(SECRET not in message["body"] for message in retries(queue))


def test_the_evidence_of_a_failure_is_one_bounded_line(desk: Desk) -> None:
    run(desk, Endpoint(answer(500, "€".encode() * 200 + b"\nmore")), sqs_record(delivery()))
    [row] = OutcomeDay.scan()
    said = json.loads(row.last_failure)["answer"]
    assert said == "€" * 53
