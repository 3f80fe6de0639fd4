import json
from datetime import UTC, datetime

import pytest

from bellhop import tables
from bellhop.attempts import EXHAUSTED
from bellhop.registry import App, AuditEntry
from health import transitions
from health.messages import FollowUp
from infra.cli.commands import enable
from infra.cli.identity import SilentTelemetry
from tests.unit.cli.cli_runner import bellhop, misused, refused, succeed
from tests.unit.cli.failing_app import (
    Endpoint,
    add_replayable,
    announced,
    audit_entry,
    register,
    state,
    switch_off,
)

pytestmark = pytest.mark.usefixtures("cloudformation")


def test_an_endpoint_that_is_well_again_is_switched_on_and_what_was_parked_follows(endpoint: Endpoint) -> None:
    register()
    off = switch_off()
    add_replayable(3)
    add_replayable(1, EXHAUSTED)
    shown = succeed("enable", "pager", "--reason", "repaired")
    assert state() == ("enabled", 3)
    made = audit_entry("00000002#enabled")
    assert made.actor == "operator:moto"
    assert made.evidence == {
        "rule": "operator",
        "url": "https://hooks.example/in",
        "off_since": off.at,
        "days": [],
        "response": {"status": 200, "ms": 84},
        "replay": {"states": ["parked"], "rate": None},
        "reason": "repaired",
    }
    assert made.mails.attribute_values == {}
    assert announced() == [FollowUp("pager", "00000002#enabled")]
    for part in (
        "Pinged https://hooks.example/in: http_200 in 84 ms.",
        "Switched pager on, as operator:moto.",
        "within 60 s (CacheSeconds)",
        "3 deliveries follow, oldest first, 10 a second",
        "1 exhausted stay where they are: bellhop replay pager --exhausted",
    ):
        assert part in shown


def test_an_endpoint_that_is_not_well_keeps_its_app_off_and_the_response_is_shown(endpoint: Endpoint) -> None:
    register()
    switch_off()
    endpoint.refuse(503, "come back later")
    result = bellhop("enable", "pager")
    assert result.exit_code == 1
    assert "come back later" in result.stdout
    assert "--force" in result.stderr
    assert state() == ("disabled", 2)
    assert announced() == []
    endpoint.slept.clear()
    as_json = bellhop("enable", "pager", "--json")
    assert json.loads(as_json.stdout)["changed"] is False
    assert json.loads(as_json.stdout)["ping"]["status"] == 503


def test_a_ping_without_a_result_keeps_its_app_off(endpoint: Endpoint) -> None:
    register()
    switch_off()
    endpoint.silent = True
    assert "no record of the ping" in refused("enable", "pager")
    assert state() == ("disabled", 2)


def test_force_asks_no_endpoint(endpoint: Endpoint) -> None:
    register()
    switch_off()
    assert "Pinged" not in succeed("enable", "pager", "--force")
    assert endpoint.slept == []
    assert audit_entry("00000002#enabled").evidence["response"] is None
    assert state() == ("enabled", 3)


def test_a_replay_can_be_slowed_or_left_out(endpoint: Endpoint) -> None:
    register(max_per_second=4)
    switch_off()
    add_replayable(8)
    assert "--no-replay" in misused("enable", "pager", "--rate", "5", "--no-replay")
    shown = succeed("enable", "pager", "--no-replay")
    assert "Not replayed: 8 parked. Later: bellhop replay pager" in shown
    assert audit_entry("00000002#enabled").evidence["replay"] is None
    succeed("disable", "pager", "--reason", "again", "--yes")
    endpoint.slept.clear()
    made = json.loads(succeed("enable", "pager", "--rate", "2", "--json"))
    assert made["replay_per_second"] == 2
    assert made["replayable"] == {"parked": 8, "complete": True}
    assert audit_entry("00000004#enabled").evidence["replay"] == {"states": ["parked"], "rate": 2.0}


def test_the_rate_that_is_shown_is_the_apps_own_where_that_is_less(endpoint: Endpoint) -> None:
    register(max_per_second=4)
    switch_off()
    add_replayable(8)
    assert "8 deliveries follow, oldest first, 4 a second: 2 s." in succeed("enable", "pager")


def test_an_app_that_is_on_stays_as_it_is_and_what_was_never_announced_is(endpoint: Endpoint) -> None:
    register()
    assert "pager is on already." in succeed("enable", "pager")
    assert announced() == []
    switch_off()
    succeed("enable", "pager")
    announced()
    AuditEntry("pager", "00000002#enabled").update(actions=[AuditEntry.announced_at.remove()])
    pings = len(endpoint.pinged)
    shown = succeed("enable", "pager")
    assert "pager is on already, since 20" in shown
    assert "by operator:moto" in shown
    assert "had never been begun" in shown
    assert announced() == [FollowUp("pager", "00000002#enabled")]
    assert "had never been begun" not in succeed("enable", "pager")
    assert announced() == []
    assert (state(), len(endpoint.pinged)) == (("enabled", 3), pings)


def test_of_two_operators_the_later_is_told_who_was_quicker(endpoint: Endpoint) -> None:
    register()
    switch_off()

    def other() -> None:
        at = datetime.now(UTC)
        deps = transitions.TransitionDependencies(tables.connect(), lambda _: None, SilentTelemetry(), lambda: at)
        enable.enable(App.get("pager"), "operator:grace", deps, result=None, replay=None, reason=None)

    endpoint.meanwhile = other
    said = refused("enable", "pager")
    assert "operator:grace was quicker" in said
    assert state() == ("enabled", 3)
    assert announced() == []


def test_an_app_that_vanishes_meanwhile_is_no_crash(endpoint: Endpoint) -> None:
    register()
    switch_off()
    endpoint.meanwhile = lambda: App("pager").delete()
    assert "changed meanwhile by somebody else" in refused("enable", "pager")
