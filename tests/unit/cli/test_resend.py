import json
from datetime import timedelta
from typing import Any

import pytest

from bellhop import attempts, deliveries, large_bodies
from bellhop.attempts import (
    DELIVERED,
    EXHAUSTED,
    PARKED,
    RETRYING,
    STOPPED,
    WITHDRAWN,
)
from bellhop.circuits import Circuit
from bellhop.queues import Queue
from bellhop.registry import DISABLED, App, Installation
from infra.cli.resending.selection import Choice, by_choice
from tests.support.fakes import delivery
from tests.unit.cli.cli_runner import CloudFormation, bellhop, misused, refused, succeed
from tests.unit.cli.failing_app import announced
from tests.unit.cli.resendable import (
    HOUR,
    a_record,
    a_success,
    attempted,
    begun,
    now,
    prepare,
    resent_by_health,
    sent,
)


@pytest.fixture(autouse=True)
def app(cloudformation: CloudFormation) -> None:
    prepare(cloudformation)


def pause() -> None:
    at = now().timestamp()
    Circuit("pager", generation=1, paused_since=at - 60, next_trial_at=at + 600).save()


PARKED_MEANWHILE = "what is resent of it is parked, and sent when the pause ends"

# ---- By their ids


def test_what_is_resent_during_a_pause_waits_for_its_end_and_it_is_said() -> None:
    a_record("msg_1", EXHAUSTED)
    pause()
    result = bellhop("resend", "msg_1")
    assert f"pager is paused since {now():%Y}" in result.stdout
    assert PARKED_MEANWHILE in result.stdout
    assert "msg_1 of pager: attempt 4 waits for the end of the pause; it was exhausted" in result.stdout


def test_a_dry_run_says_that_an_app_is_paused_or_off() -> None:
    a_record("msg_1", EXHAUSTED)
    assert PARKED_MEANWHILE not in succeed("resend", "msg_1", "--dry-run")
    pause()
    for chosen in (["msg_1"], ["--app", "pager", "--since", "1d"]):
        assert PARKED_MEANWHILE in succeed("resend", *chosen, "--dry-run")
        assert json.loads(succeed("resend", *chosen, "--dry-run", "--json"))["paused_apps"] == ["pager"]
    App("pager").update(actions=[App.state.set(DISABLED)])
    assert (
        bellhop("resend", "msg_1", "--dry-run").stderr == "nothing of pager is resent: its app is switched off\n"
    )


def test_a_resend_by_time_says_before_and_after_it_that_its_app_is_paused() -> None:
    a_record("msg_1", EXHAUSTED)
    pause()
    begun = succeed("resend", "--app", "pager", "--since", "1d", "--yes")
    assert PARKED_MEANWHILE in begun
    resent_by_health()
    watched = succeed("resend", "--watch", begun.split()[-1])
    assert "1 of 1 sent" in watched
    assert PARKED_MEANWHILE in watched


def test_a_program_that_watched_a_resend_was_not_told_that_its_app_is_paused() -> None:
    a_record("msg_1", EXHAUSTED)
    pause()
    begun = json.loads(succeed("resend", "--app", "pager", "--since", "1d", "--yes", "--json"))
    assert begun["paused_apps"] == ["pager"]
    resent_by_health()
    watched = json.loads(succeed("resend", "--watch", begun["job_id"], "--json"))
    assert (watched["sent"], watched["paused_apps"]) == (1, ["pager"])
    assert json.loads(succeed("resend", "msg_1", "--json"))["paused_apps"] == ["pager"]


@pytest.mark.parametrize("state", [DELIVERED, EXHAUSTED, STOPPED, PARKED, RETRYING])
def test_a_delivery_is_due_now_whatever_became_of_it(state: str) -> None:
    a_record("msg_1", state)
    assert f"msg_1 of pager: attempt 4 is due now; it was {state}" in succeed("resend", "msg_1")
    assert sent() == [("msg_1", 4)]
    record = attempts.load("msg_1")
    assert record
    assert (record.state, record.resent_at) == (RETRYING, record.next_attempt_at)
    assert announced() == []  # at once, and not by health


def test_several_are_sent_those_that_succeeded_at_once_among_them() -> None:
    a_record("msg_1", STOPPED)
    a_success("msg_2")
    document = json.loads(succeed("resend", "msg_2", "msg_1", "--app", "pager", "--json"))
    assert sorted(sent()) == [("msg_1", 4), ("msg_2", 2)]
    assert {
        (each["delivery_id"], each["outcome_before"], each["next_attempt"]) for each in document["deliveries"]
    } == {
        ("msg_1", STOPPED, 4),
        ("msg_2", DELIVERED, 2),
    }
    record = attempts.load("msg_2")
    assert record
    assert large_bodies.load(record) == delivery(delivery_id="msg_2", enqueued_at=0.0)


def test_an_id_of_which_nothing_is_known_says_where_to_look_and_nothing_is_sent() -> None:
    a_record("msg_1", STOPPED)
    a_success("msg_2")
    error = refused("resend", "msg_1", "msg_2", "msg_\x1b")
    assert "as in `bellhop resend msg_2 --app APP`" in error
    assert "'msg_\\x1b'" in error
    assert sent() == []
    assert "delivery 'msg_9' is not kept: `bellhop log pager` shows" in refused(
        "resend", "msg_9", "--app", "pager"
    )


def test_a_ping_is_not_resent_as_if_it_were_a_delivery() -> None:
    a_record("msg_1", STOPPED, event="ping.test")
    assert "`bellhop ping pager` sends another" in refused("resend", "msg_1")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda: App("pager").update(actions=[App.state.set(DISABLED)]), "its app is switched off"),
        (lambda: App("pager").delete(), "its app is not registered any more"),
        (lambda: Installation("acme", "in-pager").delete(), "missing_installation"),
        (
            lambda: Installation("acme", "in-pager").update(actions=[Installation.status.set("uninstalled")]),
            "installation_uninstalled",
        ),
    ],
)
def test_an_app_that_is_off_or_uninstalled_gets_nothing_and_the_record_stays_as_it_is(
    change: Any, why: str
) -> None:
    a_record("msg_1", DELIVERED)
    a_success("msg_2", event_id="ev2")
    change()
    result = bellhop("resend", "msg_1", "msg_2", "--app", "pager")
    assert result.exit_code == 1
    assert why in result.output or "no app 'pager'" in result.output
    result = bellhop("resend", "--app", "pager", "--since", "2h", "--yes")
    if result.exit_code == 0:
        assert resent_by_health()["left"] == {why: 2}
    else:
        assert why in result.output or "no app 'pager'" in result.output
    records = [attempts.load(name) for name in ("msg_1", "msg_2")]
    assert {record.state for record in records if record} == {DELIVERED}
    assert (announced(), sent()) == ([], [])


def test_what_succeeded_long_ago_stands_in_the_log_at_the_time_of_its_resend_before_it_is_attempted() -> None:
    a_success("msg_1", 5 * HOUR)
    succeed("resend", "msg_1", "--app", "pager")
    read = json.loads(succeed("log", "pager", "--since", "1h", "--json"))["attempts"]
    assert [(each["delivery_id"], each["resent"], each["state"]) for each in read] == [("msg_1", True, RETRYING)]


def test_a_dry_run_only_counts() -> None:
    a_record("msg_1", STOPPED)
    assert "1 delivery (1 stopped) would be resent." in succeed("resend", "msg_1", "--dry-run")
    assert sent() == []


# ---- Of an event


def test_an_event_that_was_published_twice_was_resent_twice() -> None:
    for ago in (HOUR, 2 * HOUR):
        a_success("msg_twice", ago)
    said = succeed("resend", "msg_twice", "--app", "pager", "--dry-run")
    assert "1 delivery (1 delivered)" in said


def test_the_deliveries_of_an_event_go_to_all_who_got_it_or_to_one() -> None:
    first, second = (deliveries.delivery_id("acme", "ev1", name) for name in ("in-pager", "in-bot"))
    Installation("acme", "in-bot", app_id="bot", events=["issue.created"]).save()
    App("bot", uuid="u", name="Bot", kind="internal", url="https://bot.example", events=["issue.created"]).save()
    a_record(first, EXHAUSTED)
    a_success(second, app_id="bot", installation_id="in-bot")
    arguments = ("resend", "--event", "ev1", "--organization", "acme")
    assert "2 deliveries (1 exhausted, 1 delivered) would be resent" in succeed(*arguments, "--dry-run")
    succeed(*arguments, "--installation", "in-bot")
    assert sent() == [(second, 2)]
    attempted(second)
    succeed(*arguments)
    assert sorted(sent()) == sorted([(first, 4), (second, 3)])


def test_an_event_of_which_no_delivery_is_kept_is_an_error() -> None:
    assert "no delivery of event 'ev9' of 'acme'" in refused("resend", "--event", "ev9", "--organization", "acme")
    assert "--event needs --organization" in misused("resend", "--event", "ev9")


# ---- Of an app, by time and outcome


def many() -> None:
    a_record("msg_exhausted", EXHAUSTED, 5 * HOUR, 503)
    a_record("msg_stopped", STOPPED, 4 * HOUR, 410, event="issue.resolved")
    a_record("msg_parked", PARKED, 3 * HOUR)
    a_record("msg_retrying", RETRYING, 2 * HOUR)
    a_record("msg_withdrawn", WITHDRAWN, 2 * HOUR)
    a_record("msg_ping", STOPPED, 2 * HOUR, event="ping.test")
    a_record("msg_delivered", DELIVERED, 2 * HOUR, 200)
    a_success("msg_at_once", HOUR)
    a_success("msg_others", HOUR, app_id="other")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ["exhausted", "stopped", "parked", "delivered", "at_once"]),
        (["--outcome", "retrying", "--outcome", "parked"], ["parked", "retrying"]),
        (["--outcome", "delivered"], ["delivered", "at_once"]),
        (["--status", "503", "--status", "410"], ["exhausted", "stopped"]),
        (["--name", "issue.resolved"], ["stopped"]),
        (["--until", "150m"], ["exhausted", "stopped", "parked"]),
        (["--since", "90m"], ["at_once"]),
    ],
)
def test_an_apps_deliveries_are_chosen_by_what_is_said_oldest_first(
    options: list[str], expected: list[str]
) -> None:
    many()
    since = [] if "--since" in options else ["--since", "1d"]
    counted = json.loads(succeed("resend", "--app", "pager", *since, *options, "--dry-run", "--json"))
    assert sum(counted["counts"].values()) == len(expected)
    assert sent() == []
    assert begun("--app", "pager", *since, *options)["resent"] == len(expected)
    assert sent() == []  # health sends them
    assert resent_by_health()["sent"] == len(expected)
    assert [name for name, _ in sent()] == [f"msg_{name}" for name in expected]


def test_the_oldest_goes_first() -> None:
    many()
    choice = Choice("pager", now() - timedelta(days=1), now())
    names = [found.delivery_id for found in by_choice(choice)]
    assert names == ["msg_exhausted", "msg_stopped", "msg_parked", "msg_delivered", "msg_at_once"]


def test_many_are_sent_only_when_that_is_confirmed() -> None:
    many()
    assert "add --yes; --dry-run only counts" in refused("resend", "--app", "pager", "--since", "1d")
    assert sent() == []


def test_what_is_not_kept_any_more_is_counted_and_not_sent() -> None:
    a_success("msg_old", timedelta(days=4))
    a_success("msg_1")
    shown = succeed("resend", "--app", "pager", "--since", "5d", "--dry-run")
    assert "1 delivery (1 delivered) would be resent." in shown
    assert "1 more: delivered so long ago that the body is not kept any more." in shown


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([], "name deliveries by their ids, an --event, or --app or --organization with --since"),
        (["--organization", "acme"], "name deliveries by their ids"),
        (
            ["--organization", "acme", "--since", "1h", "--installation", "in-pager"],
            "--installation needs --event",
        ),
        (["--app", "pager"], "name deliveries by their ids"),
        (["msg_1", "--event", "ev1"], "one of these at a time"),
        (["msg_1", "--since", "1h"], "one of these at a time"),
        (["msg_1", "--rate", "5"], "--rate goes with --since"),
        (["--app", "pager", "--since", "1h", "--until", "2h"], "--since is not before --until"),
        (["--app", "pager", "--since", "31d"], "--since 31d is too long: at most 30d"),
        (["--app", "pager", "--since", "yesterday"], "--since 'yesterday' is not a time"),
    ],
)
def test_what_is_not_clear_is_refused_with_the_way_out(arguments: list[str], error: str) -> None:
    assert error in misused("resend", *arguments)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--organization", "globex"], "no organisation 'globex'"),
        (["--app", "pager", "--organization", "globex"], "no organisation 'globex'"),
        (["--app", "nobody"], "no app 'nobody'"),
    ],
)
def test_apps_that_are_not_there_are_refused(arguments: list[str], error: str) -> None:
    assert error in refused("resend", *arguments, "--since", "1h")


def test_what_the_retry_queue_does_not_take_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    a_record("msg_1", EXHAUSTED)
    a_record("msg_2", EXHAUSTED)
    with monkeypatch.context() as patch:
        patch.setattr(Queue, "send_all", lambda *_: {1})
        result = bellhop("resend", "msg_1", "msg_2")
    assert result.exit_code == 1
    assert "msg_2 of pager was not resent: the retry queue did not take it" in result.stdout
    assert bellhop("resend", "msg_2").exit_code == 0
    assert sent() == [("msg_2", 4)]
