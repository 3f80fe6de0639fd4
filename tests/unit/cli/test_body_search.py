"""bellhop log --contains: what is found, how far is looked, and what is told of the rest."""

import json
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from bellhop import attempts, large_bodies
from bellhop.attempts import EXHAUSTED, Attempt, DeliveryRecord, NextState
from bellhop.large_bodies import LargeBody
from bellhop.registry import App
from bellhop.successes import Delivered
from infra.cli import body_search, delivered, entries
from infra.cli.body_search import Search
from infra.cli.progress import ProgressLines
from tests.support.fakes import delivery
from tests.unit.cli.cli_runner import CloudFormation, bellhop, misused, succeed
from tests.unit.cli.resendable import a_record, a_success, now, prepare

MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def app(cloudformation: CloudFormation) -> None:
    prepare(cloudformation)


def found(text: str, *options: str) -> list[str]:
    read = json.loads(succeed("log", "pager", "--contains", text, "--json", *options))
    return [each["delivery_id"] for each in read["attempts"]]


def test_a_text_is_found_in_bodies_of_successes_and_of_failures_and_in_responses() -> None:
    a_success("msg_1", 4 * MINUTE, body=b'{"issue":{"id":"4711"}}')
    a_record("msg_2", EXHAUSTED, 3 * MINUTE, body=b'{"issue":{"id":"4711"}}')
    a_record("msg_3", EXHAUSTED, 2 * MINUTE, body=b"{}")  # its response is "boom"
    assert found('"id":"4711"') == ["msg_2", "msg_1"]
    assert found("boom") == ["msg_3", "msg_2"]
    assert found("boom", "--event", "issue.created", "--limit", "1") == ["msg_3"]
    assert found("nothing") == []


def test_no_more_is_searched_than_the_limit_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_search, "AT_A_TIME", 2)
    for number in range(9):
        a_record(f"msg_{number}", EXHAUSTED, number * MINUTE + MINUTE, body=b"needle")
    read = json.loads(succeed("log", "pager", "--contains", "needle", "--limit", "3", "--json"))
    assert [each["delivery_id"] for each in read["attempts"]] == ["msg_0", "msg_1", "msg_2"]
    assert (read["complete"], read["search"]["searched"]) == (False, 4)


def test_a_large_body_is_searched_where_it_stands() -> None:
    body = b"needle" + random.Random(1).randbytes(5000)
    a_record("msg_1", EXHAUSTED, MINUTE, body=body)
    a_record("msg_2", EXHAUSTED, MINUTE, body=body)
    LargeBody.get(str(large_bodies.key(DeliveryRecord.get("msg_2")))).delete()
    assert found("needle") == ["msg_1"]


def test_a_response_is_searched_beyond_its_first_line() -> None:
    failed = Attempt(1, now(), 12, "request", "http_500", 500, "<html>\n<h1>database is locked</h1>")
    attempts.open_record(delivery(delivery_id="msg_1"), NextState(EXHAUSTED, attempt=failed), now())
    assert found("database is locked") == ["msg_1"]


@pytest.mark.parametrize("body", ['{"t":"say \\"Gr\u00fcn\\""}', '{"t":"say \\"Gr\\u00fcn\\""}'])
def test_quotes_and_umlauts_are_found_as_they_are_read(body: str) -> None:
    a_success("msg_1", MINUTE, body=body.encode())
    assert found('say "Gr\u00fcn"') == ["msg_1"]


def test_what_a_neighbour_in_the_same_pack_was_sent_is_not_taken_for_it() -> None:
    a_success("msg_1", MINUTE, body=b"needle", app_id="other")
    a_success("msg_2", MINUTE, body=b"hay")
    assert found("needle") == []


def test_how_many_could_not_be_searched_is_told() -> None:
    a_success("msg_1", timedelta(days=5), body=b"needle")  # KeepDeliveredDays is 3
    a_success("msg_2", MINUTE, body=b"needle")
    a_success("msg_3", 2 * MINUTE)
    for item in Delivered.scan():
        if item.key.startswith("bodies#") and item.key.endswith("msg_3#0"):
            item.delete()
    shown = succeed("log", "pager", "--contains", "needle", "--since", "7d")
    assert "\n1 attempt since" in shown
    assert "Bodies and responses: 1 searched; 2 not, as their bodies are not kept." in shown
    read = json.loads(succeed("log", "pager", "--contains", "needle", "--since", "7d", "--json"))
    assert read["complete"]
    assert (read["search"]["searched"], read["search"]["not_kept"]) == (1, 2)


def test_a_search_ends_after_so_many_attempts_says_where_and_can_be_gone_on_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(body_search, "MOST", 4)
    for number in range(10):
        a_success(f"msg_{number}", number * 7 * MINUTE, body=b"needle" if number in {1, 5, 9} else b"hay")
    options, seen = ["--since", "2h"], list[str]()
    for _ in range(3):
        shown = succeed("log", "pager", "--contains", "needle", *options)
        seen += [name for name in ("msg_1", "msg_5", "msg_9") if name in shown]
        if "Further back: " not in shown:
            break
        assert "4 searched" in shown
        command = shown.partition("Further back: bellhop log pager --contains needle ")[2].splitlines()[0]
        options = command.split()
    assert seen == ["msg_1", "msg_5", "msg_9"]
    assert "2 searched" in shown


def test_several_apps_are_searched_equally_far(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_search, "MOST", 6)
    for number in range(5):
        a_success(f"msg_{number}", number * MINUTE + MINUTE / 2, body=b"needle")
    App("bot", uuid="u", name="Bot", kind="internal", url="https://bot.example", events=["issue"]).save()
    a_success("msg_early", 30 * MINUTE, body=b"needle", app_id="bot")
    read = json.loads(succeed("log", "pager", "bot", "--contains", "needle", "--json"))
    assert not read["complete"]
    assert [each["delivery_id"] for each in read["attempts"]] == ["msg_0", "msg_1", "msg_2"]
    reached = datetime.fromisoformat(read["search"]["reached"])
    assert now() - 4 * MINUTE < reached < now() - 3 * MINUTE


@pytest.mark.usefixtures("progress_after_a_second")
def test_a_search_that_takes_longer_than_a_second_says_how_far_it_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    seconds = iter(range(0, 100, 2))
    search = Search("needle", now() - timedelta(days=3), progress=ProgressLines(clock=lambda: next(seconds)))
    name = a_success("msg_1", MINUTE)
    [(_, [kept])] = [each for each in delivered.newest("pager", now() - timedelta(hours=1), now()) if each[1]]
    assert name == kept.row["delivery_id"]
    assert search.matching([entries.of_success(kept)], 50) == []
    told = capsys.readouterr().err
    assert told.startswith("1 searched; back to ")
    assert kept.row["at"][:10] in told


def test_it_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[Callable[[], object]] = [
        lambda: a_success("msg_1", timedelta(0), body=b"needle"),
        lambda: a_success("msg_2", timedelta(0), body=b"hay"),
        lambda: a_record("msg_3", EXHAUSTED, timedelta(0), body=b"needle"),
        lambda: "nothing",
    ]

    def sleep(_: float) -> None:
        if not left:
            raise KeyboardInterrupt
        left.pop(0)()

    monkeypatch.setattr(time, "sleep", sleep)
    result = bellhop("log", "pager", "--contains", "needle", "--follow", "--json")
    assert [json.loads(line)["delivery_id"] for line in result.stdout.splitlines()] == ["msg_1", "msg_3"]
    assert result.stderr == "Bodies and responses: 3 searched.\n"


def test_a_text_that_is_empty_is_refused() -> None:
    assert "--contains is empty" in misused("log", "pager", "--contains", "")


def test_a_search_of_a_busy_hour_reads_the_hour_in_short_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivered, "MANY", 2)
    until = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
    for second in range(0, 1800, 15):
        a_success(f"msg_{second}", now() - until + timedelta(seconds=second))
    lengths = [len(rows) for _, rows in delivered.newest("pager", until - timedelta(hours=1), until)]
    assert sum(lengths) == 120
    assert max(lengths) <= 8  # of two minutes, where there are four in a minute
