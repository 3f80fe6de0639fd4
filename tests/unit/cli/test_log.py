import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bellhop import attempts
from bellhop.attempts import DELIVERED, EXHAUSTED, PARKED, RETRYING, Attempt, NextState
from bellhop.deliveries import Delivery
from bellhop.successes import Row, SuccessLog
from infra.cli import entries
from infra.cli.attempt_log import Log, Reading
from infra.cli.delivered import AHEAD
from infra.cli.entries import Wanted
from infra.cli.errors import CommandError
from tests.support.endpoint import log_rows

NOW = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)

pytestmark = pytest.mark.usefixtures("aws")


def delivery(number: int, app: str = "bot") -> Delivery:
    return Delivery(f"msg_{number}", f"e-{number}", "issue.created", app, "acme", "i-1", b"{}")


def attempt(at: datetime, number: int = 1, result: str = "http_500", response: str = "") -> Attempt:
    return Attempt(number, at, 12, "request", result, 500, response)


def succeeded(at: datetime, number: int, app: str = "bot") -> Row:
    names = {"event_id": f"e-{number}", "event": "issue.created", "delivery_id": f"msg_{number}"}
    return {"app": app} | Attempt(1, at, 3, "request", "http_200", 200).row() | names


def pack(at: datetime, *rows: Row) -> None:
    """Have a process of its own log a batch."""
    log_rows(SuccessLog(uuid.uuid4().hex, timedelta()), rows, at)


def failed(number: int, at: datetime, state: str = RETRYING, **fields: Any) -> None:
    attempts.open_record(delivery(number), NextState(state, attempt=attempt(at, **fields)), at)


def read(back: timedelta = HOUR, limit: int = 50, *, failures: bool = False) -> Log:
    return Reading(NOW - back, NOW + AHEAD, limit, Wanted(failures)).of_app("bot")


def ids(read: Log) -> list[str]:
    return [entry.event_id for entry in read.entries]


def test_failures_and_packed_successes_are_merged_newest_first() -> None:
    failed(1, NOW - timedelta(minutes=5))
    pack(NOW - timedelta(minutes=1), succeeded(NOW - timedelta(minutes=1), 2))
    pack(NOW - timedelta(minutes=9), succeeded(NOW - timedelta(minutes=9), 3))
    found = read()
    assert ids(found) == ["e-2", "e-1", "e-3"]
    assert [entry.failed for entry in found.entries] == [False, True, False]
    assert found.complete


def test_a_batch_that_several_apps_share_shows_only_this_apps_deliveries() -> None:
    pack(NOW, succeeded(NOW, 1), succeeded(NOW, 2, "other"))
    pack(NOW, succeeded(NOW, 3, "other"))
    assert ids(read()) == ["e-1"]


def test_every_attempt_of_a_delivery_is_an_entry() -> None:
    failed(1, NOW - timedelta(minutes=30))
    record = attempts.claim("msg_1", 2, "me", NOW, 60)
    assert record
    attempts.finish(record, NextState(DELIVERED, attempt=Attempt(2, NOW, 5, "again", "http_200", 200)), NOW)
    found = read()
    assert [(entry.number, entry.result, entry.state) for entry in found.entries] == [
        (2, "http_200", "delivered"),
        (1, "http_500", None),
    ]
    assert [entry.number for entry in read(failures=True).entries] == [1]


def test_a_retry_of_late_shows_though_its_delivery_first_failed_long_before() -> None:
    failed(1, NOW - timedelta(hours=20))
    record = attempts.claim("msg_1", 2, "me", NOW, 60)
    assert record
    attempts.finish(record, NextState(RETRYING, attempt=attempt(NOW, 2)), NOW)
    assert [entry.number for entry in read().entries] == [2]


def test_a_parked_delivery_shows_though_it_had_no_attempt() -> None:
    attempts.open_record(delivery(1), NextState(PARKED), NOW)
    (entry,) = read(failures=True).entries
    assert (entry.result, entry.number, entry.milliseconds) == ("parked", 0, None)


def test_the_newest_attempt_of_what_waits_says_when_the_next_is_due() -> None:
    due = (NOW + HOUR).timestamp()
    attempts.open_record(delivery(1), NextState(RETRYING, due, attempt(NOW - timedelta(minutes=9))), NOW)
    record = attempts.claim("msg_1", 2, "me", NOW, 60)
    assert record
    attempts.finish(record, NextState(RETRYING, due, attempt(NOW, 2)), NOW)
    assert [(entry.number, entry.due) for entry in read().entries] == [(2, NOW + HOUR), (1, None)]


def test_a_delivery_that_was_deferred_before_its_first_attempt_shows() -> None:
    attempts.open_record(delivery(1), NextState(RETRYING, (NOW + HOUR).timestamp()), NOW)
    (entry,) = read(failures=True).entries
    assert (entry.result, entry.number, entry.due) == ("deferred", 0, NOW + HOUR)


def test_what_has_ended_is_due_no_more() -> None:
    attempts.open_record(delivery(1), NextState(EXHAUSTED, NOW.timestamp(), attempt(NOW)), NOW)
    assert [entry.due for entry in read().entries] == [None]


def test_nothing_older_than_asked_for_is_shown() -> None:
    failed(1, NOW - timedelta(minutes=61))
    old = NOW - timedelta(minutes=61)
    pack(old, succeeded(old, 2))
    found = read()
    assert found.entries == ()
    assert found.since == NOW - HOUR


def test_a_limit_takes_the_newest_and_says_that_there_may_be_more() -> None:
    for minute in range(6):
        at = NOW - timedelta(minutes=10 * minute)
        pack(at, succeeded(at, minute))
    found = read(limit=2)
    assert ids(found) == ["e-0", "e-1"]
    assert not found.complete


def test_an_attempt_that_took_longer_than_another_is_in_its_place() -> None:
    began = NOW - timedelta(seconds=2)
    pack(NOW, succeeded(began, 1))
    pack(NOW - timedelta(seconds=1), succeeded(began + timedelta(seconds=1), 2))
    assert ids(read(limit=1)) == ["e-2"]


def test_a_pack_of_a_clock_that_is_ahead_is_found() -> None:
    ahead = NOW + timedelta(seconds=40)
    pack(ahead, succeeded(ahead, 1))
    assert ids(read()) == ["e-1"]


def test_a_response_is_its_first_line_with_nothing_that_a_terminal_obeys() -> None:
    failed(1, NOW, response="\r\n \x1b[31m<b>\u202e down [red]\nsecond")
    (entry,) = read().entries
    assert entry.response == "\\x1b[31m<b>\\u202e down [red]"


def wanted(**asked: Any) -> list[str]:
    return ids(Reading(NOW - HOUR, NOW, 50, Wanted(**asked)).of_app("bot"))


def test_only_the_entries_are_read_that_are_wanted() -> None:
    failed(1, NOW - timedelta(minutes=5))
    attempts.open_record(delivery(2), NextState(EXHAUSTED, attempt=timed_out(NOW)), NOW)
    pack(NOW, succeeded(NOW, 3))
    assert wanted(event="e-3") == ["e-3"]
    assert wanted(status="500") == ["e-1"]
    assert wanted(status="5xx") == ["e-1"]
    assert wanted(status="2xx") == ["e-3"]
    assert wanted(error="timeout") == ["e-2"]
    assert wanted(error="http_5") == ["e-1"]
    assert wanted(failures=True, event="issue.created") == ["e-2", "e-1"]


def timed_out(at: datetime) -> Attempt:
    return Attempt(1, at, 10_000, "request", "timeout")


@pytest.mark.parametrize("text", ["", "50", "5x", "600", "5000", "\u0665xx"])
def test_what_is_no_status_is_refused(text: str) -> None:
    with pytest.raises(CommandError, match="--status"):
        entries.read_status(text)
