"""How close an app is to each limit, and what other limits would have done."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from health.nearness import Nearness, SimulatedDay, nearness, pause_on, simulate
from health.rules import Day, Pause, Thresholds, evaluate

PRESENT = Thresholds(timeouts_per_day=1000, error_days=7, pause_hours=72)
FIRST = date(2026, 11, 1)
LAST = FIRST + timedelta(days=6)


def days(**counts: Sequence[int]) -> list[Day]:
    number = len(next(iter(counts.values())))
    return [Day(FIRST + timedelta(n), **{name: row[n] for name, row in counts.items()}) for n in range(number)]


def near(recorded: list[Day], pause: Pause | None = None) -> dict[str, Nearness]:
    window = evaluate(recorded, LAST, PRESENT).days
    return {found.rule: found for found in nearness(window, PRESENT, pause)}


def test_an_app_without_failures_is_far_from_every_limit() -> None:
    found = near(days(success=[1] * 7))
    assert [*found] == ["fatal", "timeouts", "errors", "pause"]
    assert {(close.reached, close.share, close.day) for close in found.values()} == {(0, 0, None)}
    assert [close.limit for close in found.values()] == [1, 1000, 7, 72]


def test_the_day_with_the_most_timeouts_counts_and_of_two_the_later_one() -> None:
    timeouts = near(days(timeout=[0, 250, 0, 250, 0, 1, 0]))["timeouts"]
    assert (timeouts.reached, timeouts.share, timeouts.day) == (250, 0.25, FIRST + timedelta(days=3))


def test_error_days_count_as_a_run_that_ends_today() -> None:
    assert near(days(error=[1, 1, 0, 0, 1, 1, 1]))["errors"].reached == 3
    assert near(days(error=[1, 1, 1, 1, 1, 1, 0]))["errors"].reached == 0


def test_one_fatal_response_is_all_of_the_way_and_two_are_no_more() -> None:
    fatal = near(days(fatal=[0, 1, 0, 0, 1, 0, 0]))["fatal"]
    assert (fatal.reached, fatal.share, fatal.day) == (2, 1.0, FIRST + timedelta(days=4))


def test_a_pause_counts_by_its_hours() -> None:
    assert near([], Pause(FIRST, 36.5))["pause"].share == 36.5 / 72


def simulated(limits: Thresholds, recorded: list[Day], pause: Pause | None = None) -> list[SimulatedDay]:
    return simulate(recorded, limits, lambda _: pause)


def broken(limits: Thresholds, recorded: list[Day], pause: Pause | None = None) -> list[str | None]:
    return [day.broken_rule for day in simulated(limits, recorded, pause)]


def test_lower_thresholds_switch_off_sooner_and_then_counting_starts_afresh() -> None:
    recorded = days(error=[1] * 8)
    assert broken(PRESENT, recorded) == [*[None] * 6, "errors", None]
    assert broken(Thresholds(1000, 3), recorded) == [None, None, "errors"] * 2 + [None, None]


def test_one_fatal_response_switches_off_once() -> None:
    assert broken(PRESENT, days(fatal=[0, 1, 0, 0])) == [None, "fatal", None, None]


def test_a_warning_is_given_once_and_a_more_serious_one_after_it() -> None:
    recorded = days(timeout=[510, 600, 760, 0, 510])
    given = [[(w.rule, w.reached, w.limit) for w in day.warnings] for day in simulated(PRESENT, recorded)]
    assert given == [[("timeouts", 510, 1000)], [], [("timeouts", 760, 1000)], [], [("timeouts", 510, 1000)]]


def test_a_day_that_only_other_thresholds_notice_counts_for_them_alone() -> None:
    recorded = days(timeout=[400])
    assert not simulated(PRESENT, recorded)[0]
    assert broken(Thresholds(400, 7), recorded) == ["timeouts"]


def test_a_pause_counts_until_the_app_is_switched_off() -> None:
    recorded = days(error=[1] * 5)[2:]
    pause = Pause(FIRST, 50)
    assert broken(Thresholds(1000, 7, 48), recorded, pause) == [None, "pause", None]
    assert not any(broken(PRESENT, recorded, pause))


def test_a_pause_is_as_long_as_it_was_at_the_end_of_a_day_and_today_as_long_as_it_is() -> None:
    since = datetime(2026, 11, 2, 18, tzinfo=UTC)
    on = pause_on(since, datetime(2026, 11, 4, 6, tzinfo=UTC))
    assert [on(FIRST + timedelta(days=n)) for n in range(4)] == [
        None,
        Pause(date(2026, 11, 2), 6),
        Pause(date(2026, 11, 2), 30),
        Pause(date(2026, 11, 2), 36),
    ]


def test_without_a_pause_no_day_has_one() -> None:
    assert pause_on(None, datetime(2026, 11, 4, tzinfo=UTC))(FIRST) is None
