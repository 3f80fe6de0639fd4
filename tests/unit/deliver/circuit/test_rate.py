"""The pause, the slow start and the rate limit: decisions without effects."""

import math

from hypothesis import given
from hypothesis import strategies as st

from deliver.circuit import rate
from deliver.circuit.rate import CircuitState, admit, start_rate, trial_interval

NOW = 1_800_000_000.0


def test_a_closed_circuit_lets_everything_through() -> None:
    assert admit(CircuitState(), 10, None, NOW).count == 10


def test_a_paused_app_waits_until_its_next_trial() -> None:
    admission = admit(CircuitState(paused_since=NOW, next_trial_at=NOW + 30), 10, None, NOW + 10)
    assert (admission.count, admission.wait) == (0, 20)


def test_when_a_trial_is_due_one_delivery_may_go() -> None:
    admission = admit(CircuitState(paused_since=NOW, next_trial_at=NOW + 30), 10, None, NOW + 30)
    assert (admission.count, admission.paused_since) == (1, NOW)


def test_while_one_worker_makes_the_trial_no_other_does() -> None:
    state = CircuitState(paused_since=NOW, next_trial_at=NOW, trial_lease_until=NOW + 30)
    assert admit(state, 10, None, NOW + 10).count == 0


def test_the_lease_of_a_worker_that_died_in_its_trial_ends() -> None:
    state = CircuitState(paused_since=NOW, next_trial_at=NOW, trial_lease_until=NOW + 30)
    assert admit(state, 10, None, NOW + 31).count == 1


def test_trials_come_every_half_minute_at_first_and_every_quarter_of_an_hour_later() -> None:
    assert trial_interval(NOW, NOW + 1) == 30
    assert trial_interval(NOW, NOW + 6000) == 600
    assert trial_interval(NOW, NOW + 86_400) == 900


def test_after_a_pause_deliveries_start_slowly_and_double_until_they_are_free() -> None:
    rates = [start_rate(NOW, NOW + seconds) for seconds in (0, 10, 20, 50, 60)]
    assert rates == [1, 2, 4, 32, math.inf]
    assert admit(CircuitState(closed_at=NOW), 10, None, NOW).count == 1
    assert admit(CircuitState(closed_at=NOW), 10, None, NOW + 60).count == 10


def test_a_limit_allows_a_seconds_worth_at_once_and_then_paces() -> None:
    first = admit(CircuitState(), 10, 5, NOW)
    assert first.count == 5
    assert admit(CircuitState(tat=first.tat), 10, 5, NOW).count == 0
    assert admit(CircuitState(tat=first.tat), 10, 5, NOW + 0.2).count == 1
    assert admit(CircuitState(tat=first.tat), 10, 5, NOW + 60).count == 5


def test_a_limit_below_one_a_second_still_lets_one_go() -> None:
    first = admit(CircuitState(), 3, 0.1, NOW)
    assert first.count == 1
    assert admit(CircuitState(tat=first.tat), 3, 0.1, NOW + 9).count == 0
    assert admit(CircuitState(tat=first.tat), 3, 0.1, NOW + 10).count == 1


def test_the_slow_start_and_the_limit_hold_together() -> None:
    assert admit(CircuitState(closed_at=NOW), 10, 5, NOW).rate == 1
    assert admit(CircuitState(closed_at=NOW), 10, 5, NOW + 40).rate == 5


ARRIVALS = st.lists(st.tuples(st.floats(0, 5), st.integers(1, 20)), min_size=1, max_size=40)


@given(ARRIVALS, st.floats(0.1, 50))
def test_whatever_arrives_no_more_goes_out_than_the_limit_allows(
    arrivals: list[tuple[float, int]], limit: float
) -> None:
    now, tat, sent = NOW, None, 0
    for gap, wanted in arrivals:
        now += gap
        admission = admit(CircuitState(tat=tat), wanted, limit, now)
        assert 0 <= admission.count <= wanted
        sent += admission.count
        tat = admission.tat or tat
    burst = max(rate.BURST_SECONDS, 1 / limit)
    assert sent <= (now - NOW + burst) * limit + 1


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_a_trial_is_never_further_away_than_a_quarter_of_an_hour(age: float, extra: float) -> None:
    assert rate.TRIAL_SECONDS <= trial_interval(NOW, NOW + age) <= rate.MAX_TRIAL_SECONDS
    assert trial_interval(NOW, NOW + age) <= trial_interval(NOW, NOW + age + extra)
