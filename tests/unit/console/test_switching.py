import json
from datetime import UTC, datetime

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from bellhop import tables
from bellhop.attempts import EXHAUSTED
from bellhop.registry import App, AuditEntry, Installation
from health import transitions
from health.messages import FollowUp
from infra.console import actor, stack, switching
from infra.console.actor import Quiet
from tests.support.fakes import organization
from tests.unit.console.cli_runner import CloudFormation, bellhop, refused, succeed
from tests.unit.console.failing_app import ADA, BOB, Endpoint, announced, count, hold, register, switch_off

pytestmark = pytest.mark.usefixtures("cloudformation")


def state() -> tuple[str, int]:
    found = App.get("pager", consistent_read=True)
    return found.state, int(found.generation)


def entry(key: str) -> AuditEntry:
    return AuditEntry.get("pager", key, consistent_read=True)


def test_an_endpoint_that_is_well_again_is_switched_on_and_what_was_parked_follows(endpoint: Endpoint) -> None:
    register()
    off = switch_off()
    hold(3)
    hold(1, EXHAUSTED)
    shown = succeed("enable", "pager", "--reason", "repaired")
    assert state() == ("enabled", 3)
    made = entry("00000002#enabled")
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
        "3 kept deliveries follow, oldest first, 10 a second",
        "1 exhausted stay where they are: bellhop replay pager --exhausted",
    ):
        assert part in shown


def test_an_endpoint_that_is_not_well_keeps_its_app_off_and_the_answer_is_shown(endpoint: Endpoint) -> None:
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


def test_a_ping_without_an_answer_keeps_its_app_off(endpoint: Endpoint) -> None:
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
    assert entry("00000002#enabled").evidence["response"] is None
    assert state() == ("enabled", 3)


def test_a_replay_can_be_slowed_or_left_out(endpoint: Endpoint) -> None:
    register(max_per_second=4)
    switch_off()
    hold(8)
    assert "--no-replay" in refused("enable", "pager", "--rate", "5", "--no-replay")
    shown = succeed("enable", "pager", "--no-replay")
    assert "Kept and not replayed: 8 parked. Later: bellhop replay pager" in shown
    assert entry("00000002#enabled").evidence["replay"] is None
    succeed("disable", "pager", "--reason", "again", "--yes")
    endpoint.slept.clear()
    made = json.loads(succeed("enable", "pager", "--rate", "2", "--json"))
    assert made["replay_per_second"] == 2
    assert made["held"] == {"parked": 8, "complete": True}
    assert entry("00000004#enabled").evidence["replay"] == {"states": ["parked"], "rate": 2.0}


def test_the_rate_that_is_told_is_the_apps_own_where_that_is_less(endpoint: Endpoint) -> None:
    register(max_per_second=4)
    switch_off()
    hold(8)
    assert "8 kept deliveries follow, oldest first, 4 a second: 2 s." in succeed("enable", "pager")


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
        deps = transitions.TransitionDependencies(tables.connect(), lambda _: None, Quiet(), lambda: at)
        switching.enable(App.get("pager"), "operator:grace", deps, response=None, replaying=None, reason=None)

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


def test_switching_off_asks_first_and_keeps_the_days_as_evidence() -> None:
    register()
    count(1, success=4)
    count(error=2)
    assert "add --yes" in refused("disable", "pager", "--reason", "abuse")
    assert state() == ("enabled", 1)
    shown = succeed("disable", "pager", "--reason", "abuse", "--yes")
    assert state() == ("disabled", 2)
    made = entry("00000001#disabled")
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
    assert "--reason is empty" in refused("disable", "pager", "--reason", " ", "--yes")
    assert bellhop("disable", "pager", "--yes").exit_code == 2
    assert state() == ("enabled", 1)


def test_an_app_of_nobody_is_switched_off_with_the_days_of_all_its_installations() -> None:
    register(kind="published", organization_id=None)
    Installation("globex", "in-2", app_id="pager").save()
    count(error=2)
    count(error=3, organization_id="globex")
    shown = succeed("disable", "pager", "--reason", "abuse", "--yes")
    assert "Nobody gets mail: it has no owners." in shown
    assert entry("00000001#disabled").evidence["days"][-1]["error"] == 5
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


def test_who_switches_an_app_off_that_would_come_back_by_itself_is_told() -> None:
    register(auto_enable=True)
    assert "(auto_enable)" in succeed("disable", "pager", "--reason", "abuse", "--yes")


@pytest.mark.parametrize(
    ("arn", "name"),
    [
        ("arn:aws:sts::1:assumed-role/Ops/ada@acme", "ada@acme"),
        ("arn:aws:iam::1:user/team/ada", "ada"),
        ("arn:aws:iam::1:root", "root"),
    ],
)
def test_the_actor_is_the_last_part_of_the_callers_arn(
    arn: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Sts:
        def get_caller_identity(self) -> dict[str, str]:
            return {"Arn": arn}

    monkeypatch.setattr(boto3, "client", lambda *_, **__: Sts())
    assert actor.name() == f"operator:{name}"


def test_where_sts_does_not_answer_the_actor_is_the_local_user(monkeypatch: pytest.MonkeyPatch) -> None:
    faults = (EndpointConnectionError(endpoint_url="x"), ClientError({"Error": {"Code": "AccessDenied"}}, "x"))
    for fault in faults:

        def refuse(raised: Exception = fault) -> str:
            raise raised

        monkeypatch.setattr(stack, "caller", refuse)
        monkeypatch.setattr(actor.getpass, "getuser", lambda: "ada")
        assert actor.name() == "operator:ada"

    def nobody() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr(actor.getpass, "getuser", nobody)
    assert actor.name() == "operator:unknown"


def test_a_stack_from_before_there_were_these_queues_is_named(cloudformation: CloudFormation) -> None:
    organization().save()
    del cloudformation.outputs[stack.TRANSITIONS_QUEUE]
    assert "has no output TransitionsQueueUrl" in refused("enable", "pager")
