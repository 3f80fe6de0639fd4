"""The slow start and the rate limit: decisions without effects."""

from hypothesis import given
from hypothesis import strategies as st

from bellhop.slow_start import START_SECONDS
from deliver.circuit import rate
from deliver.circuit.rate import Pace, trial_interval

NOW = 1_800_000_000.0


def at_once(pace: Pace, tat: float | None, wanted: int, now: float) -> int:
    waits, _ = pace.places(tat, wanted, now)
    return sum(1 for wait in waits if not wait)


def test_without_a_limit_everything_goes_at_once_and_nothing_is_remembered() -> None:
    assert Pace().places(None, 3, NOW) == ([0, 0, 0], None)


def test_trials_come_every_half_minute_at_first_and_every_quarter_of_an_hour_later() -> None:
    assert trial_interval(NOW, NOW + 1) == 30
    assert trial_interval(NOW, NOW + 6000) == 600
    assert trial_interval(NOW, NOW + 86_400) == 900


def test_after_a_pause_deliveries_start_slowly_and_double_until_they_are_free() -> None:
    pace = Pace(closed_at=NOW)
    assert at_once(pace, None, 10, NOW) == 1
    assert at_once(pace, None, 10, NOW + START_SECONDS) == 10


def test_however_many_wait_for_the_slow_start_all_have_their_place_when_it_is_over() -> None:
    waits, _ = Pace(closed_at=NOW).places(None, 100_000, NOW)
    assert max(waits) <= START_SECONDS + 1


def test_a_limit_allows_a_seconds_worth_at_once_and_then_paces() -> None:
    pace = Pace(5)
    waits, tat = pace.places(None, 10, NOW)
    assert [round(wait, 3) for wait in waits] == [0, 0, 0, 0, 0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert at_once(pace, tat, 10, NOW + 1) == 0
    assert at_once(pace, tat, 10, NOW + 60) == 5


def test_a_limit_below_one_a_second_still_lets_one_go() -> None:
    pace = Pace(0.1)
    waits, tat = pace.places(None, 3, NOW)
    assert [round(wait, 3) for wait in waits] == [0, 10, 20]
    assert at_once(pace, tat, 1, NOW + 29) == 0
    assert at_once(pace, tat, 1, NOW + 30) == 1


def test_the_slow_start_and_the_limit_hold_together() -> None:
    assert Pace(5, NOW).rate(NOW) == 1
    assert Pace(5, NOW).rate(NOW + 40) == 5


ARRIVALS = st.lists(st.tuples(st.floats(0, 5), st.integers(1, 20)), min_size=1, max_size=40)


@given(ARRIVALS, st.floats(0.1, 50))
def test_whatever_arrives_each_has_a_place_and_no_more_go_out_than_the_limit_allows(
    arrivals: list[tuple[float, int]], limit: float
) -> None:
    now, tat, places = NOW, None, list[float]()
    for gap, wanted in arrivals:
        now += gap
        waits, tat = Pace(limit).places(tat, wanted, now)
        assert len(waits) == wanted
        places += [now + wait for wait in waits]
    assert places == sorted(places)
    burst = max(rate.BURST_SECONDS, 1 / limit)
    for number, place in enumerate(places, 1):
        assert number <= (place - NOW + burst) * limit + 1


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_a_trial_is_never_further_away_than_a_quarter_of_an_hour(age: float, extra: float) -> None:
    assert rate.TRIAL_SECONDS <= trial_interval(NOW, NOW + age) <= rate.MAX_TRIAL_SECONDS
    assert trial_interval(NOW, NOW + age) <= trial_interval(NOW, NOW + age + extra)
