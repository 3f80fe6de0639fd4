"""When a failed delivery is tried again: the schedule, Retry-After, and the jitter."""

from hypothesis import given
from hypothesis import strategies as st

from deliver.attempt import retry
from deliver.attempt.retry import fault_wait
from deliver.attempt.verdict import MAX_RETRY_AFTER

DELAYS = (5, 60, 300)


def test_the_schedule_is_followed_and_then_ends() -> None:
    waits = [retry.delay(n, DELAYS, 0, lambda low, high: low) for n in range(1, 5)]
    assert waits == [5, 60, 300, None]


def test_retry_after_wins_when_it_is_longer() -> None:
    assert retry.delay(1, DELAYS, 40, lambda low, high: low) == 40
    assert retry.delay(2, DELAYS, 40, lambda low, high: low) == 60


@given(st.integers(1, 3), st.floats(0, MAX_RETRY_AFTER), st.floats(0, 1))
def test_jitter_is_only_added_and_within_its_bounds(made: int, asked: float, where: float) -> None:
    wait = retry.delay(made, DELAYS, asked, lambda low, high: low + (high - low) * where)
    base = max(DELAYS[made - 1], asked)
    assert wait is not None
    assert base <= wait <= base + max(1, base / 10) + 1


def test_what_a_fault_of_ours_prevented_was_sent_every_minute_or_two_for_as_long_as_the_fault_lasted() -> None:
    def middle(low: float, high: float) -> float:
        return (low + high) / 2

    assert fault_wait(0, middle) == 90
    waited, rounds = 0.0, 0
    while waited < 12 * 3600:
        waited, rounds = waited + fault_wait(rounds, middle), rounds + 1
    assert rounds == 76  # it was 480
    assert max(fault_wait(1000, lambda _, high: high), fault_wait(9, lambda _, high: high)) == 900
