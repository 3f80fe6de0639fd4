"""The figures of an outage, from deliveries whose times are known."""

import pytest

from tests.faults.outage_account import Account, Sent, Span, busiest, curve, delays

TRAFFIC, OUTAGE = Span(100, 200), Span(120, 160)


def sent(published: float, *successes: float, due: float | None = None) -> Sent:
    return Sent("app", published, published if due is None else due, "delivered", successes)


def test_deliveries_count_for_the_time_in_which_they_were_published() -> None:
    account = Account(TRAFFIC, OUTAGE, [sent(110, 111), sent(120, 165), sent(159, 161), sent(160, 160.5)])
    summary = account.summary()
    assert summary["during"] == {"number": 2, "p50": 2, "p99": 45, "longest": 45}
    assert summary["after"] == {"number": 1, "p50": 0.5, "p99": 0.5, "longest": 0.5}


def test_a_delivery_whose_first_attempt_failed_is_late_from_when_its_retry_was_due() -> None:
    assert delays([sent(100, 170, due=160)])["longest"] == 10


def test_what_never_arrived_has_no_delay() -> None:
    assert delays([sent(100), sent(100, 101)])["number"] == 1


def test_recovery_ends_with_the_first_arrival_of_the_last_delivery_that_waited() -> None:
    assert Account(TRAFFIC, OUTAGE, [sent(130, 170, 190), sent(140, 165), sent(161, 199)]).recovery() == 10


def test_recovery_takes_no_time_where_nothing_waited() -> None:
    assert Account(TRAFFIC, OUTAGE, [sent(130, 131)]).recovery() == 0


def test_nothing_has_recovered_while_a_delivery_that_waited_is_missing() -> None:
    assert Account(TRAFFIC, OUTAGE, [sent(130, 170), sent(140)]).recovery() is None


def test_each_success_beyond_the_first_is_a_duplicate() -> None:
    account = Account(TRAFFIC, OUTAGE, [sent(130, 131, 140, 150), sent(140, 141), sent(150)])
    assert account.summary()["duplicates"] == 2


def test_the_busiest_app_counts_and_not_the_sum_of_all() -> None:
    requests = [("a", 120.1), ("a", 120.9), ("b", 120.5), ("b", 121.5), ("b", 129.0), ("a", 160.0)]
    assert busiest(requests, OUTAGE) == {"1 s": 2, "10 s": pytest.approx(0.3)}


def test_a_storm_after_the_traffic_has_ended_is_counted() -> None:
    account = Account(TRAFFIC, OUTAGE, [], [("a", 110.0), *[("a", 250.2)] * 50])
    assert account.summary()["busiest_before"]["1 s"] == 1
    assert account.summary()["busiest_after"]["1 s"] == 50


def test_the_curve_has_a_rate_for_every_five_seconds_also_where_nothing_arrives() -> None:
    assert curve([100.0, 104.9, 112.0], 100.0) == [0.4, 0.0, 0.2]
    assert curve([], 100.0) == []
