import json
from datetime import UTC, datetime, timedelta

import pytest

from bellhop.circuits import Circuit
from bellhop.registry import Installation
from health.rules import Thresholds
from infra.cli.commands.explain_dry_run import read_settings
from infra.cli.errors import CommandError
from tests.unit.cli.cli_runner import CloudFormation, misused, succeed
from tests.unit.cli.failing_app import count, register, switch_off

PRESENT = Thresholds(timeouts_per_day=1000, error_days=7, pause_hours=72)


def test_what_is_set_replaces_the_stacks_thresholds() -> None:
    assert read_settings([], PRESENT) == PRESENT
    assert read_settings(["timeouts=500", "pause_hours=48"], PRESENT) == Thresholds(500, 7, 48)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("errors=3", "'errors' is no threshold; there are timeouts, error_days, pause_hours"),
        ("timeouts", "write timeouts=NUMBER"),
        ("timeouts=", "write timeouts=NUMBER"),
        ("timeouts=0", "from 1 to"),
        ("timeouts=-1", "from 1 to"),
        ("timeouts=1.5", "a whole number"),
        ("timeouts=\u0663", "a whole number"),
        ("error_days=31", "from 1 to 30"),
        ("pause_hours=99999999999999999999", "from 1 to"),
    ],
)
def test_what_cannot_be_set_is_named_with_what_can(text: str, said: str) -> None:
    with pytest.raises(CommandError, match="--set") as caught:
        read_settings([text], PRESENT)
    assert said in str(caught.value)


def test_every_mistake_is_named_at_once_and_nothing_is_set_twice() -> None:
    with pytest.raises(CommandError) as caught:
        read_settings(["x=1", "timeouts=1", "timeouts=2"], PRESENT)
    assert [line.partition(":")[0] for line in caught.value.lines] == ["--set x=1", "--set timeouts=2"]


@pytest.mark.usefixtures("cloudformation")
def test_the_table_has_the_days_on_which_either_would_have_done_something() -> None:
    register()
    for days_ago in (39, 38, 37):
        count(days_ago, generation=1, error=2)
    count(41, fatal=1)
    count(5, generation=3, timeout=600)
    count(1, generation=3, success=9)
    shown = succeed("explain", "pager", "--dry-run", "--set", "timeouts=500", "--set", "error_days=3")
    today = datetime.now(UTC).date()
    rows = [line.split() for line in shown.splitlines() if line.startswith("acme ")]
    found = {row[1]: " ".join(row[6:]) for row in rows}
    assert found == {
        str(today - timedelta(38)): "warned: errors 2 of 3",
        str(today - timedelta(37)): "warned: errors 3 of 7 off: errors",
        str(today - timedelta(5)): "warned: timeouts 600 of 1,000 off: timeouts",
    }
    assert "the stack's  timeouts=1000, error_days=7, pause_hours=72: off 0 times, warned 2 times" in shown
    assert "yours        timeouts=500, error_days=3, pause_hours=72: off 2 times, warned 1 time" in shown


@pytest.mark.usefixtures("cloudformation")
def test_days_of_two_generations_on_one_date_are_one_day() -> None:
    register()
    count(1, generation=1, timeout=600)
    count(1, generation=3, timeout=500)
    document = json.loads(succeed("explain", "pager", "--dry-run", "--json"))
    (day,) = document["days"]
    assert (day["timeout"], day["by_present"]["off"]) == (1100, "timeouts")


@pytest.mark.usefixtures("cloudformation")
def test_each_organisation_is_judged_alone_and_a_published_app_would_be_left_on() -> None:
    register(kind="published")
    Installation("globex", "in-2", app_id="pager").save()
    count(timeout=600)
    count(timeout=600, organization_id="globex")
    shown = succeed("explain", "pager", "--dry-run", "--set", "timeouts=600")
    assert shown.count("broken, left on (published): timeouts") == 2
    assert "off 1" not in shown


@pytest.mark.usefixtures("cloudformation")
def test_the_pause_that_ended_in_switching_off_is_known_on_each_of_its_days() -> None:
    register()
    now = datetime.now(UTC)
    for days_ago in range(5):
        count(days_ago, error=1)
    since = now - timedelta(days=4)
    Circuit("pager", generation=1, paused_since=since.timestamp()).save()
    switch_off()
    document = json.loads(succeed("explain", "pager", "--dry-run", "--set", "pause_hours=30", "--json"))
    off = {row["day"]: row["by_other"]["off"] for row in document["days"] if row["by_other"]["off"]}
    midnight = datetime(since.year, since.month, since.day, tzinfo=UTC)
    first = next(n for n in range(5) if (midnight + timedelta(days=n + 1) - since) >= timedelta(hours=30))
    assert off == {str(since.date() + timedelta(days=first)): "pause"}
    assert [row["by_present"]["off"] for row in document["days"]].count("pause") == 1


@pytest.mark.usefixtures("cloudformation")
def test_settings_without_a_dry_run_are_refused_before_anybody_believes_in_them() -> None:
    said = misused("explain", "pager", "--set", "timeouts=500")
    assert "add --dry-run" in said
    assert "BrokenTimeoutsPerDay" in said


@pytest.mark.usefixtures("cloudformation")
def test_without_settings_it_shows_what_the_stack_would_have_done(cloudformation: CloudFormation) -> None:
    register()
    assert "0 recorded days" in succeed("explain", "pager", "--dry-run")
    count(timeout=5)
    shown = succeed("explain", "pager", "--dry-run")
    assert shown.startswith("pager: 1 recorded day, judged at its end.\nNothing would have happened on it.\n")
    cloudformation.parameters["BrokenTimeoutsPerDay"] = "5"
    shown = succeed("explain", "pager", "--dry-run")
    assert "off: timeouts" in shown
    assert "yours" not in shown
