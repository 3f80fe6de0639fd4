import json
from datetime import timedelta

import pytest

from bellhop import deliveries
from bellhop.attempts import EXHAUSTED
from bellhop.registry import DISABLED, App, Installation
from infra.cli.resending.selection import Choice, in_turn
from tests.unit.cli.cli_runner import CloudFormation, bellhop, refused, succeed
from tests.unit.cli.resendable import HOUR, a_record, a_success, begun, now, prepare, resent_by_health, sent


@pytest.fixture(autouse=True)
def app(cloudformation: CloudFormation) -> None:
    prepare(cloudformation)


def two_apps() -> None:
    """`pager` and `bot` in acme, `pager` in globex too; each has deliveries that failed, and some that did not."""
    events = ["issue.created"]
    App("bot", uuid="u", name="Bot", kind="internal", url="https://bot.example", events=events).save()
    Installation("acme", "in-bot", app_id="bot", events=events).save()
    Installation("globex", "in-globex", app_id="pager", events=events).save()
    for n in range(3):
        a_record(f"msg_pager_{n}", EXHAUSTED, 2 * HOUR - n * timedelta(minutes=1))
    a_record("msg_globex", EXHAUSTED, HOUR, organization_id="globex", installation_id="in-globex")
    a_record("msg_bot", EXHAUSTED, HOUR, app_id="bot", installation_id="in-bot")
    for organization, app_id, installation_id in (("acme", "bot", "in-bot"), ("globex", "pager", "in-globex")):
        name = deliveries.delivery_id(organization, "ev1", installation_id)
        a_success(name, HOUR, app_id=app_id, installation_id=installation_id, organization_id=organization)


IN_ACME = ["msg_pager_0", "msg_pager_1", "msg_pager_2", "msg_bot", deliveries.delivery_id("acme", "ev1", "in-bot")]
IN_GLOBEX = ["msg_globex", deliveries.delivery_id("globex", "ev1", "in-globex")]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--app", "pager", "--app", "bot"], IN_ACME + IN_GLOBEX),
        (["--organization", "acme"], IN_ACME),
        (["--organization", "globex"], IN_GLOBEX),
        (["--organization", "acme", "--app", "bot"], IN_ACME[3:]),
    ],
)
def test_deliveries_of_several_apps_or_of_an_organisation_are_counted_and_sent_in_one_run(
    options: list[str], expected: list[str]
) -> None:
    two_apps()
    arguments = ["resend", *options, "--since", "1d"]
    counted = json.loads(succeed(*arguments, "--dry-run", "--json"))
    assert sum(counted["counts"].values()) == len(expected)
    assert sum(sum(of_app.values()) for of_app in counted["apps"].values()) == len(expected)
    assert begun(*arguments[1:])["resent"] == len(expected)
    assert resent_by_health()["sent"] == len(expected)
    assert sorted(name for name, _ in sent()) == sorted(expected)


def test_a_dry_run_of_several_apps_counts_for_each() -> None:
    two_apps()
    shown = succeed("resend", "--organization", "acme", "--since", "1d", "--dry-run")
    assert "bot    2 deliveries (1 exhausted, 1 delivered)" in shown
    assert "pager  3 deliveries (3 exhausted)" in shown
    assert shown.endswith("5 deliveries (4 exhausted, 1 delivered) would be resent.\n")
    question = refused("resend", "--organization", "acme", "--since", "1d")
    assert "to resend 5 deliveries (4 exhausted, 1 delivered) of 2 apps here, add --yes" in question


def test_apps_take_turns_each_with_its_oldest_delivery() -> None:
    two_apps()
    times = now() - timedelta(days=1), now()
    found = list(in_turn([Choice("pager", *times, [EXHAUSTED]), Choice("bot", *times, [EXHAUSTED])]))
    names = [each.delivery_id for each in found]
    assert names == ["msg_pager_0", "msg_bot", "msg_pager_1", "msg_pager_2", "msg_globex"]


def test_of_several_apps_those_that_are_off_are_left_out_and_named() -> None:
    two_apps()
    App("bot").update(actions=[App.state.set(DISABLED)])
    result = bellhop("resend", "--organization", "acme", "--since", "1d", "--yes")
    assert "nothing of bot is resent: its app is switched off" in result.stderr
    assert "3 deliveries follow" in result.stdout
    assert resent_by_health()["sent"] == 3
    error = refused("resend", "--app", "bot", "--since", "1d", "--yes")
    assert error == "error: nothing of bot is resent: its app is switched off\n"
