from datetime import datetime, timedelta

import pytest

from bellhop import attempts
from bellhop.attempts import Attempt, NextState
from bellhop.successes import Success, SuccessLog
from infra.cli import arrivals
from infra.cli.arrivals import Arrival
from infra.cli.destinations import Destination
from tests.support.fakes import NOW, delivery

pytestmark = pytest.mark.usefixtures("aws")
SINCE = NOW - timedelta(seconds=1)


class Clock:
    """Each sleep makes it later, and calls what is to happen meanwhile."""

    def __init__(self) -> None:
        self.now, self.slept = NOW, 0

    def __call__(self) -> datetime:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.slept += 1


def destination(delivery_id: str = delivery().delivery_id) -> Destination:
    return Destination(0, delivery().app_id, delivery_id)


def watch(*destinations: Destination, seconds: float = 3, clock: Clock | None = None) -> dict[str, Arrival]:
    clock = clock or Clock()
    [*_, last] = arrivals.watch(destinations, SINCE, seconds, clock, clock.sleep)
    return last


def test_a_delivery_that_succeeded_at_once_is_delivered() -> None:
    row = {"app": delivery().app_id, "delivery_id": delivery().delivery_id}
    log = SuccessLog("process1", timedelta(days=3))
    log.write([Success(delivery(), row | Attempt(1, NOW, 3, "r", "http_200", 200).row())], NOW)
    clock = Clock()
    assert watch(destination(), clock=clock) == {delivery().delivery_id: Arrival("delivered")}
    assert clock.slept == 0


def test_a_delivery_that_failed_waits_for_its_next_attempt() -> None:
    failed = Attempt(1, NOW, 3, "r", "http_500", 500)
    attempts.open_record(delivery(), NextState("retrying", 1_900_000_000.0, failed), NOW)
    assert watch(destination()) == {delivery().delivery_id: Arrival("retrying", "http_500", 1_900_000_000.0, 500)}


def test_a_delivery_of_an_app_that_is_off_is_parked() -> None:
    attempts.open_record(delivery(), NextState("parked"), NOW)
    assert watch(destination()) == {delivery().delivery_id: Arrival("parked")}


def test_a_delivery_of_a_busy_app_is_parked_though_its_record_stands_under_a_further_key() -> None:
    attempts.open_record(delivery(), NextState("exhausted"), NOW, key=f"{delivery().app_id}#3")
    assert watch(destination()) == {delivery().delivery_id: Arrival("exhausted")}


def test_what_an_earlier_publication_of_the_event_came_to_is_not_taken_for_this_ones() -> None:
    earlier = NOW - timedelta(hours=1)
    ended = Attempt(1, earlier, 3, "r", "http_410", 410)
    attempts.open_record(delivery(), NextState("stopped", 0.0, ended), earlier)
    assert watch(destination()) == {}


def test_what_waited_before_an_event_was_published_again_was_taken_for_what_became_of_it() -> None:
    earlier, clock = NOW - timedelta(hours=1), Clock()
    failed = Attempt(1, earlier, 3, "r", "http_500", 500)
    attempts.open_record(delivery(), NextState("retrying", 1_900_000_000.0, failed), earlier)
    assert watch(destination(), seconds=3, clock=clock) == {
        delivery().delivery_id: Arrival("retrying", "http_500", 1_900_000_000.0, 500)
    }
    assert clock.slept == 3  # something may have become of it until then


def test_the_wait_has_an_end_and_what_is_not_seen_by_then_is_left_out() -> None:
    clock = Clock()
    attempts.open_record(delivery(), NextState("parked"), NOW)
    found = watch(destination(), destination("msg_other"), clock=clock)
    assert [*found] == [delivery().delivery_id]
    assert clock.slept == 3
