from datetime import timedelta

import pytest

from bellhop import attempts
from bellhop.attempts import Attempt, NextState
from infra.cli import entries, story
from infra.cli.attempt_text import result_text, with_repeats
from tests.support.fakes import NOW, delivery


def test_the_status_of_a_response_that_asked_to_stop_was_not_shown() -> None:
    assert result_text("abort_requested", 400) == "abort_requested (400)"
    assert result_text("http_400", 400) == "http_400"
    assert result_text("timeout", None) == "timeout"


def test_a_resend_does_not_begin_anew_and_an_event_that_is_published_again_does() -> None:
    marked = with_repeats({"n": n} for n in (1, 2, 3, 1, 1, 2))
    assert [row.get("published_again", False) for row in marked] == [False, False, False, True, True, False]


@pytest.mark.usefixtures("aws")
def test_attempts_of_an_event_published_again_had_the_same_numbers_without_a_word() -> None:
    ended = [Attempt(1, NOW + timedelta(hours=hour), 3, "r", "abort_requested", 400) for hour in (0, 1)]
    record = attempts.open_record(delivery(), NextState("stopped", 0.0, ended[0]), ended[0].at)
    assert record is not None
    assert attempts.reopen(delivery(), record, NextState("stopped", 0.0, ended[1]), ended[1].at) is not None
    record = attempts.load(delivery().delivery_id)
    assert record is not None
    assert [each.published_again for each in entries.of_record(record)] == [False, True]
    first, second = (story.attempt_text(row) for row in story.of_record(record).attempts)
    assert first.startswith("attempt 1  ")
    assert second.startswith("attempt 1, published again  ")
    assert "  abort_requested (400)  " in second
