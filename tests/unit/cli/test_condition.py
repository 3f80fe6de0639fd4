from typing import Any

import pytest

from bellhop.circuits import Circuit
from bellhop.registry import DISABLED, AuditEntry
from infra.cli.condition import FAILING, OFF, ON, PAUSED, SLOW, Condition, condition, off_text, way_back_text
from tests.support.fakes import app

NOW = 1_790_000_000.0


def stands(slow: frozenset[str] = frozenset(), state: str = "enabled", **circuit: Any) -> Condition:
    return condition(app(state=state), Circuit("pager", **circuit), slow, NOW)


def entry(rule: str, **evidence: Any) -> AuditEntry:
    at = "2026-09-21T10:00:00+00:00"
    return AuditEntry(
        "pager", "00000001#disabled", actor="operator:ada", at=at, evidence={"rule": rule} | evidence
    )


@pytest.mark.parametrize(
    ("found", "name"),
    [
        (stands(), ON),
        (stands(frozenset({"pager"})), SLOW),
        (stands(frozenset({"other"})), ON),
        (stands(generation=1, strikes=3, struck_at=NOW - 60), FAILING),
        (stands(generation=1, strikes=3, struck_at=NOW - 3601), ON),
        (stands(generation=0, strikes=3, struck_at=NOW - 60), ON),
        (stands(generation=1, paused_since=NOW - 60), PAUSED),
        (stands(generation=0, paused_since=NOW - 60), ON),
        (stands(state=DISABLED, generation=1, paused_since=NOW - 60), OFF),
    ],
)
def test_the_worst_that_is_true_in_the_apps_generation_is_how_it_stands(found: Condition, name: str) -> None:
    assert found.name == name


def test_a_pause_says_since_when_and_when_the_next_trial_is() -> None:
    paused = stands(generation=1, paused_since=NOW - 90, next_trial_at=NOW + 30)
    assert paused.text() == "paused since 2026-09-21 14:11:50 UTC (1 min 30 s ago); next trial in 30 s"
    assert (
        stands(generation=1, paused_since=NOW - 90, next_trial_at=NOW - 1).trial_text() == "the next trial is due"
    )
    tried = stands(generation=1, paused_since=NOW - 90, next_trial_at=NOW - 1, trial_lease_until=NOW + 5)
    assert tried.trial_text() == "a trial is under way"


def test_strikes_and_the_slow_list_are_said() -> None:
    text = stands(frozenset({"pager"}), generation=1, strikes=6, struck_at=NOW - 1).text()
    assert text.startswith("6 strikes; 10 pause the app; on the slow list")
    assert stands().text() == "closed, deliveries go out"


def test_an_app_that_a_person_switched_off_is_never_said_to_come_back_by_itself() -> None:
    off = app(state=DISABLED, auto_enable=True)
    by_person = way_back_text(off, entry("operator"))
    assert "a person switches it on" in by_person
    assert "pinged" not in by_person
    assert way_back_text(off, entry("timeouts")).startswith("it is pinged, and switched on")
    assert way_back_text(app(auto_enable=True), None).startswith("once health switches it off, it is pinged")
    assert way_back_text(app(state=DISABLED), entry("timeouts")) == ""


def test_off_names_who_and_why() -> None:
    now = NOW
    assert off_text(entry("operator", reason="asked by Acme"), now).endswith("by operator:ada: asked by Acme")
    assert off_text(None, now) == "off by hand: no audit entry says since when"
