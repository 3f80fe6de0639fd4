"""Which attempt a message asks for, and what its result leads to; the record in Attempts decides."""

import dataclasses
import json
from datetime import datetime
from typing import Any

import pytest

from bellhop import attempts, deliveries, large_bodies
from bellhop.attempts import Attempt, DeliveryRecord, NextState
from bellhop.deliveries import Retry
from bellhop.outcomes import OutcomeDay
from deliver.batch import process
from deliver.dependencies import DeliverDependencies, Invocation
from tests.support.endpoint import (
    TIMEOUT,
    Apps,
    Clock,
    Endpoint,
    FakeBus,
    Secrets,
    counters,
    packed,
    record,
    recorded,
    response,
    retries,
    run,
)
from tests.support.fakes import NOW, SECRET, app, delivery, queue_message

RACE = "retry sent again: another worker makes its attempt"


def claimed(number: int, lease: str, now: datetime, seconds: float) -> DeliveryRecord:
    record = attempts.claim(delivery().delivery_id, number, lease, now, seconds)
    assert record
    return record


def test_a_success_is_counted_and_packed_and_leaves_no_record(deps: DeliverDependencies, queue: str) -> None:
    endpoint = Endpoint(response(200))
    assert run(deps, endpoint, queue_message(delivery())) == []
    assert counters() == {"success": 1, "error": 0, "timeout": 0, "fatal": 0}
    [row] = packed()
    assert (row["app"], row["delivery_id"]) == ("pager", delivery().delivery_id)
    assert attempts.load(delivery().delivery_id) is None
    assert retries(queue) == []


def test_a_failure_opens_a_record_and_sends_the_retry_by_reference(deps: DeliverDependencies, queue: str) -> None:
    assert run(deps, Endpoint(response(500, b"boom\nmore")), queue_message(delivery())) == []
    assert (record().state, record().attempts_made) == ("retrying", 1)
    assert record().attempts[0]["response"] == "boom\nmore"
    [message] = retries(queue)
    assert deliveries.decode(message["body"]) == Retry(delivery().delivery_id, "pager", 2, organization_id="acme")
    assert delivery().body.decode() not in message["body"]


def test_a_retry_sends_the_same_bytes_under_the_same_id_with_a_new_request_id(
    deps: DeliverDependencies, queue: str
) -> None:
    endpoint = Endpoint(response(500), response(200))
    run(deps, endpoint, queue_message(delivery()))
    run(deps, endpoint, *retries(queue))
    (_, first, body), (_, second, again) = endpoint.posted
    assert body == again
    assert first["webhook-id"] == second["webhook-id"]
    assert first["Request-ID"] != second["Request-ID"]
    assert record().state == "delivered"
    assert [entry["result"] for entry in record().attempts] == ["http_500", "http_200"]


def test_the_last_retry_ends_exhausted_and_stays_in_the_log_with_its_body(
    deps: DeliverDependencies, queue: str
) -> None:
    endpoint = Endpoint(TIMEOUT)
    run(deps, endpoint, queue_message(delivery()))
    for _ in deps.policy.delays:
        run(deps, endpoint, *retries(queue))
    assert len(endpoint.posted) == 1 + len(deps.policy.delays)
    assert record().state == "exhausted"
    assert large_bodies.load(record()) == delivery(enqueued_at=0.0)
    assert retries(queue) == []
    assert counters()["timeout"] == 3


def test_a_410_stops_the_chain_and_counts_as_fatal(deps: DeliverDependencies, queue: str) -> None:
    run(deps, Endpoint(response(410)), queue_message(delivery()))
    assert record().state == "stopped"
    assert counters()["fatal"] == 1
    assert retries(queue) == []


def test_429_is_retried_but_not_counted(deps: DeliverDependencies) -> None:
    run(deps, Endpoint(response(429)), queue_message(delivery()))
    assert counters()["error"] == 0
    assert record().state == "retrying"


def test_a_batch_adds_once_per_app_organisation_generation_and_day(deps: DeliverDependencies) -> None:
    batch = [queue_message(delivery(delivery_id=f"msg_{n}"), f"m{n}") for n in range(5)]
    run(deps, Endpoint(response(200), response(500)), *batch)
    [row] = OutcomeDay.scan()
    assert (row.success, row.error, row.has_failure) == (1, 4, True)
    assert row.scope == "pager#acme"
    assert row.generation_day == "00000001#2026-11-23"
    assert json.loads(row.last_failure)["error"] == "http_500"


def test_a_success_wakes_nobody(deps: DeliverDependencies) -> None:
    run(deps, Endpoint(response(200)), queue_message(delivery()))
    [row] = OutcomeDay.scan()
    assert row.has_failure is False


def test_a_delivery_for_a_disabled_app_is_parked_with_its_body_and_not_sent(deps: DeliverDependencies) -> None:
    endpoint = Endpoint(response(200))
    off = dataclasses.replace(deps, registry=Apps({"pager": app(state="disabled")}))
    assert run(off, endpoint, queue_message(delivery())) == []
    assert endpoint.posted == []
    assert (record().state, record().attempts_made) == ("parked", 0)
    assert large_bodies.load(record()) == delivery(enqueued_at=0.0)


def test_a_retry_for_a_disabled_app_is_parked_with_its_budget_untouched(
    deps: DeliverDependencies, queue: str
) -> None:
    run(deps, Endpoint(response(500)), queue_message(delivery()))
    off = dataclasses.replace(deps, registry=Apps({"pager": app(state="disabled")}))
    assert run(off, Endpoint(response(200)), *retries(queue)) == []
    assert (record().state, record().attempts_made) == ("parked", 1)
    assert record().lease is None


def test_a_missing_app_is_skipped_with_a_named_reason(deps: DeliverDependencies) -> None:
    nobody = dataclasses.replace(deps, registry=Apps({}))
    assert run(nobody, Endpoint(response(200)), queue_message(delivery())) == []
    assert recorded(deps).counts["Skipped_missing_app"] == 1


def test_a_retry_whose_app_is_gone_ends_stopped(deps: DeliverDependencies, queue: str) -> None:
    run(deps, Endpoint(response(500)), queue_message(delivery()))
    gone, endpoint = dataclasses.replace(deps, registry=Apps({})), Endpoint(response(200))
    assert run(gone, endpoint, *retries(queue)) == []
    assert endpoint.posted == []
    assert (record().state, record().attempts_made) == ("stopped", 1)
    assert record().lease is None
    assert retries(queue) == []
    assert recorded(deps).counts["Skipped_missing_app"] == 1


def test_a_missing_secret_is_our_fault_and_brings_back_the_message(deps: DeliverDependencies) -> None:
    endpoint = Endpoint(response(200))
    nosecret = dataclasses.replace(deps, secrets=Secrets(None))
    assert run(nosecret, endpoint, queue_message(delivery())) == ["m1"]
    assert endpoint.posted == []


def test_a_fault_of_ours_brings_back_one_message_and_counts_nothing_against_the_app(
    deps: DeliverDependencies, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: Any, **__: Any) -> None:
        raise ConnectionError("the table does not respond")

    monkeypatch.setattr(attempts, "open_record", down)
    endpoint = Endpoint(response(500))
    assert run(deps, endpoint, queue_message(delivery())) == ["m1"]
    assert counters()["error"] == 0


def test_a_retry_that_cannot_be_sent_brings_back_the_message_and_the_attempt_is_counted_once(
    deps: DeliverDependencies, queue: str
) -> None:
    class Down:
        def send(self, *_: Any) -> Any:
            raise ConnectionError("the scheduler does not respond")

        send_all = send_trial = hand_over = wait = send

    endpoint = Endpoint(response(500))
    assert run(dataclasses.replace(deps, scheduler=Down()), endpoint, queue_message(delivery())) == ["m1"]
    assert run(deps, endpoint, queue_message(delivery(), receive_count=2)) == []
    assert counters()["error"] == 1
    assert len(endpoint.posted) == 1
    assert len(retries(queue)) == 1


def test_counters_that_cannot_be_written_do_not_send_the_webhook_twice(
    deps: DeliverDependencies, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: Any) -> None:
        raise ConnectionError("the table does not respond")

    monkeypatch.setattr("bellhop.outcomes.add", down)
    assert run(deps, Endpoint(response(200)), queue_message(delivery())) == []
    assert recorded(deps).counts["OutcomesNotCounted"] == 1


def test_without_time_left_nothing_is_attempted_and_the_claim_is_given_back(
    deps: DeliverDependencies, queue: str
) -> None:
    run(deps, Endpoint(response(500)), queue_message(delivery()))
    [again] = retries(queue)
    endpoint = Endpoint(response(200))
    assert run(deps, endpoint, again, time_left=False) == [again["messageId"]]
    assert endpoint.posted == []
    assert run(deps, endpoint, again) == []
    assert record().state == "delivered"


def test_a_retry_for_which_the_time_ran_out_after_its_claim_is_free_for_the_next_worker(
    deps: DeliverDependencies, queue: str
) -> None:
    run(deps, Endpoint(response(500)), queue_message(delivery()))
    [again] = retries(queue)
    late = Invocation(lambda: 0 if record().lease else 900_000)
    assert process([again], dataclasses.replace(deps, transport=Endpoint(response(200))), late) == [
        again["messageId"]
    ]
    assert (record().state, record().attempts_made) == ("retrying", 1)
    assert record().lease is None


def test_a_garbled_message_comes_back_until_it_is_a_dead_letter(deps: DeliverDependencies) -> None:
    assert run(deps, Endpoint(response(200)), queue_message("not json"), queue_message(delivery(), "m2")) == ["m1"]
    assert counters()["success"] == 1


# ---- Crashes. A message that SQS delivers again finds in the record where to go on.


def test_a_first_attempt_sent_again_before_its_result_was_written_is_made_again(deps: DeliverDependencies) -> None:
    endpoint = Endpoint(response(200))
    run(deps, endpoint, queue_message(delivery(), receive_count=2))
    assert len(endpoint.posted) == 1


def test_a_first_attempt_sent_again_after_its_result_was_written_is_not_made_again_but_its_retry_may_be_sent_twice(
    deps: DeliverDependencies, queue: str
) -> None:
    endpoint = Endpoint(response(500))
    run(deps, endpoint, queue_message(delivery()))
    assert run(deps, endpoint, queue_message(delivery(), receive_count=2)) == []
    assert len(endpoint.posted) == 1
    twice = retries(queue)
    assert len(twice) == 2
    for message in twice:
        assert run(deps, endpoint, message) == []
    assert len(endpoint.posted) == 2
    assert record().attempts_made == 2


def test_a_crash_between_the_record_and_the_retry_sends_the_retry_when_the_message_returns(
    deps: DeliverDependencies, queue: str
) -> None:
    failed = Attempt(1, NOW, 5, "r", "http_500", 500)
    attempts.open_record(delivery(), NextState("retrying", 0, failed), NOW)
    endpoint = Endpoint(response(500))
    assert run(deps, endpoint, queue_message(delivery(), receive_count=2)) == []
    assert endpoint.posted == []
    assert len(retries(queue)) == 1


def test_a_retry_sent_again_after_a_crash_before_its_successor_sends_that_again(
    deps: DeliverDependencies, queue: str
) -> None:
    run(deps, Endpoint(response(500)), queue_message(delivery()))
    [second] = retries(queue)
    mine = claimed(2, "w", NOW, 30)
    attempts.finish(mine, NextState("retrying", 0, Attempt(2, NOW, 5, "r", "http_500", 500)), NOW)
    endpoint = Endpoint(response(500))
    assert run(deps, endpoint, queue_message(second["body"], receive_count=2)) == []
    assert endpoint.posted == []
    [third] = retries(queue)
    assert json.loads(third["body"])["next_attempt"] == 3


def test_a_retry_that_another_worker_makes_comes_back_later(deps: DeliverDependencies, queue: str) -> None:
    run(deps, Endpoint(response(500)), queue_message(delivery()))
    [second] = retries(queue)
    attempts.claim(delivery().delivery_id, 2, "other", NOW, 30)
    endpoint = Endpoint(response(200))
    assert run(deps, endpoint, queue_message(second["body"], receive_count=2)) == []
    assert endpoint.posted == []
    [again] = retries(queue)
    assert again["body"] == second["body"]


def test_a_copy_of_a_retry_that_another_worker_makes_is_dropped_as_that_workers_message_is_there(
    deps: DeliverDependencies, queue: str
) -> None:
    run(deps, Endpoint(response(500)), queue_message(delivery()))
    [second] = retries(queue)
    attempts.claim(delivery().delivery_id, 2, "other", NOW, 30)
    endpoint = Endpoint(response(200))
    assert run(deps, endpoint, second) == []
    assert (endpoint.posted, retries(queue)) == ([], [])
    assert recorded(deps).logged("duplicate message dropped: another worker makes its attempt")


@pytest.mark.parametrize("together", [True, False])
def test_copies_of_a_retry_lived_to_the_end_of_its_chain(
    deps: DeliverDependencies, queue: str, bus: FakeBus, clock: Clock, *, together: bool
) -> None:
    endpoint = Endpoint(response(500))
    run(deps, endpoint, queue_message(delivery()))
    [retry] = retries(queue)
    copies = [queue_message(retry["body"], f"copy{n}") for n in range(30)]
    for batch in [copies] if together else [[copy] for copy in copies]:
        assert run(deps, endpoint, *batch) == []
    for _ in deps.policy.delays[1:]:
        [retry] = retries(queue)
        clock.move(deps.policy.fresh + 1)
        assert run(deps, endpoint, retry) == []
    assert (record().state, len(endpoint.posted), len(bus.events)) == ("exhausted", 1 + len(deps.policy.delays), 1)


def test_a_redriven_retry_whose_attempt_was_written_long_ago_sends_the_next_one(
    deps: DeliverDependencies, queue: str, clock: Clock
) -> None:
    endpoint = Endpoint(response(500))
    run(deps, endpoint, queue_message(delivery()))
    [second] = retries(queue)
    run(deps, endpoint, second)
    [third] = retries(queue)
    clock.move(deps.policy.fresh)
    assert run(deps, endpoint, second) == []
    assert [message["body"] for message in retries(queue)] == [third["body"]]


def test_a_race_for_an_attempt_was_logged_as_a_fault_of_ours(
    deps: DeliverDependencies, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(deps, Endpoint(response(500)), queue_message(delivery()))
    [second] = retries(queue)
    attempts.claim(delivery().delivery_id, 2, "other", NOW, 30)
    sent = list[tuple[int, int]]()
    send: Any = lambda _, retry, seconds: sent.append((retry.next_attempt, seconds))  # noqa: E731
    monkeypatch.setattr(type(deps.scheduler), "send", send)
    run(deps, Endpoint(response(200)), queue_message(second["body"], receive_count=2))
    assert sent == [(2, 31)]  # just after the lease
    assert [fields["attempt"] for fields in recorded(deps).logged(RACE)] == [2]
    assert "error" not in {level for level, _, _ in recorded(deps).lines}


def test_a_dead_workers_lease_ends_and_the_attempt_is_made(deps: DeliverDependencies, queue: str) -> None:
    run(deps, Endpoint(response(500)), queue_message(delivery()))
    [second] = retries(queue)
    attempts.claim(delivery().delivery_id, 2, "dead", NOW.replace(hour=11), 30)
    endpoint = Endpoint(response(200))
    assert run(deps, endpoint, second) == []
    assert record().state == "delivered"


def test_a_worker_that_lost_its_lease_does_not_write_over_the_one_that_has_it(deps: DeliverDependencies) -> None:
    run(deps, Endpoint(response(500)), queue_message(delivery()))
    slow = claimed(2, "slow", NOW.replace(hour=11), 30)
    quick = claimed(2, "quick", NOW, 30)
    ended = Attempt(2, NOW, 5, "r", "http_200", 200)
    assert attempts.finish(quick, NextState("delivered", 0, ended), NOW)
    assert not attempts.finish(slow, NextState("retrying", 0, ended), NOW)
    assert record().state == "delivered"


def test_a_duplicate_event_that_fails_too_does_not_fork_the_chain(deps: DeliverDependencies, queue: str) -> None:
    endpoint = Endpoint(response(500))
    run(deps, endpoint, queue_message(delivery(), "m1"))
    run(deps, endpoint, queue_message(delivery(), "m2"))
    assert len(record().attempts) == 1
    messages = retries(queue)  # the first retry may have been lost, so it was scheduled again
    assert len(messages) == 2
    posted = len(endpoint.posted)
    for message in messages:
        assert run(deps, endpoint, message) == []
    assert len(endpoint.posted) == posted + 1
    assert len(record().attempts) == 2


def test_secrets_reach_neither_the_log_nor_the_queue(deps: DeliverDependencies, queue: str) -> None:
    run(deps, Endpoint(response(500)), queue_message(delivery()))
    assert SECRET not in recorded(deps).everything()
    assert all(SECRET not in message["body"] for message in retries(queue))


def test_the_evidence_of_a_failure_is_one_bounded_line(deps: DeliverDependencies) -> None:
    run(deps, Endpoint(response(500, "€".encode() * 200 + b"\nmore")), queue_message(delivery()))
    [row] = OutcomeDay.scan()
    said = json.loads(row.last_failure)["response"]
    assert said == "€" * 53
