"""A batch: its posts side by side, each fault its own message's, everything written when all have ended."""

from collections.abc import Mapping
from typing import Any

import pytest

from bellhop import attempts
from deliver.attempt import signing
from deliver.dependencies import DeliverDependencies
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
    assert run(deps, Exhausted(), *batch(1)) == ["m0"]
    assert attempts.load("msg_0") is None
    assert set(counters().values()) == {0}
    assert recorded(deps).counts == {"OurFault": 1}


def test_a_retry_that_failed_by_our_fault_is_made_as_soon_as_its_message_comes_back(
    deps: DeliverDependencies, queue: str
) -> None:
    run(deps, Endpoint(response(500)), *batch(1))
    [retry] = retries(queue)
    assert run(deps, Exhausted(), retry) == [retry["messageId"]]
    assert record("msg_0").attempts_made == 1
    assert run(deps, Endpoint(response(200)), retry) == []
    assert record("msg_0").state == "delivered"


def test_nothing_is_written_while_attempts_still_run(
    deps: DeliverDependencies, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint, posted = Endpoint(response(500)), list[int]()
    write = attempts.open_record

    def noted(*args: Any) -> Any:
        posted.append(len(endpoint.posted))
        return write(*args)

    monkeypatch.setattr(attempts, "open_record", noted)
    run(deps, endpoint, *batch(8))
    assert posted == [8] * 8
    assert record("msg_7").state == "retrying"


def test_a_batch_of_one_app_is_posted_whole_and_defers_nothing(deps: DeliverDependencies, queue: str) -> None:
    endpoint = Endpoint(response(200))
    assert run(deps, endpoint, *batch(100)) == []
    assert len(endpoint.posted) == 100
    assert retries(queue) == []
