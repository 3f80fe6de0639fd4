from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from bellhop.outcomes import OutcomeDelta
from deliver.success_buffer import BUFFERED_SECONDS, SuccessBuffer

DAY = date(2026, 11, 23)


class Process:
    """One process's buffer, and a clock that is moved."""

    def __init__(self) -> None:
        self.now = 0.0
        self.buffer = SuccessBuffer(lambda: self.now)

    def batch(self, app: str = "pager", day: date = DAY, success: int = 0, error: int = 0) -> list[OutcomeDelta]:
        due = self.buffer.due([OutcomeDelta(app, "acme", 1, day, success, error)])
        for delta in due:
            self.buffer.written(delta)
        return due


def test_the_first_success_of_an_apps_day_is_written_at_once() -> None:
    process = Process()
    assert [t.success for t in process.batch(success=1)] == [1]
    assert [t.success for t in process.batch(success=2, day=date(2026, 11, 24))] == [2]


def test_further_successes_wait_a_minute_and_are_written_together() -> None:
    process = Process()
    process.batch(success=1)
    assert process.batch(success=2) == []
    assert process.batch(success=3) == []
    process.now += BUFFERED_SECONDS
    assert [t.success for t in process.buffer.due([])] == [5]
    assert process.buffer.due([]) == []


def test_a_failure_is_written_at_once_with_the_successes_that_waited() -> None:
    process = Process()
    process.batch(success=1)
    process.batch(success=4)
    assert [(t.success, t.error) for t in process.batch(error=1)] == [(4, 1)]


def test_another_apps_failure_leaves_the_successes_waiting() -> None:
    process = Process()
    process.batch(success=1)
    process.batch(success=1)
    assert [t.app_id for t in process.batch("other", error=1)] == ["other"]


BATCHES = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 3), st.integers(0, 1), st.floats(0, 40)), max_size=40
)


@given(BATCHES)
def test_nothing_is_lost_or_counted_twice_and_no_failure_ever_waits(
    batches: list[tuple[str, int, int, float]],
) -> None:
    process, written = Process(), list[OutcomeDelta]()
    for app, success, error, gap in batches:
        process.now += gap
        due = process.batch(app, success=success, error=error)
        assert sum(t.error for t in due) == error
        written += due
    process.now += BUFFERED_SECONDS + 1
    written += process.buffer.due([])
    assert sum(t.success for t in written) == sum(b[1] for b in batches)


def test_a_days_first_success_whose_write_failed_is_not_remembered_as_written() -> None:
    buffer = SuccessBuffer(lambda: 0.0)
    success = OutcomeDelta("pager", "acme", 1, DAY, success=1)
    assert buffer.due([success]) == [success]  # and then the write fails
    assert buffer.due([success]) == [success]
    buffer.written(success)
    assert buffer.due([success]) == []
