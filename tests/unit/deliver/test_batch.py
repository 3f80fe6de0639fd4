"""A batch: its posts side by side, each fault its own message's, everything written when all have ended."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

from bellhop import attempts, circuits, deliveries
from bellhop.deliveries import Retry
from deliver.attempt import signing
from deliver.batch import process
from deliver.dependencies import DeliverDependencies, Invocation
from deliver.http.faults import OurFaultError
from deliver.http.response import Response, SendFailure
from tests.support.endpoint import Endpoint, counters, record, recorded, response, retries, run
from tests.support.fakes import delivery, queue_message


def batch(number: int) -> list[dict[str, Any]]:
    return [queue_message(delivery(delivery_id=f"msg_{n}"), f"m{n}") for n in range(number)]


def test_a_fault_while_signing_brings_back_its_own_message_and_no_other(
    deps: DeliverDependencies, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign = signing.headers

    def faulty(delivery: Any, *args: Any) -> dict[str, str]:
        if delivery.delivery_id == "msg_1":
            raise ZeroDivisionError
        return sign(delivery, *args)

    monkeypatch.setattr(signing, "headers", faulty)
    endpoint = Endpoint(response(200))
    assert run(deps, endpoint, *batch(3)) == ["m1"]
    assert len(endpoint.posted) == 2


class Exhausted:
    """A transport without descriptors."""

    def post(
        self, app_id: str, url: str, headers: Mapping[str, str], body: bytes, seconds: float
    ) -> Response | SendFailure:
        raise OurFaultError("OSError: [Errno 24] Too many open files")


def test_descriptors_that_ran_out_were_counted_as_the_endpoints_timeout(
    deps: DeliverDependencies, queue: str
) -> None:
    assert run(deps, Exhausted(), *batch(1)) == []
    assert set(counters().values()) == {0}
    assert recorded(deps).counts == {"OurFault": 1}
    assert not circuits.load("pager").strikes


def test_an_outage_of_ours_that_lasts_longer_than_ten_receives_dead_lettered_what_could_be_tried_later(
    deps: DeliverDependencies, queue: str
) -> None:
    due = batch(1)
    for number in range(30):
        assert run(deps, Exhausted(), *due) == []
        [message] = due = retries(queue)
        retry = Retry("msg_0", "pager", 1, organization_id="acme", deferral=number)
        assert deliveries.decode(message["body"]) == retry
    assert (record("msg_0").state, record("msg_0").attempts_made, record("msg_0").attempts) == ("retrying", 0, [])
    assert run(deps, Endpoint(response(200)), *due) == []
    assert record("msg_0").state == "delivered"


def test_copies_of_a_retry_that_a_fault_of_ours_deferred_multiplied_from_round_to_round(
    deps: DeliverDependencies, queue: str
) -> None:
    run(deps, Exhausted(), *batch(1))
    for _ in range(5):
        [retry] = [deliveries.decode(message["body"]) for message in retries(queue)]
        for copy in range(3):
            assert run(deps, Exhausted(), queue_message(retry, f"copy{copy}")) == []
    assert len(retries(queue)) == 1
    assert recorded(deps).counts["DuplicateDropped"] == 10


def test_a_worker_that_died_before_it_sent_what_a_fault_of_ours_deferred_has_it_sent_by_its_message(
    deps: DeliverDependencies, queue: str
) -> None:
    run(deps, Exhausted(), *batch(1))
    [retry] = [deliveries.decode(message["body"]) for message in retries(queue)]
    run(deps, Exhausted(), queue_message(retry))
    [lost] = retries(queue)
    assert run(deps, Exhausted(), queue_message(retry, receive_count=2)) == []
    assert [message["body"] for message in retries(queue)] == [lost["body"]]


def test_a_retry_that_failed_by_our_fault_spends_no_budget(deps: DeliverDependencies, queue: str) -> None:
    run(deps, Endpoint(response(500)), *batch(1))
    assert run(deps, Exhausted(), *retries(queue)) == []
    assert record("msg_0").attempts_made == 1
    assert run(deps, Endpoint(response(200)), *retries(queue)) == []
    assert record("msg_0").state == "delivered"


def test_nothing_is_written_while_attempts_still_run(
    deps: DeliverDependencies, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint, posted = Endpoint(response(500)), list[int]()
    write = attempts.open_record

    def noted(*args: Any, **kwargs: Any) -> Any:
        posted.append(len(endpoint.posted))
        return write(*args, **kwargs)

    monkeypatch.setattr(attempts, "open_record", noted)
    run(deps, endpoint, *batch(8))
    assert posted == [8] * 8
    assert record("msg_7").state == "retrying"


def test_a_batch_of_one_app_is_posted_whole_and_defers_nothing(deps: DeliverDependencies, queue: str) -> None:
    endpoint = Endpoint(response(200))
    assert run(deps, endpoint, *batch(100)) == []
    assert len(endpoint.posted) == 100
    assert retries(queue) == []


class SlowTables:
    """An invocation in which each attempt that is begun takes so many seconds; the endpoint takes none."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
        self.left = 30.0
        claim, begin = attempts.claim, attempts.finish

        def slow(call: Any) -> Any:
            def called(*args: Any, **kwargs: Any) -> Any:
                self.left -= seconds
                assert self.left > 0, "a write did not fit"
                return call(*args, **kwargs)

            return called

        monkeypatch.setattr(attempts, "claim", slow(claim))
        monkeypatch.setattr(attempts, "finish", slow(begin))

    def remaining_milliseconds(self) -> int:
        return round(self.left * 1000)


@pytest.mark.parametrize("seconds", [0.01, 0.4, 0.8, 1.3, 2.5])
def test_a_table_that_is_only_slow_made_healthy_retries_be_posted_again(
    deps: DeliverDependencies, queue: str, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    run(deps, Endpoint(response(404)), *batch(10))
    due = retries(queue)
    tables = SlowTables(monkeypatch, seconds)

    class Hangs(Endpoint):
        def post(self, *call: Any) -> Any:
            if not self.posted:
                tables.left -= deps.deadline
            return super().post(*call)

    endpoint = Hangs(response(200))
    invocation = Invocation(tables.remaining_milliseconds)
    returned = process(due, dataclasses.replace(deps, transport=endpoint), invocation)
    assert len(returned) + len(endpoint.posted) == 10
    assert endpoint.posted
    written = [record(f"msg_{n}").state for n in range(10)]
    assert written.count("delivered") == len(endpoint.posted)


def test_what_was_delivered_is_written_before_what_failed(
    deps: DeliverDependencies, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(deps, Endpoint(response(404)), *batch(4))
    order: list[str] = []
    finish = attempts.finish

    def noted(made: Any, state: Any, *more: Any) -> bool:
        order.append(state.state)
        return finish(made, state, *more)

    monkeypatch.setattr(attempts, "finish", noted)
    run(deps, Endpoint(response(404), response(404), response(200)), *retries(queue))
    assert order == ["delivered", "delivered", "retrying", "retrying"]
