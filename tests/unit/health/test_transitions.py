"""Transitions: each is made once, with its owners' pending mails, and announced."""

from datetime import date

import pytest

from bellhop import tables
from bellhop.registry import App, AuditEntry
from health import transitions
from health.messages import FollowUp
from health.rules import BROKEN, EarlyWarning
from health.transitions import TransitionDependencies, disabled_id, enabled_id
from tests.support.fakes import NOW, Recorder, app, organization

ADA = "ada@acme.example"


@pytest.fixture
def announced() -> list[FollowUp]:
    return []


@pytest.fixture
def deps(aws: None, announced: list[FollowUp]) -> TransitionDependencies:
    app().save()
    organization(owners=[ADA]).save()
    return TransitionDependencies(tables.connect(), announced.append, Recorder(), lambda: NOW)


def disable(deps: TransitionDependencies) -> AuditEntry | None:
    return transitions.disable(App.get("pager"), "acme", "health", {"rule": "fatal"}, deps)


def mails(entry: AuditEntry | None) -> dict[str, str]:
    assert entry
    return dict(entry.mails.attribute_values)


def test_a_switching_off_raises_the_generation_and_announces_itself(
    deps: TransitionDependencies, announced: list[FollowUp]
) -> None:
    assert mails(disable(deps)) == {ADA: "pending"}
    off = App.get("pager")
    assert (off.state, off.generation) == ("disabled", 2)
    assert announced == [FollowUp("pager", disabled_id(1))]


def test_of_two_that_read_the_app_before_only_one_switches_it(deps: TransitionDependencies) -> None:
    on = App.get("pager")
    assert disable(deps)
    assert transitions.disable(on, "acme", "operator:ann", {"rule": "operator"}, deps) is None
    off = App.get("pager")
    assert transitions.enable(off, "operator:ann", {"rule": "operator"}, deps, tell_owners=False)
    assert transitions.enable(off, "recovery_check", {"rule": "recovery_check"}, deps, tell_owners=True) is None
    assert App.get("pager").generation == 3
    assert [entry.transition_id for entry in AuditEntry.query("pager")] == [disabled_id(1), enabled_id(2)]


def test_an_app_that_is_on_cannot_be_switched_on_nor_one_that_is_off_be_warned_about(
    deps: TransitionDependencies, announced: list[FollowUp]
) -> None:
    on = App.get("pager")
    assert transitions.enable(on, "operator:ann", {"rule": "operator"}, deps, tell_owners=True) is None
    assert App.get("pager").generation == 1
    disable(deps)
    announced.clear()
    assert disable(deps) is None
    warning = EarlyWarning("timeouts", 1, 500, 1000, date(2026, 11, 23))
    assert transitions.warn(App.get("pager"), "acme", warning, {"rule": "timeouts"}, deps) is None
    assert announced == []


def test_a_switching_on_tells_the_owners_only_if_it_is_to(deps: TransitionDependencies) -> None:
    for told in (False, True):
        disable(deps)
        off = App.get("pager")
        made = transitions.enable(off, "operator:ann", {"rule": "operator"}, deps, tell_owners=told)
        assert mails(made) == ({ADA: "pending"} if told else {})


@pytest.mark.parametrize(
    ("kind", "level", "told"), [("internal", 1, True), ("internal", BROKEN, False), ("published", 1, False)]
)
def test_owners_are_warned_of_what_may_switch_their_app_off(
    deps: TransitionDependencies, kind: str, level: int, told: bool
) -> None:
    app(kind=kind).save()
    warning = EarlyWarning("timeouts", level, 500, 1000, date(2026, 11, 23))
    evidence = {"rule": "timeouts"}
    assert mails(transitions.warn(App.get("pager"), "acme", warning, evidence, deps)) == (
        {ADA: "pending"} if told else {}
    )
    assert transitions.warn(App.get("pager"), "acme", warning, evidence, deps) is None
    assert [entry.transition_id for entry in transitions.warnings(App.get("pager"))] == [
        f"00000001#warned#acme#timeouts#{level}#2026-11-23"
    ]


def test_a_transition_that_was_announced_is_not_announced_again(
    deps: TransitionDependencies, announced: list[FollowUp]
) -> None:
    disable(deps)
    entry = transitions.last_disabled(App.get("pager"))
    assert entry
    transitions.resume(entry, deps)
    assert len(announced) == 1
    entry.announced_at = None
    transitions.resume(entry, deps)
    assert len(announced) == 2
