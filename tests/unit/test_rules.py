"""When an app is broken: the cases of section E that need no table."""

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from health.rules import Day, Thresholds, evaluate

TODAY = date(2026, 11, 23)
LIMITS = Thresholds(timeouts_per_day=1000, error_days=7)


def ago(days: int, **counts: int) -> Day:
    return Day(TODAY - timedelta(days=days), **counts)


def rule(*days: Day, limits: Thresholds = LIMITS) -> str | None:
    return evaluate(days, TODAY, limits).rule


def errors(*days: int) -> list[Day]:
    return [ago(n, error=1) for n in days]


def test_no_data_is_healthy() -> None:
    assert not evaluate([], TODAY, LIMITS).broken


def test_the_threshold_of_timeouts_in_one_day_is_broken_and_one_fewer_is_not() -> None:
    assert rule(ago(0, timeout=1000)) == "timeouts"
    assert rule(ago(0, timeout=999)) is None


def test_successes_do_not_offset_timeouts() -> None:
    assert rule(ago(0, timeout=1000, success=1_000_000)) == "timeouts"


def test_timeouts_spread_over_midnight_are_not_added() -> None:
    assert rule(ago(1, timeout=600), ago(0, timeout=600)) is None


def test_a_timeout_day_within_the_window_still_decides() -> None:
    assert rule(ago(6, timeout=1000), ago(0, error=1)) == "timeouts"
    assert rule(ago(7, timeout=1000), ago(0, error=1)) is None


def test_errors_alone_on_seven_days_in_a_row_are_broken() -> None:
    assert rule(*errors(0, 1, 2, 3, 4, 5, 6)) == "errors"


def test_six_error_days_are_not() -> None:
    assert rule(*errors(0, 1, 2, 3, 4, 5)) is None


def test_a_day_without_data_breaks_the_run() -> None:
    assert rule(*errors(0, 1, 2, 4, 5, 6, 7)) is None


def test_one_success_in_a_day_breaks_the_run() -> None:
    assert rule(*errors(0, 1, 2, 4, 5, 6), ago(3, error=50, success=1)) is None


def test_errors_and_successes_every_day_for_ten_days_are_not_broken() -> None:
    assert rule(*(ago(n, error=9, success=1) for n in range(10))) is None


def test_errors_alone_for_ten_days_are_broken() -> None:
    assert rule(*errors(*range(10))) == "errors"


def test_two_errors_in_one_day_are_not_broken() -> None:
    assert rule(ago(0, error=2)) is None


def test_a_day_with_few_timeouts_is_no_error_day() -> None:
    assert rule(*errors(0, 1, 2, 3, 4, 5), ago(6, timeout=5)) is None


def test_one_fatal_answer_is_broken_at_once_whatever_else_happened() -> None:
    assert rule(ago(0, fatal=1, success=1000)) == "fatal"
    assert rule(ago(6, fatal=1)) == "fatal"
    assert rule(ago(7, fatal=1)) is None


def test_fewer_error_days_can_be_asked_for_without_shortening_the_other_rules() -> None:
    three = Thresholds(timeouts_per_day=1000, error_days=3)
    assert rule(*errors(0, 1, 2), limits=three) == "errors"
    assert rule(*errors(0, 1), limits=three) is None
    assert rule(ago(6, fatal=1), limits=three) == "fatal"


def test_the_evidence_holds_every_day_of_the_window_oldest_first() -> None:
    evidence = evaluate([ago(0, fatal=1)], TODAY, LIMITS).evidence()
    assert [d["day"] for d in evidence["days"]] == [
        (TODAY - timedelta(days=n)).isoformat() for n in range(6, -1, -1)
    ]
    assert evidence["days"][-1]["fatal"] == 1


COUNTS = st.integers(0, 2000)
DAYS = st.lists(
    st.builds(ago, st.integers(0, 9), success=COUNTS, error=COUNTS, timeout=COUNTS, fatal=st.integers(0, 1)),
    unique_by=lambda d: d.day,
)


@given(DAYS, st.randoms())
def test_the_order_of_the_days_never_matters(days: list[Day], random: object) -> None:
    shuffled = list(days)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert evaluate(days, TODAY, LIMITS) == evaluate(shuffled, TODAY, LIMITS)


@given(DAYS)
def test_a_success_today_can_only_be_outweighed_by_timeouts_or_a_fatal_answer(days: list[Day]) -> None:
    others = [d for d in days if d.day != TODAY]
    assert rule(*others, ago(0, success=1)) in {None, "timeouts", "fatal"}
