import json
import time
from datetime import UTC, datetime, timedelta

import pytest

from bellhop import attempts, resends
from bellhop.attempts import EXHAUSTED, RETRYING, Attempt, DeliveryRecord, NextState
from bellhop.circuits import Circuit
from bellhop.deliveries import Delivery
from bellhop.resends import Times
from infra.cli import attempt_log
from tests.support.damage import damage
from tests.unit.cli.cli_runner import EXAMPLE, bellhop, misused, refused, succeed

pytestmark = pytest.mark.usefixtures("cloudformation")


def test_log_shows_hostile_responses_as_they_are_written_and_says_how_far_it_looked() -> None:
    succeed("apply", EXAMPLE, "--yes")
    now = datetime.now(UTC)
    delivery = Delivery("msg_1", "e-1", "issue.created", "pager", "4501", "i", b"{}")
    attempt = Attempt(6, now, 31, "r", "http_500", 500, "[red]boom[/red]\x1b]0;owned\x07\nmore")
    attempts.open_record(delivery, NextState(EXHAUSTED, attempt=attempt), now)
    shown = succeed("log", "pager")
    assert "[red]boom[/red]\\x1b]0;owned\\x07" in shown
    assert "exhausted" in shown
    assert "\n1 attempt since " in shown
    read = json.loads(succeed("log", "pager", "--failures", "--since", "2h", "--json"))
    assert [entry["result"] for entry in read["attempts"]] == ["http_500"]
    cut = succeed("log", "pager", "--limit", "1", "--failures", "--since", "2h")
    assert "The newest 1 attempt since " in cut
    assert "Others: bellhop log pager --failures --since 2h --limit 500" in cut
    assert "Further back: bellhop log deploy-bot --since 1d" in succeed("log", "deploy-bot")
    assert "Further back: bellhop log deploy-bot --since 7d" in succeed("log", "deploy-bot", "--since", "25h")
    assert "Further back" not in succeed("log", "deploy-bot", "--failures", "--since", "30d")


def test_one_record_that_could_not_be_read_hid_an_apps_whole_log() -> None:
    succeed("apply", EXAMPLE, "--yes")
    now = datetime.now(UTC)
    for name in ("msg_1", "msg_2", "msg_3"):
        delivery = Delivery(name, "e-1", "issue.created", "pager", "4501", "i", b"{}")
        failed = Attempt(1, now, 31, "r", "http_500", 500)
        attempts.open_record(delivery, NextState(EXHAUSTED, attempt=failed), now)
    damage(DeliveryRecord, "msg_1", "state")  # which the index has too
    damage(DeliveryRecord, "msg_2", "expires_at")
    result = bellhop("log", "pager", "--json")
    assert [each["delivery_id"] for each in json.loads(result.stdout)["attempts"]] == ["msg_3"]
    warnings = sorted(result.stderr.splitlines())
    assert [warning.split(" in the table attempts cannot be read: ")[0] for warning in warnings] == [
        "warning: msg_1",
        "warning: msg_2",
    ]


def test_log_shows_when_the_next_attempt_is_due_and_which_delivery_it_is() -> None:
    succeed("apply", EXAMPLE, "--yes")
    now = datetime.now(UTC)
    for name, wait in (("msg_1", 7_230), ("msg_2", -5)):
        delivery = Delivery(name, "e-1", "issue.created", "pager", "4501", "i", b"{}")
        failed = Attempt(1, now, 31, "r", "http_500", 500)
        attempts.open_record(delivery, NextState(RETRYING, now.timestamp() + wait, failed), now)
    second, first = (line.split() for line in succeed("log", "pager").splitlines()[1:3])
    assert first[-5:] == ["retrying", "in", "2", "h", "msg_1"]
    assert second[-3:] == ["retrying", "due", "msg_2"]
    entries = json.loads(succeed("log", "pager", "--json"))["attempts"]
    assert datetime.fromisoformat(entries[1]["due"]).timestamp() == pytest.approx(now.timestamp() + 7_230, abs=1)


def test_what_was_attempted_after_a_resend_is_marked_so() -> None:
    succeed("apply", EXAMPLE, "--yes")
    now = datetime.now(UTC)
    delivery = Delivery("msg_1", "e-1", "issue.created", "pager", "4501", "i", b"{}")
    failed = Attempt(2, now, 31, "r", "http_500", 500, resent=True)
    attempts.open_record(delivery, NextState(EXHAUSTED, attempt=failed), now)
    assert "2, resent  http_500" in succeed("log", "pager")
    assert "attempt 2, resent  " in succeed("delivery", "msg_1")


def test_log_of_an_unknown_app_suggests_the_one_that_was_meant() -> None:
    succeed("apply", EXAMPLE, "--yes")
    assert refused("log", "pagr") == "error: no app 'pagr': did you mean pager? `bellhop apps` lists them\n"
    assert "write 90s" in misused("log", "pager", "--since", "soon")


def test_log_follows_and_shows_each_attempt_once_until_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    succeed("apply", EXAMPLE, "--yes")
    slept = list[float]()

    def fail(number: int) -> None:
        now = datetime.now(UTC)
        delivery = Delivery(f"msg_{number}", "e-1", "issue.created", "pager", "4501", "i", b"{}")
        failed = Attempt(1, now, 31, "r", "http_500", 500)
        attempts.open_record(delivery, NextState(RETRYING, now.timestamp() + 60, failed), now)

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        fail(len(slept))
        if len(slept) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", sleep)
    fail(0)
    result = bellhop("log", "pager", "--follow", "--json")
    assert result.exit_code == 0
    shown = [json.loads(line)["delivery_id"] for line in result.stdout.splitlines()]
    assert shown == ["msg_0", "msg_1", "msg_2"]


def test_log_says_that_the_app_is_paused_until_when() -> None:
    succeed("apply", EXAMPLE, "--yes")
    now = datetime.now(UTC).timestamp()
    Circuit("pager", generation=1, paused_since=now - 60, next_trial_at=now + 1_000).save()
    shown = succeed("log", "pager")
    assert "pager is paused since" in shown
    assert "next trial in 16 min" in shown
    assert json.loads(succeed("log", "pager", "--json"))["circuit"]["condition"] == "paused"


def test_failures_were_left_out_of_a_log_that_called_itself_complete_after_many_resends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    succeed("apply", EXAMPLE, "--yes")
    monkeypatch.setattr(attempt_log, "RECORDS", 12)
    now = datetime.now(UTC)
    for number in range(8):
        delivery = Delivery(f"msg_{number}", f"e-{number}", "issue.created", "pager", "4501", "i", b"{}")
        failed = Attempt(1, now, 31, "r", "http_500", 500)
        attempts.open_record(delivery, NextState(EXHAUSTED, attempt=failed), now + timedelta(milliseconds=number))
    for number in range(5):
        record = attempts.load(f"msg_{number}")
        assert record
        later = now + timedelta(seconds=1)
        assert resends.make_due(record, Times(later.timestamp(), later.timestamp()), later)
    read = json.loads(succeed("log", "pager", "--json"))
    assert not read["complete"]
    monkeypatch.setattr(attempt_log, "RECORDS", 14)
    read = json.loads(succeed("log", "pager", "--json"))
    assert read["complete"]
    assert {entry["delivery_id"] for entry in read["attempts"]} == {f"msg_{number}" for number in range(8)}
