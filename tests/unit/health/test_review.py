"""Reviewing and switching off, with tables: exactly once, whatever is repeated."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bellhop import circuits, outcomes, tables
from bellhop.outcomes import Failure, OutcomeDelta
from bellhop.registry import App, AuditEntry, Organization
from health import transitions
from health.messages import FollowUp
from health.review import Scope
from health.review import review as judge
from health.rules import BROKEN, Thresholds
from health.transitions import TransitionDependencies
from tests.support.fakes import NOW, Recorder, app, organization

LIMITS = Thresholds(timeouts_per_day=3, error_days=7)
SCOPE = Scope("pager", "acme", 1)
FAILURE = Failure("2026-11-23T11:59:00+00:00", "msg_1", "ev9", "issue.created", "http_404", "<b>gone</b>")


@pytest.fixture
def announced() -> list[FollowUp]:
    return []


@pytest.fixture
def telemetry() -> Recorder:
    return Recorder()


@pytest.fixture
def deps(aws: None, announced: list[FollowUp], telemetry: Recorder) -> TransitionDependencies:
    app().save()
    organization(owners=["ada@acme.example", "bob@acme.example"]).save()
    return TransitionDependencies(
        connection=tables.connect(),
        announce=announced.append,
        telemetry=telemetry,
        now=lambda: NOW,
    )


def count(days_ago: int = 0, generation: int = 1, **counts: int) -> None:
    day = NOW.date() - timedelta(days=days_ago)
    failure = FAILURE if set(counts) - {"success"} else None
    outcomes.add(OutcomeDelta("pager", "acme", generation, day, **counts, last_failure=failure), lambda _: None)


def review(scope: Scope, deps: TransitionDependencies) -> None:
    judge(scope, LIMITS, deps)


def review_and_die(deps: TransitionDependencies) -> None:
    """Review, and die before the transition is announced."""

    def crash(_: FollowUp) -> None:
        raise ConnectionError("the queue does not respond")

    with pytest.raises(ConnectionError):
        review(SCOPE, replace(deps, announce=crash))


def at(deps: TransitionDependencies, days_ago: int) -> TransitionDependencies:
    return replace(deps, now=lambda: NOW - timedelta(days=days_ago))


def state() -> tuple[str, int]:
    found = App.get("pager", consistent_read=True)
    return found.state, int(found.generation)


def entries(action: str = "app.disabled") -> list[AuditEntry]:
    return [entry for entry in AuditEntry.query("pager") if entry.action == action]


def test_three_timeouts_on_one_day_at_a_threshold_of_three_disable(deps: TransitionDependencies) -> None:
    count(timeout=3)
    review(SCOPE, deps)
    assert state() == ("disabled", 2)


def test_two_timeouts_at_a_threshold_of_three_do_not(deps: TransitionDependencies) -> None:
    count(timeout=2)
    review(SCOPE, deps)
    assert state() == ("enabled", 1)
    assert entries() == []


def test_one_error_on_each_of_seven_days_disables_on_the_seventh(deps: TransitionDependencies) -> None:
    for day in range(6, 0, -1):
        count(day, error=1)
    review(SCOPE, deps)
    assert state() == ("enabled", 1)
    count(0, error=1)
    review(SCOPE, deps)
    assert state() == ("disabled", 2)


def test_server_errors_count_so_an_endpoint_that_responds_500_for_ever_is_disabled(
    deps: TransitionDependencies,
) -> None:
    for day in range(7):
        count(day, error=20)
    review(SCOPE, deps)
    assert state() == ("disabled", 2)


def test_the_audit_entry_has_the_evidence_as_it_was_before_the_buffer_was_cleared(
    deps: TransitionDependencies, announced: list[FollowUp]
) -> None:
    count(fatal=1, success=5)
    review(SCOPE, deps)
    [entry] = entries()
    assert (entry.actor, entry.organization_id) == ("health", "acme")
    assert entry.evidence["thresholds"] == {"timeouts_per_day": 3, "error_days": 7, "pause_hours": 72}
    assert entry.evidence["rule"] == "fatal"
    assert entry.evidence["days"][-1] == {
        "day": "2026-11-23", "success": 5, "error": 0, "timeout": 0, "fatal": 1,
    }  # fmt: skip
    assert entry.evidence["last_failure"]["event_id"] == "ev9"
    assert dict(entry.mails.attribute_values) == {
        "ada@acme.example": "pending",
        "bob@acme.example": "pending",
    }
    assert announced == [FollowUp("pager", entry.transition_id)]


def test_after_re_enabling_on_the_same_day_one_timeout_does_not_disable_again(
    deps: TransitionDependencies,
) -> None:
    count(timeout=3)
    review(SCOPE, deps)
    App("pager").update(actions=[App.state.set("enabled"), App.generation.set(3)])
    count(generation=3, timeout=1)
    review(replace(SCOPE, generation=3), deps)
    assert state() == ("enabled", 3)


def test_outcomes_in_flight_during_the_transition_never_count_in_the_next_generation(
    deps: TransitionDependencies,
) -> None:
    count(timeout=3)
    review(SCOPE, deps)
    App("pager").update(actions=[App.state.set("enabled"), App.generation.set(3)])
    count(generation=1, timeout=500, fatal=1)
    review(SCOPE, deps)
    assert state() == ("enabled", 3)
    assert len(entries()) == 1


def pause(hours: float, generation: int = 1) -> None:
    circuits.open_circuit("pager", generation, NOW.timestamp() - hours * 3600, 0)


def test_a_pause_of_72_hours_without_a_successful_trial_disables(deps: TransitionDependencies) -> None:
    for day in range(4):
        count(day, timeout=1)
    pause(71.9)
    review(SCOPE, deps)
    assert state() == ("enabled", 1)
    circuits.Circuit("pager").delete()
    pause(72)
    review(SCOPE, deps)
    assert state() == ("disabled", 2)
    assert [e.evidence["rule"] for e in entries("app.warned") + entries()] == ["pause", "pause"]


def test_the_owners_of_an_app_that_is_paused_for_long_are_warned_once_in_each_of_its_stages(
    deps: TransitionDependencies,
) -> None:
    for hours in (36, 40, 54):
        count(error=1)
        circuits.Circuit("pager").delete()
        pause(hours)
        review(SCOPE, deps)
    warned = [(e.evidence["rule"], e.evidence["warning"]["reached"]) for e in entries("app.warned")]
    assert warned == [("pause", 36), ("pause", 54)]
    assert all(e.mails.attribute_values for e in entries("app.warned"))


def test_a_pause_that_nobody_tried_to_end_is_no_reason_however_old_it_is(deps: TransitionDependencies) -> None:
    pause(1000)
    count(timeout=1)
    review(SCOPE, deps)
    assert state() == ("enabled", 1)


def test_a_pause_that_somebody_got_through_is_no_reason_however_old_it_is(deps: TransitionDependencies) -> None:
    pause(100)
    for day in range(4):
        count(day, timeout=1)
    count(1, success=1)
    review(SCOPE, deps)
    assert state() == ("enabled", 1)


def test_a_pause_of_an_earlier_generation_says_nothing_about_this_one(deps: TransitionDependencies) -> None:
    App("pager").update(actions=[App.generation.set(3)])
    pause(100, generation=1)
    count(generation=3, timeout=1)
    review(replace(SCOPE, generation=3), deps)
    assert state() == ("enabled", 3)


@pytest.mark.parametrize("kind", ["published", "unpublished"])
def test_only_internal_apps_are_disabled_of_others_the_operators_hear_once(
    deps: TransitionDependencies, kind: str, telemetry: Recorder
) -> None:
    app(kind=kind).save()
    count(fatal=1)
    review(SCOPE, deps)
    assert state() == ("enabled", 1)
    review(SCOPE, deps)
    assert telemetry.counts == {"AppWarned": 1}
    [entry] = entries("app.warned")
    assert (entry.evidence["rule"], entry.evidence["warning"]["level"]) == ("fatal", BROKEN)
    assert dict(entry.mails.attribute_values) == {}


def test_the_owners_whom_an_app_belongs_to_now_are_told_and_not_those_it_was_moved_from(
    deps: TransitionDependencies,
) -> None:
    app(organization_id="globex").save()
    Organization("globex", slug="globex", name="Globex", owners=["eve@globex.example"]).save()
    for _ in range(2):
        count(timeout=1)
        review(SCOPE, deps)
    [warned] = [*entries("app.warned")][:1]
    assert warned.mails.attribute_values == {"eve@globex.example": "pending"}
    count(timeout=1)
    review(SCOPE, deps)
    [off] = entries()
    assert (off.organization_id, off.mails.attribute_values) == ("globex", {"eve@globex.example": "pending"})


def test_an_app_that_is_gone_is_no_fault(deps: TransitionDependencies) -> None:
    App("pager").delete()
    count(fatal=1)
    review(SCOPE, deps)
    assert entries() == []


def test_an_organisation_without_owners_has_its_app_disabled_and_nobody_mailed(
    deps: TransitionDependencies,
) -> None:
    organization(owners=[]).save()
    count(fatal=1)
    review(SCOPE, deps)
    assert state() == ("disabled", 2)
    assert dict(entries()[0].mails.attribute_values) == {}


def test_the_same_outcomes_reviewed_ten_times_disable_once(
    deps: TransitionDependencies, announced: list[FollowUp], telemetry: Recorder
) -> None:
    count(fatal=1)
    for _ in range(10):
        review(SCOPE, deps)
    assert state() == ("disabled", 2)
    assert len(entries()) == 1
    assert telemetry.counts["AppDisabled"] == 1


def test_twenty_workers_at_once_disable_once(deps: TransitionDependencies, telemetry: Recorder) -> None:
    count(fatal=1)
    review(replace(SCOPE, app_id="nobody"), deps)  # opens the connection before the threads share it
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda _: review(SCOPE, deps), range(20)))
    assert state() == ("disabled", 2)
    assert len(entries()) == 1
    assert telemetry.counts["AppDisabled"] == 1


def test_a_crash_before_the_announcement_is_made_up_for_by_the_next_review(
    deps: TransitionDependencies, announced: list[FollowUp]
) -> None:
    count(fatal=1)
    review_and_die(deps)
    assert state() == ("disabled", 2)
    review(SCOPE, deps)
    assert announced == [FollowUp("pager", transitions.disabled_id(1))]


def test_an_announced_transition_is_not_announced_again(
    deps: TransitionDependencies, announced: list[FollowUp]
) -> None:
    count(fatal=1)
    review(SCOPE, deps)
    announced.clear()
    review(SCOPE, deps)
    assert announced == []


def test_an_operator_who_disables_first_leaves_nothing_to_do(
    deps: TransitionDependencies, announced: list[FollowUp]
) -> None:
    count(fatal=1)
    App("pager").update(actions=[App.state.set("disabled"), App.generation.set(2)])
    review(SCOPE, deps)
    assert (entries(), announced) == ([], [])


def test_a_race_lost_between_the_read_and_the_transaction_changes_nothing(
    deps: TransitionDependencies, monkeypatch: pytest.MonkeyPatch
) -> None:
    count(fatal=1)
    commit = transitions._commit

    def meanwhile(*args: Any) -> bool:
        App("pager").update(actions=[App.generation.set(7)])
        return commit(*args)

    monkeypatch.setattr(transitions, "_commit", meanwhile)
    review(SCOPE, deps)
    assert state() == ("enabled", 7)
    assert entries() == []


def test_owners_are_warned_once_of_timeouts_and_again_when_it_gets_worse(deps: TransitionDependencies) -> None:
    limits = Thresholds(timeouts_per_day=100, error_days=7)
    for timeouts, levels in ((49, []), (1, [1]), (10, [1]), (15, [1, 2]), (15, [1, 2, 3])):
        count(timeout=timeouts)
        judge(SCOPE, limits, deps)
        assert [entry.evidence["warning"]["level"] for entry in entries("app.warned")] == levels
    assert state() == ("enabled", 1)
    assert dict(entries("app.warned")[0].mails.attribute_values) == {
        "ada@acme.example": "pending",
        "bob@acme.example": "pending",
    }


def test_a_worker_that_missed_the_milder_warnings_gives_the_gravest_alone(deps: TransitionDependencies) -> None:
    count(timeout=95)
    judge(SCOPE, Thresholds(timeouts_per_day=100, error_days=7), deps)
    assert [entry.evidence["warning"] for entry in entries("app.warned")] == [
        {"level": 3, "reached": 95, "limit": 100}
    ]


def test_owners_are_warned_on_the_third_the_fifth_and_the_sixth_failing_day(deps: TransitionDependencies) -> None:
    given = []
    for day in range(6, -1, -1):
        count(day, error=1)
        judge(SCOPE, LIMITS, at(deps, days_ago=day))
        given.append(len(entries("app.warned")))
    assert given == [0, 0, 1, 1, 2, 3, 3]
    assert state() == ("disabled", 2)


def test_a_new_run_of_failing_days_is_a_new_episode(deps: TransitionDependencies) -> None:
    for day in (6, 5, 4, 2, 1, 0):  # day 3 had no failure
        count(day, error=1)
        judge(SCOPE, LIMITS, at(deps, days_ago=day))
    since = [entry.evidence["since"] for entry in entries("app.warned")]
    assert since == [(NOW - timedelta(days=n)).date().isoformat() for n in (6, 2)]


def test_an_organisation_that_wants_no_warnings_gets_none_by_mail(deps: TransitionDependencies) -> None:
    organization(warnings=False).save()
    count(timeout=2)
    review(SCOPE, deps)
    assert [dict(entry.mails.attribute_values) for entry in entries("app.warned")] == [{}]


def test_a_warning_is_not_given_where_the_app_was_switched_off_in_between(
    deps: TransitionDependencies, monkeypatch: pytest.MonkeyPatch
) -> None:
    warn = transitions.warn

    def meanwhile(*args: Any) -> Any:
        App("pager").update(actions=[App.generation.set(2), App.state.set("disabled")])
        return warn(*args)

    monkeypatch.setattr(transitions, "warn", meanwhile)
    count(timeout=2)
    review(SCOPE, deps)
    assert entries("app.warned") == []


def test_a_warning_whose_maker_died_is_announced_by_the_next_review(
    deps: TransitionDependencies, announced: list[FollowUp]
) -> None:
    count(timeout=2)
    review_and_die(deps)
    for _ in range(3):
        review(SCOPE, deps)
    assert announced == [FollowUp("pager", entries("app.warned")[0].transition_id)]


@pytest.mark.parametrize("another_was_first", [True, False])
def test_a_warning_whose_maker_died_before_another_worker_switched_the_app_off_was_not_announced(
    deps: TransitionDependencies, announced: list[FollowUp], another_was_first: bool
) -> None:
    count(timeout=2)
    review_and_die(deps)
    count(timeout=1)
    if another_was_first:  # or the review that comes again switches it off itself
        unaware = replace(deps, announce=lambda _: None)
        transitions.disable(App.get("pager"), "acme", "health", {"rule": "timeouts"}, unaware)
    review(SCOPE, deps)
    assert state() == ("disabled", 2)
    assert FollowUp("pager", entries("app.warned")[0].transition_id) in announced


def test_an_app_of_two_organisations_is_warned_about_in_each(deps: TransitionDependencies) -> None:
    for name in ("acme", "globex"):
        outcomes.add(OutcomeDelta("pager", name, 1, NOW.date(), timeout=2, last_failure=FAILURE), lambda _: None)
        review(replace(SCOPE, organization_id=name), deps)
    ids = [entry.transition_id for entry in entries("app.warned")]
    assert sorted(key.split("#")[2] for key in ids) == ["acme", "globex"]


def test_each_review_read_the_warnings_of_every_organisation_that_has_the_app(
    deps: TransitionDependencies, monkeypatch: pytest.MonkeyPatch
) -> None:
    App.get("pager").update(actions=[App.kind.set("published")])
    for number in range(20):
        others = OutcomeDelta("pager", f"org{number}", 1, NOW.date(), timeout=2, last_failure=FAILURE)
        outcomes.add(others, lambda _: None)
        review(replace(SCOPE, organization_id=f"org{number}"), deps)
    query, read = AuditEntry.query, list[AuditEntry]()

    def noting(*asked: Any, **options: Any) -> list[AuditEntry]:
        found = list(query(*asked, **options))
        read.extend(found)
        return found

    monkeypatch.setattr(AuditEntry, "query", noting)
    count(timeout=2)
    for _ in range(2):
        review(SCOPE, deps)
    assert [entry.organization_id for entry in read] == ["acme"]


def test_a_warning_that_version_0_1_0_gave_is_not_given_again(
    deps: TransitionDependencies, announced: list[FollowUp]
) -> None:
    count(timeout=2)
    review(SCOPE, deps)
    [given] = entries("app.warned")
    _, _, organization, rule, level, since = given.transition_id.split("#")
    old = given.serialize() | {"transition_id": {"S": f"00000001#warned#{rule}#{level}#{since}#{organization}"}}
    given.delete()
    AuditEntry.from_raw_data(old).save()
    review(SCOPE, deps)
    assert len(entries("app.warned")) == len(announced) == 1


def test_enabling_and_disabling_at_the_same_time_leave_one_history(deps: TransitionDependencies) -> None:
    count(fatal=1)
    review(SCOPE, deps)
    off = App.get("pager")
    assert transitions.enable(off, "operator:ann", {"rule": "operator"}, deps, tell_owners=False)
    assert transitions.enable(off, "recovery_check", {"rule": "recovery_check"}, deps, tell_owners=True) is None
    assert transitions.disable(off, "acme", "health", {"rule": "fatal"}, deps) is None
    review(SCOPE, deps)  # a failure of the first generation that was still in flight
    assert state() == ("enabled", 3)
    assert [entry.transition_id for entry in AuditEntry.query("pager")] == [
        "00000001#disabled",
        "00000002#enabled",
    ]


def test_a_row_of_counters_stays_within_one_write_unit(deps: TransitionDependencies) -> None:
    long = replace(FAILURE, delivery_id="msg_" + "f" * 32, event_id="e" * 64, response="€" * 53)
    outcomes.add(OutcomeDelta("a" * 40, "o" * 64, 1, NOW.date(), error=1, last_failure=long), lambda _: None)
    [row] = outcomes.OutcomeDay.scan()
    assert len(json.dumps(row.to_simple_dict(), ensure_ascii=False).encode()) < 1024
