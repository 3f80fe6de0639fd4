import json
from datetime import UTC, datetime, timedelta

import pytest

from bellhop import outcomes, tables
from bellhop.attempts import EXHAUSTED
from bellhop.circuits import Circuit
from bellhop.registry import App, Installation
from health import review, transitions
from health.mail import wording
from health.review import Scope
from health.rules import Thresholds
from infra.cli.identity import SilentTelemetry
from infra.cli.text import stored_time
from tests.unit.cli.cli_runner import refused, succeed
from tests.unit.cli.failing_app import (
    ADA,
    BOB,
    ESCAPED,
    EVIDENCE,
    HOSTILE,
    Endpoint,
    add_replayable,
    count,
    register,
    switch_off,
)

pytestmark = pytest.mark.usefixtures("cloudformation")


def review_days() -> None:
    """Let health review the days, as it does after a failure."""
    deps = transitions.TransitionDependencies(
        tables.connect(), lambda _: None, SilentTelemetry(), lambda: datetime.now(UTC)
    )
    review.review(Scope("pager", "acme", 1), Thresholds(1000, 7, 72), deps)


def test_why_an_app_is_off_is_shown_in_words_with_the_days_and_what_followed() -> None:
    register()
    switch_off()
    add_replayable(3)
    shown = succeed("explain", "pager")
    for part in (
        "disabled (generation 2), since 20",
        "(1 h ago), by health",
        f"Off because {wording.reason(EVIDENCE)}",
        "limits     1,000 timeouts a day, 7 days of errors alone, 72 h paused",
        "acme          2026-11-21  0        0      1,204    0",
        "last failure: http_410 (Gone), event ev9 (issue.created, msg_9): gone",
        f"mails      {ADA} sent, {BOB} unknown",
        "replayable 3 parked",
        "Next: bellhop ping pager; bellhop enable pager; bellhop mail resend pager '00000001#disabled'",
    ):
        assert part in shown
    assert "not all done yet" not in shown


def test_what_is_still_to_follow_is_shown() -> None:
    register(auto_enable=True)
    switch_off(finished_at=None, done={"event"})
    shown = succeed("explain", "pager")
    assert "follow-up  not all done yet; done: event" in shown
    assert "(auto_enable)" in shown


def test_who_switched_an_app_by_hand_and_why_is_shown(endpoint: Endpoint) -> None:
    register()
    succeed("disable", "pager", "--reason", f"abuse {HOSTILE}", "--yes")
    shown = succeed("explain", "pager")
    assert "by operator:moto" in shown
    assert "Off because a person switched the app off." in shown
    assert f"reason     abuse {ESCAPED}" in shown
    succeed("enable", "pager", "--reason", "they apologised")
    enabled = transitions.last_transition(App.get("pager"))
    assert enabled
    counted = f"Counted since {stored_time(enabled.at)}: a switching off or on begins the counts anew."
    assert counted in succeed("explain", "pager")
    assert counted in succeed("app", "pager")
    shown = succeed("explain", "pager")
    for part in (
        "enabled (generation 3), since 20",
        "by operator:moto",
        "reason     they apologised",
        "pinged     200 in 84 ms",
    ):
        assert part in shown


def test_an_app_that_was_switched_by_hand_in_the_table_is_no_crash() -> None:
    register(state="disabled", generation=4)
    assert "by hand: no audit entry says since when" in succeed("explain", "pager")
    App("pager").update(actions=[App.state.set("enabled")])
    assert "by hand: no audit entry says since when" in succeed("explain", "pager")


def test_an_old_entry_that_lacks_the_newer_facts_is_shown_as_far_as_it_goes() -> None:
    register()
    old = {"rule": "fatal", "last_failure": {"error": "http_410", "event_id": "e", "response": ""}}
    switch_off(evidence=old)
    shown = succeed("explain", "pager")
    assert f"Off because {wording.reason(old)}" in shown
    assert "last failure: http_410 (Gone), event e\n" in shown


def test_hostile_evidence_is_shown_as_it_is_written() -> None:
    register(name=HOSTILE)
    last = EVIDENCE["last_failure"] | {"response": HOSTILE, "event_id": "\x1b[1m"}
    switch_off(evidence=EVIDENCE | {"url": "https://\x9b2J", "last_failure": last}, actor="operator:\x1b[5m")
    shown = succeed("explain", "pager")
    assert f"pager: {ESCAPED}\\nmore" in shown
    assert f": {ESCAPED}\\nmore\n" in shown
    assert "by operator:\\x1b[5m" in shown
    assert not any(c in shown for c in "\x1b\x07\x9b\u202e")


def test_a_sound_app_shows_how_far_it_is_from_every_rule() -> None:
    register()
    count(success=5)
    shown = succeed("explain", "pager")
    assert "enabled (generation 1), from the beginning" in shown
    assert "in acme: sound" in shown
    assert "timeouts  0 " in shown
    assert "72 h without a successful trial" in shown
    assert "Next: bellhop log pager\n" in shown


def test_a_failing_app_shows_how_near_it_is_and_who_was_warned() -> None:
    register()
    count(1, error=2)
    count(timeout=760, error=1)
    count(2, error=1)
    review_days()
    shown = succeed("explain", "pager")
    assert "on its way to be switched off for timeouts and errors" in shown
    rows = {line.split()[0]: line.split()[-1] for line in shown.splitlines() if line.strip().endswith("%")}
    assert rows == {"fatal": "0%", "timeouts": "76%", "errors": "43%", "pause": "0%"}
    assert f"in acme: timeouts 760 of 1,000; {ADA} pending, {BOB} pending" in shown
    assert "in acme: errors 3 of 7;" in shown
    assert "Next: bellhop ping pager; bellhop log pager --failures" in shown
    document = json.loads(succeed("explain", "pager", "--json"))
    assert sorted(w["evidence"]["rule"] for w in document["warnings"]) == ["errors", "timeouts"]
    (organization,) = document["organizations"]
    assert organization["rule"] is None
    assert [near["share"] for near in organization["nearness"]] == pytest.approx([0, 0.76, 3 / 7, 0])


def test_the_worst_day_of_timeouts_is_named_where_it_is_not_today() -> None:
    register()
    count(2, timeout=990)
    day = (datetime.now(UTC) - timedelta(days=2)).date()
    assert f"990 on {day}" in succeed("explain", "pager")


def test_a_pause_is_shown_with_how_long_it_lasts() -> None:
    register()
    now = datetime.now(UTC).timestamp()
    Circuit("pager", generation=1, paused_since=now - 18 * 3600 - 60, next_trial_at=now).save()
    shown = succeed("explain", "pager")
    assert "paused for 18 h" in shown
    assert "25%" in shown
    assert "bellhop ping pager" in shown


@pytest.mark.parametrize(
    ("kind", "said"),
    [("internal", "its next failure switches it off"), ("published", "left on, because it is published")],
)
def test_a_broken_app_that_is_on_says_why_it_is(kind: str, said: str) -> None:
    register(kind=kind)
    count(fatal=1)
    shown = succeed("explain", "pager")
    assert "in acme: broken by the rule fatal" in shown
    assert said in shown
    assert "fatal     one on 20" in shown


def test_an_app_that_is_left_on_shows_what_operators_were_told() -> None:
    register(kind="published")
    count(fatal=1)
    review_days()
    assert "in acme: fatal broken, left on; nobody mailed" in succeed("explain", "pager")


def test_each_organisation_is_judged_by_its_own_days() -> None:
    register(kind="published")
    Installation("globex", "in-2", app_id="pager").save()
    count(fatal=1, organization_id="globex")
    shown = succeed("explain", "pager")
    assert "in acme: sound" in shown
    assert "in globex: broken by the rule fatal" in shown


def test_an_app_that_is_installed_nowhere_says_so() -> None:
    register(kind="published", organization_id=None)
    Installation("acme", "in-pager").delete()
    assert "It is installed nowhere" in succeed("explain", "pager")


def test_what_an_app_that_is_on_can_have_replayed_is_among_the_next_commands() -> None:
    register()
    add_replayable(1, EXHAUSTED)
    assert "Next: bellhop log pager; bellhop replay pager --exhausted" in succeed("explain", "pager")
    add_replayable(1)
    assert "Next: bellhop log pager; bellhop replay pager\n" in succeed("explain", "pager")


def test_a_replay_which_is_refused_during_a_pause_was_among_the_next_commands() -> None:
    register()
    add_replayable(1)
    Circuit("pager", generation=1, paused_since=datetime.now(UTC).timestamp()).save()
    assert "Next: bellhop ping pager; bellhop log pager --failures\n" in succeed("explain", "pager")


def test_a_warning_of_an_earlier_generation_is_not_shown_as_if_it_were_of_this() -> None:
    register()
    count(timeout=760)
    review_days()
    App("pager").update(actions=[App.generation.set(3)])
    assert "warned" not in succeed("explain", "pager")
    assert "app.warned by health for acme: timeouts 760 of 1,000; mails: 2 pending" in succeed("app", "pager")


def test_explaining_changes_nothing() -> None:
    register()
    count(fatal=1)
    succeed("explain", "pager")
    succeed("explain", "pager", "--dry-run", "--set", "timeouts=1")
    assert (App.get("pager").state, list(transitions.warnings(App.get("pager")))) == ("enabled", [])
    assert len(list(outcomes.OutcomeDay.scan())) == 1


def test_an_unknown_app_is_named() -> None:
    register()
    assert "did you mean pager?" in refused("explain", "pagr")


def test_an_app_that_is_paused_is_not_called_sound_and_says_when_its_next_trial_is() -> None:
    register()
    now = datetime.now(UTC).timestamp()
    Circuit("pager", generation=1, paused_since=now - 1_800, next_trial_at=now + 600).save()
    shown = succeed("explain", "pager")
    assert "circuit    paused since" in shown
    assert "next trial in 9 min" in shown
    assert "in acme: paused, not near a limit yet" in shown
    assert "sound" not in shown
    assert "paused for 30 min" in shown
    assert "under 1%" in shown


def test_an_app_that_a_person_switched_off_is_not_said_to_be_pinged() -> None:
    register(auto_enable=True)
    switch_off(actor="operator:ada", evidence=EVIDENCE | {"rule": "operator", "reason": "asked"})
    for command in ("explain", "app"):
        shown = succeed(command, "pager")
        assert "by operator:ada" in shown
        assert "is pinged" not in shown
        assert "a person switches it on" in shown
