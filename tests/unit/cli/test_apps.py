import json
from datetime import UTC, datetime

import pytest

from bellhop.circuits import Circuit
from bellhop.registry import DISABLED, App
from tests.support.damage import damage
from tests.unit.cli.cli_runner import EXAMPLE, bellhop, succeed

pytestmark = pytest.mark.usefixtures("cloudformation")


def test_every_app_is_listed_with_how_it_stands() -> None:
    assert "Next: bellhop apply FILE" in succeed("apps")
    succeed("apply", EXAMPLE, "--yes")
    assert [each["app_id"] for each in json.loads(succeed("apps", "--json"))] == ["deploy-bot", "pager"]
    assert "Deploy Bot" in succeed("apps")


def test_only_those_are_listed_that_are_asked_for() -> None:
    succeed("apply", EXAMPLE, "--yes")
    now = datetime.now(UTC).timestamp()
    Circuit("pager", generation=1, paused_since=now - 60, next_trial_at=now + 30).save()
    App("deploy-bot").update(actions=[App.state.set(DISABLED)])
    assert [each["app_id"] for each in json.loads(succeed("apps", "--paused", "--json"))] == ["pager"]
    assert [each["app_id"] for each in json.loads(succeed("apps", "--off", "--json"))] == ["deploy-bot"]
    assert len(json.loads(succeed("apps", "--off", "--paused", "--json"))) == 2
    assert "0 of 2 apps failing." in succeed("apps", "--failing")
    assert "paused since" in succeed("apps", "--paused")


def test_one_apps_row_that_could_not_be_read_hid_all_the_others() -> None:
    succeed("apply", EXAMPLE, "--yes")
    damage(App, "deploy-bot", "name")
    result = bellhop("apps", "--json")
    assert [each["app_id"] for each in json.loads(result.stdout)] == ["pager"]
    [warning] = result.stderr.splitlines()
    assert warning.startswith("warning: deploy-bot in the table apps cannot be read: ")
    assert bellhop("status").exit_code == 0


def test_a_name_that_only_repeats_the_slug_took_a_column() -> None:
    succeed("apply", EXAMPLE, "--yes")
    for app_id in ("deploy-bot", "pager"):
        App(app_id).update(actions=[App.name.set(app_id)])
    assert "name" not in succeed("apps")
    App("pager").update(actions=[App.name.set("The pager")])
    assert "The pager" in succeed("apps")
    assert succeed("apps").count("deploy-bot") == 1
