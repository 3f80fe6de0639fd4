import json

import pytest

from bellhop.registry import Installation
from health.messages import FollowUp
from tests.unit.cli.cli_runner import bellhop, misused, refused, succeed
from tests.unit.cli.failing_app import ADA, BOB, announced, audit_entry, count, register, state, switch_off

pytestmark = pytest.mark.usefixtures("cloudformation")


def test_switching_off_asks_first_and_keeps_the_days_as_evidence() -> None:
    register()
    count(1, success=4)
    count(error=2)
    assert "add --yes" in refused("disable", "pager", "--reason", "abuse")
    assert state() == ("enabled", 1)
    shown = succeed("disable", "pager", "--reason", "abuse", "--yes")
    assert state() == ("disabled", 2)
    made = audit_entry("00000001#disabled")
    assert (made.actor, made.evidence["rule"], made.evidence["reason"]) == ("operator:moto", "operator", "abuse")
    assert [(d["success"], d["error"]) for d in made.evidence["days"][-2:]] == [(4, 0), (0, 2)]
    assert made.evidence["thresholds"] == {"timeouts_per_day": 1000, "error_days": 7, "pause_hours": 72}
    assert made.evidence["last_failure"]["event_id"] == "ev9"
    assert made.mails.attribute_values == {ADA: "pending", BOB: "pending"}
    assert announced() == [FollowUp("pager", "00000001#disabled")]
    assert f"Health mails {ADA}, {BOB}." in shown
    assert "Back: bellhop enable pager" in shown


def test_a_reason_is_asked_for() -> None:
    register()
    assert "--reason is empty" in misused("disable", "pager", "--reason", " ", "--yes")
    assert "at most 1,000" in misused("disable", "pager", "--reason", "x" * 1_001, "--yes")
    assert bellhop("disable", "pager", "--yes").exit_code == 2
    assert state() == ("enabled", 1)


def test_an_app_of_nobody_is_switched_off_with_the_days_of_all_its_installations() -> None:
    register(kind="published", organization_id=None)
    Installation("globex", "in-2", app_id="pager").save()
    count(error=2)
    count(error=3, organization_id="globex")
    shown = succeed("disable", "pager", "--reason", "abuse", "--yes")
    assert "Nobody gets mail: it has no owners." in shown
    assert audit_entry("00000001#disabled").evidence["days"][-1]["error"] == 5
    assert state() == ("disabled", 2)


def test_an_app_that_is_off_stays_as_it_is_and_what_was_never_announced_is() -> None:
    register()
    switch_off(announced_at=None)
    shown = succeed("disable", "pager", "--reason", "abuse", "--yes")
    assert "pager is off already, since 20" in shown
    assert "by health" in shown
    assert announced() == [FollowUp("pager", "00000001#disabled")]
    document = json.loads(succeed("disable", "pager", "--reason", "abuse", "--json"))
    assert document == {"app_id": "pager", "changed": False, "state": "disabled", "resumed": False}


def test_who_switches_an_app_off_that_asks_for_recovery_checks_is_told() -> None:
    register(auto_enable=True)
    assert "(auto_enable)" in succeed("disable", "pager", "--reason", "abuse", "--yes")
