"""When an app is broken, and when its owners are warned."""

from datetime import date, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from health.rules import (
    BROKEN,
    Day,
    EarlyWarning,
    Evaluation,
    Pause,
    PriorWarning,
    Thresholds,
    evaluate,
    left_on,
    sum_by_date,
)

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


def test_one_fatal_response_is_broken_at_once_whatever_else_happened() -> None:
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
def test_a_success_today_can_only_be_outweighed_by_timeouts_or_a_fatal_response(days: list[Day]) -> None:
    others = [d for d in days if d.day != TODAY]
    assert rule(*others, ago(0, success=1)) in {None, "timeouts", "fatal"}


def warned(*days: Day, limits: Thresholds = LIMITS) -> dict[str, int]:
    return {w.rule: w.level for w in evaluate(days, TODAY, limits).warnings}


def test_timeouts_are_warned_of_at_half_three_quarters_and_nine_tenths() -> None:
    levels = [warned(ago(0, timeout=n)).get("timeouts", 0) for n in (0, 499, 500, 749, 750, 899, 900, 999)]
    assert levels == [0, 0, 1, 1, 2, 2, 3, 3]


def test_errors_are_warned_of_on_the_third_the_fifth_and_the_sixth_day() -> None:
    levels = [warned(*errors(*range(n))).get("errors", 0) for n in range(7)]
    assert levels == [0, 0, 0, 1, 1, 2, 3]


def test_a_pause_is_warned_of_at_half_three_quarters_and_nine_tenths() -> None:
    def levels(hours: float, *days: Day) -> list[tuple[str, int, int, int]]:
        since = Pause(TODAY - timedelta(days=int(hours // 24)), hours)
        warnings = evaluate([ago(0, timeout=1), *days], TODAY, LIMITS, since).warnings
        return [(w.rule, w.level, w.reached, w.limit) for w in warnings]

    assert levels(35.9) == []
    assert levels(36) == [("pause", 1, 36, 72)]
    assert levels(54) == [("pause", 2, 54, 72)]
    assert levels(64.9) == [("pause", 3, 64, 72)]
    assert levels(64.9, ago(1, success=1)) == []  # a process that knew nothing of it got through


def test_fewer_days_are_warned_of_sooner_and_a_single_day_never() -> None:
    def levels(days: int) -> list[int]:
        limits = Thresholds(1000, days)
        return [warned(*errors(*range(n)), limits=limits).get("errors", 0) for n in range(1, days)]

    assert levels(4) == [0, 1, 2]
    assert levels(2) == [1]
    assert levels(1) == []


def test_what_was_true_yesterday_is_not_warned_of_today() -> None:
    assert warned(ago(1, timeout=999), ago(0, timeout=1)) == {}
    assert warned(*errors(1, 2, 3), ago(0, error=1, success=1)) == {}


def test_a_broken_app_is_not_warned_but_said_to_be_broken() -> None:
    evaluation = evaluate([ago(0, timeout=1000)], TODAY, LIMITS)
    assert evaluation.warnings == ()
    assert left_on(evaluation, TODAY) == EarlyWarning("timeouts", BROKEN, 1, 1, TODAY)


def test_the_evidence_says_since_when() -> None:
    def since(*days: Day, pause: Pause | None = None) -> date | None:
        return evaluate(days, TODAY, LIMITS, pause).since

    assert since(*errors(*range(10))) == TODAY - timedelta(days=6)
    assert since(*errors(0, 1, 2)) == TODAY - timedelta(days=2)
    assert since(ago(2, fatal=1)) == TODAY - timedelta(days=2)
    assert since(ago(2, timeout=100), ago(1, timeout=250), ago(0, timeout=500)) == TODAY - timedelta(days=1)
    assert since() is None


def test_an_episode_of_timeouts_ends_with_a_calm_day() -> None:
    def told(yesterday: int) -> bool:
        days = [ago(2, timeout=600), ago(1, timeout=yesterday), ago(0, timeout=600)]
        [warning] = evaluate(days, TODAY, LIMITS).warnings
        return warning.was_given([PriorWarning("timeouts", 1, TODAY - timedelta(days=2))])

    assert told(yesterday=250)
    assert not told(yesterday=249)


def test_a_more_serious_warning_is_given_after_a_milder_one_and_not_the_other_way_round() -> None:
    [grave] = evaluate([ago(0, timeout=900)], TODAY, LIMITS).warnings
    assert not grave.was_given([PriorWarning("timeouts", 2, TODAY), PriorWarning("errors", 3, TODAY)])
    assert grave.was_given([PriorWarning("timeouts", 3, TODAY)])
    [mild] = evaluate([ago(0, timeout=500)], TODAY, LIMITS).warnings
    assert mild.was_given([PriorWarning("timeouts", 3, TODAY)])


def warnings_of(timeouts: list[int], limits: Thresholds) -> list[PriorWarning]:
    """The warnings of consecutive days, judged after each day and twice."""
    given: list[PriorWarning] = []
    for today in range(len(timeouts)):
        days = [Day(TODAY + timedelta(days=n), timeout=timeouts[n]) for n in range(today + 1)]
        now = TODAY + timedelta(days=today)
        for _ in range(2):
            due = [w for w in evaluate(days, now, limits).warnings if not w.was_given(given)]
            given += [PriorWarning(w.rule, w.level, now) for w in due]
    return given


@given(st.lists(st.integers(0, 999), max_size=7))
def test_within_a_window_no_level_is_warned_of_twice_unless_there_was_a_calm_day(timeouts: list[int]) -> None:
    given_ = warnings_of(timeouts, LIMITS)
    for first, second in pairwise(given_):
        between = [timeouts[(d - TODAY).days] for d in _days(first.day, second.day)]
        assert second.level > first.level or min(between) < 250


def _days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


@given(DAYS)
def test_replaying_the_same_days_changes_nothing(days: list[Day]) -> None:
    assert evaluate(days + days, TODAY, LIMITS) == evaluate(days, TODAY, LIMITS)


@given(DAYS)
def test_a_day_that_another_clock_already_has_changes_nothing_today(days: list[Day]) -> None:
    tomorrow = Day(TODAY + timedelta(days=1), timeout=10_000, fatal=1)
    assert evaluate([*days, tomorrow], TODAY, LIMITS) == evaluate(days, TODAY, LIMITS)


@given(DAYS)
def test_a_warning_is_never_beyond_what_switches_off(days: list[Day]) -> None:
    evaluation: Evaluation = evaluate(days, TODAY, LIMITS)
    assert not (evaluation.broken and evaluation.warnings)
    assert all(0 < w.reached < w.limit and w.level < BROKEN and w.since <= TODAY for w in evaluation.warnings)
    assert all(count >= 0 for d in evaluation.evidence()["days"] for name, count in d.items() if name != "day")


def test_the_days_of_two_organisations_add_up_by_their_date() -> None:
    acme, globex = [ago(1, error=1), ago(0, success=2)], [ago(0, success=3, timeout=4, fatal=1)]
    assert sum_by_date([*globex, *acme]) == [ago(1, error=1), ago(0, success=5, timeout=4, fatal=1)]
    assert sum_by_date([]) == []
