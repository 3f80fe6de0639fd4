"""How much is read to show what succeeded at once: as much as there is to show, whatever the span."""

import json
import random
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.client import BaseClient

from bellhop.attempts import Attempt
from bellhop.index_keys import FURTHER_KEYS
from bellhop.successes import Delivered, Row, SuccessLog
from infra.cli import delivered, minute_packs
from infra.cli.attempt_log import Reading
from infra.cli.delivered import AHEAD
from infra.cli.minute_packs import MinutePack
from tests.support.endpoint import log_rows
from tests.unit.formats.samples import Sample, item

NOW = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
MOST_WHEN_IDLE = 40
READS = {"Query", "Scan", "GetItem", "BatchGetItem"}

pytestmark = pytest.mark.usefixtures("aws")


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The reads that are made within."""
    reads: list[str] = []
    call = vars(BaseClient)["_make_api_call"]

    def noted(client: Any, operation: str, arguments: Any) -> Any:
        if operation in READS:
            reads.append(operation)
        return call(client, operation, arguments)

    with monkeypatch.context() as patch:
        patch.setattr(BaseClient, "_make_api_call", noted)
        yield reads


def row(at: datetime, app: str = "bot") -> Row:
    names = {"event_id": at.isoformat(), "event": "issue.created", "delivery_id": f"msg_{at.timestamp()}"}
    return {"app": app} | Attempt(1, at, 3, "request", "http_200", 200).row() | names


def pack_as_0_1_0(at: datetime, *rows: Row) -> None:
    MinutePack(
        at.strftime("%Y-%m-%dT%H:%M"),
        f"{at.isoformat(timespec='milliseconds')}#batch",
        apps=sorted({each["app"] for each in rows}),
        packed=zlib.compress(json.dumps(rows).encode()),
        expires_at=0,
    ).save()


def shown(back: timedelta = 30 * DAY, limit: int = 10_000, app: str = "bot") -> list[datetime]:
    return [entry.at for entry in Reading(NOW - back, NOW + AHEAD, limit).of_app(app).entries]


def test_thirty_days_of_an_idle_app_among_busy_ones_are_a_few_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = SuccessLog("p", timedelta())
    for hour in range(200):
        log_rows(busy, [row(NOW - hour * HOUR, "busy")], NOW - hour * HOUR)
    with counted(monkeypatch) as reads:
        assert shown() == []
    assert len(reads) <= MOST_WHEN_IDLE
    assert len(reads) == 3 + FURTHER_KEYS  # records, the app's list, the log of 0.1.0


def test_an_app_with_a_delivery_now_and_then_is_read_by_no_more_than_it_shows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chance, process, expected = random.Random(7), SuccessLog("p", timedelta()), []
    for day in range(29, 0, -1):
        at = NOW - day * DAY + chance.randrange(1440) * MINUTE
        log_rows(process, [row(at), row(at, "busy")], at)
        expected.append(at)
    with counted(monkeypatch) as reads:
        assert shown() == sorted(expected, reverse=True)
    assert len(reads) <= len(expected) + MOST_WHEN_IDLE


def test_the_newest_of_a_busy_app_are_read_without_what_is_older(monkeypatch: pytest.MonkeyPatch) -> None:
    processes = [SuccessLog(str(number), timedelta()) for number in range(4)]
    for minute in range(300, -1, -1):
        for process in processes:
            log_rows(process, [row(NOW - minute * MINUTE)], NOW - minute * MINUTE)
    with counted(monkeypatch) as reads:
        found = shown(limit=50)
    assert len(found) == 50
    assert found[-1] >= NOW - 13 * MINUTE
    assert len(reads) <= 50


def test_everything_of_a_busy_app_is_shown_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    processes, expected = [SuccessLog(str(number), timedelta()) for number in range(3)], []
    chance = random.Random(11)
    for minute in range(600, -1, -1):
        at = NOW - minute * MINUTE
        log_rows(chance.choice(processes), [row(at)], at)
        expected.append(at)
    with counted(monkeypatch) as reads:
        assert shown(back=DAY) == sorted(expected, reverse=True)
    assert len(reads) < len(expected) / 5


# ---- What 0.1.0 wrote, before the upgrade or after a roll-back


def test_what_0_1_0_packed_is_shown_among_what_is_packed_now(monkeypatch: pytest.MonkeyPatch) -> None:
    now = SuccessLog("p", timedelta())
    times = [NOW - minutes * MINUTE for minutes in (1, 30, 45, 70, 2000)]
    for number, at in enumerate(times):
        if number % 2:
            pack_as_0_1_0(at, row(at), row(at, "other"))
        else:
            log_rows(now, [row(at), row(at, "other")], at)
    with counted(monkeypatch) as reads:
        assert shown() == times
    assert len(reads) <= len(times) + MOST_WHEN_IDLE
    assert shown(back=HOUR) == times[:3]


def test_the_sample_that_0_1_0_wrote_is_shown() -> None:
    written = item(Sample("0.1.0", "successes").written)
    MinutePack.from_raw_data(written).save()
    now = datetime(2026, 11, 23, 13, 0, tzinfo=UTC)
    found = Reading(now - DAY, now, 10).of_app("pager")
    assert [(entry.event_id, entry.result) for entry in found.entries] == [("ev1", "http_500")]


@pytest.mark.parametrize("limit", [2, 100])
def test_where_0_1_0_packed_much_its_minutes_are_read_as_ever(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr(minute_packs, "SCANNED", 0)
    times = [NOW + 5 * timedelta(seconds=1), *(NOW - minutes * MINUTE for minutes in (0, 1, 30, 59))]
    for at in times:
        pack_as_0_1_0(at, row(at), row(at, "other"))
    pack_as_0_1_0(NOW - 61 * MINUTE, row(NOW - 61 * MINUTE))
    with counted(monkeypatch) as reads:
        assert shown(back=HOUR, limit=limit) == times[:limit]
    assert len(reads) <= (10 if limit == 2 else 90) + FURTHER_KEYS


def test_a_page_that_was_listed_before_its_process_died_shows_nothing() -> None:
    Delivered("app#bot", "2026-03-01T12#gone", expires_at=0).save()
    assert shown() == []


def test_deliveries_of_several_apps_are_found_and_each_page_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    log = SuccessLog("process", timedelta(0))
    rows = []
    for app in ("pager", "board"):
        names = {"app": app, "event_id": "e", "event": "issue.created", "delivery_id": f"msg_{app}"}
        rows.append(Attempt(1, NOW, 5, "request", "http_200", 200).row() | names)
    log_rows(log, rows, NOW)
    wanted = {"msg_pager": "pager", "msg_board": "board", "msg_other": "board"}
    with counted(monkeypatch) as reads:
        found = delivered.find(wanted, NOW - HOUR, NOW)
    assert set(found.rows) == {"msg_pager", "msg_board"}
    assert found.complete
    assert reads == ["Query"] * 3  # the list of each app, and the one page that both have


def test_a_delivery_is_not_taken_for_one_of_another_app() -> None:
    names = {"app": "pager", "event_id": "e", "event": "issue.created", "delivery_id": "msg_1"}
    row = Attempt(1, NOW, 5, "request", "http_200", 200).row() | names
    log_rows(SuccessLog("process", timedelta(0)), [row], NOW)
    assert not delivered.find({"msg_1": "board"}, NOW - HOUR, NOW).rows
