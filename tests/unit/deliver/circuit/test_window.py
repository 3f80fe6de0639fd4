from datetime import date

from bellhop.outcomes import Failure, OutcomeDay, OutcomeDelta, generation_day, scope
from deliver.circuit.window import WINDOW_SECONDS, FailureWindow

DAY = date(2026, 11, 23)
FAILURE = Failure("", "", "", "", "", "")


class Fleet:
    """The shared counters of one app and organisation, and this process's window on them."""

    def __init__(self) -> None:
        self.now = 0.0
        self.window = FailureWindow(lambda: self.now)
        self.row = OutcomeDay(scope("pager", "acme"), generation_day(1, DAY))

    def elsewhere(self, success: int = 0, error: int = 0, timeout: int = 0) -> None:
        self.row.success += success
        self.row.error += error
        self.row.timeout += timeout

    def here(self, success: int = 0, error: int = 0, timeout: int = 0) -> bool:
        self.elsewhere(success, error, timeout)
        delta = OutcomeDelta("pager", "acme", 1, DAY, success, error, timeout)
        return self.window.add(delta, self.row)


def test_ten_failures_pause() -> None:
    fleet = Fleet()
    assert [fleet.here(error=1) for _ in range(10)] == [False] * 9 + [True]


def test_timeouts_and_errors_both_count() -> None:
    assert Fleet().here(error=5, timeout=5)


def test_half_failing_is_enough_and_less_is_not() -> None:
    assert Fleet().here(success=5, error=5)
    assert not Fleet().here(success=6, error=5)


def test_nine_failures_are_too_few_to_judge_by() -> None:
    assert not Fleet().here(error=9)


def test_what_other_functions_counted_meanwhile_is_seen_without_a_read() -> None:
    fleet = Fleet()
    fleet.here(success=1)
    fleet.elsewhere(error=20)
    assert fleet.here(error=1)


def test_what_was_counted_before_this_process_began_is_not() -> None:
    fleet = Fleet()
    fleet.elsewhere(error=500)
    assert not fleet.here(error=1)


def test_failures_leave_the_window_after_five_minutes() -> None:
    fleet = Fleet()
    fleet.here(error=9)
    fleet.now += WINDOW_SECONDS + 1
    assert not fleet.here(error=1)


def test_a_success_alone_never_pauses() -> None:
    fleet = Fleet()
    fleet.here(error=9)
    fleet.elsewhere(error=20)
    assert not fleet.here(success=1)


def test_a_few_failures_among_many_attempts_are_not_worth_a_read() -> None:
    fleet = Fleet()
    fleet.here(error=2)
    assert not fleet.window.suspects("pager")
    fleet.here(success=98, error=2)
    assert not fleet.window.suspects("pager")


def test_three_failures_that_are_a_tenth_make_the_process_read_the_circuit_for_a_window() -> None:
    fleet = Fleet()
    assert not fleet.window.suspects("pager")
    fleet.here(success=27, error=3)
    assert fleet.window.suspects("pager")
    fleet.now += WINDOW_SECONDS
    assert not fleet.window.suspects("pager")


def test_what_failed_before_a_recovery_is_forgotten() -> None:
    fleet = Fleet()
    fleet.here(error=9)
    fleet.now = 100
    fleet.window.forget("pager", before=50)
    assert not fleet.here(error=1)
