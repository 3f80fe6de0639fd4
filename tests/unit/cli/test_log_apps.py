"""bellhop log of several apps, and of an organisation."""

import json
import time
from collections.abc import Callable
from datetime import timedelta

import pytest

from bellhop import deliveries
from bellhop.attempts import EXHAUSTED
from bellhop.circuits import Circuit
from bellhop.registry import App, Installation
from tests.unit.cli.cli_runner import CloudFormation, bellhop, misused, refused, succeed
from tests.unit.cli.resendable import a_record, a_success, now, prepare

MINUTE = timedelta(minutes=1)
SUCCESS = deliveries.delivery_id("acme", "ev1", "in-bot")


@pytest.fixture(autouse=True)
def apps(cloudformation: CloudFormation) -> None:
    """`pager` and `bot` in acme, `pager` in globex too."""
    prepare(cloudformation)
    events = ["issue.created"]
    App("bot", uuid="u", name="Bot", kind="internal", url="https://bot.example", events=events).save()
    Installation("acme", "in-bot", app_id="bot", events=events).save()
    Installation("globex", "in-globex", app_id="pager", events=events).save()
    a_record("msg_pager", EXHAUSTED, 5 * MINUTE)
    a_success(SUCCESS, 4 * MINUTE, app_id="bot", installation_id="in-bot")
    a_record("msg_globex", EXHAUSTED, 3 * MINUTE, organization_id="globex", installation_id="in-globex")
    a_record("msg_bot", EXHAUSTED, 2 * MINUTE, app_id="bot", installation_id="in-bot")


def logged(*arguments: str) -> list[str]:
    read = json.loads(succeed("log", *arguments, "--json"))
    return [each["delivery_id"] for each in read["attempts"]]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["pager", "bot"], ["msg_bot", "msg_globex", SUCCESS, "msg_pager"]),
        (["--organization", "acme"], ["msg_bot", SUCCESS, "msg_pager"]),
        (["--organization", "globex"], ["msg_globex"]),
        (["bot", "--organization", "acme"], ["msg_bot", SUCCESS]),
        (["pager", "bot", "--failures"], ["msg_bot", "msg_globex", "msg_pager"]),
        (["pager", "bot", "--limit", "3"], ["msg_bot", "msg_globex", SUCCESS]),
    ],
)
def test_the_attempts_of_several_apps_are_in_one_order_of_time(arguments: list[str], expected: list[str]) -> None:
    assert logged(*arguments) == expected


def test_a_limit_that_the_apps_only_reach_together_is_told() -> None:
    read = json.loads(succeed("log", "pager", "bot", "--limit", "3", "--json"))
    assert not read["complete"]
    assert "Others: bellhop log pager bot --since 1h --limit 500" in succeed("log", "pager", "bot", "--limit", "3")
    assert json.loads(succeed("log", "pager", "bot", "--limit", "5", "--json"))["complete"]


def test_each_attempt_names_its_app_where_there_are_several() -> None:
    rows = succeed("log", "pager", "bot").splitlines()
    assert rows[0].split()[2:4] == ["app", "event"]
    assert [row.split()[2] for row in rows[1:5]] == ["bot", "pager", "bot", "pager"]
    assert "app" not in succeed("log", "bot").splitlines()[0]


def test_json_says_how_each_of_several_apps_stands_and_keeps_its_form_for_one() -> None:
    at = now().timestamp()
    Circuit("bot", generation=1, paused_since=at - 60, next_trial_at=at + 1_000).save()
    both = json.loads(succeed("log", "pager", "bot", "--json"))
    assert both["app_ids"] == ["pager", "bot"]
    assert {name: each["condition"] for name, each in both["circuits"].items()} == {"pager": "on", "bot": "paused"}
    one = json.loads(succeed("log", "bot", "--json"))
    assert (one["app_id"], one["circuit"]["condition"]) == ("bot", "paused")
    assert "bot is paused since" in succeed("log", "--organization", "acme")


def test_several_apps_are_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[Callable[[], object]] = [
        lambda: a_record("msg_new", EXHAUSTED, timedelta(0), app_id="bot"),
        lambda: "msg",
    ]

    def sleep(_: float) -> None:
        if not left:
            raise KeyboardInterrupt
        left.pop(0)()

    monkeypatch.setattr(time, "sleep", sleep)
    result = bellhop("log", "pager", "bot", "--since", "3m", "--follow", "--json")
    shown = [(json.loads(line)["app_id"], json.loads(line)["delivery_id"]) for line in result.stdout.splitlines()]
    assert [each for each in shown if each[1] != "msg_globex"] == [("bot", "msg_bot"), ("bot", "msg_new")]


def test_what_names_no_app_is_refused_with_the_way_out() -> None:
    assert "name an app, several, or an --organization" in misused("log")
    assert "bot not installed in 'globex'" in refused("log", "bot", "--organization", "globex")
    assert "no organisation 'nowhere'" in refused("log", "--organization", "nowhere")
    assert "did you mean issue.created?" in misused("log", "bot", "--event", "issue.creted")
