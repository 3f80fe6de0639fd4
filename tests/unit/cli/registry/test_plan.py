from dataclasses import replace

import pytest

from infra.cli.registry.model import AppSpec, InstallationSpec, OrganizationSpec, Spec, key
from infra.cli.registry.plan import Plan, change_of, make
from infra.cli.registry.resolving import Desired

ACME = OrganizationSpec("1", "acme", "Acme", ("ada@acme.example", "grace@acme.example"))
BOT = AppSpec("bot", "Bot", "internal", "1", "https://bot.example", ("issue.created", "issue.resolved"))
HOOK = InstallationSpec("1", "i-1", "bot", "installed", ("issue.created",), None)


def plan(specs: list[Spec], current: list[Spec], imports: dict[str, str] | None = None, **stored: str) -> Plan:
    desired = Desired(tuple(specs), {key(spec): spec for spec in current}, imports or {}, frozenset(stored))
    return make(desired, frozenset(), lambda signature: f"generated for {signature}")


def test_what_is_as_desired_is_counted_and_not_written() -> None:
    made = plan([ACME, BOT, HOOK], [ACME, BOT, HOOK], bot="stored")
    assert made.empty
    assert made.unchanged == 3


def test_what_is_missing_is_created_with_a_secret_for_a_new_app() -> None:
    made = plan([ACME, BOT, HOOK], [])
    assert [(change.spec, change.creates) for change in made.changes] == [
        (ACME, True),
        (BOT, True),
        (HOOK, True),
    ]
    assert dict(made.secrets) == {"bot": "generated for hmac"}
    assert made.generated == {"bot"}


def test_an_update_names_only_the_fields_that_change_with_old_and_new() -> None:
    moved = replace(BOT, url="https://new.example")
    (change,) = plan([moved], [BOT], bot="stored").changes
    assert not change.creates
    assert change.fields == {"url": ("https://bot.example", "https://new.example")}


def test_the_order_of_a_list_is_no_change() -> None:
    shuffled = replace(ACME, owners=ACME.owners[::-1])
    assert plan([shuffled], [ACME]).empty


def test_no_project_list_and_an_empty_one_are_different() -> None:
    (change,) = plan([replace(HOOK, projects=())], [HOOK]).changes
    assert change.fields == {"projects": (None, ())}


def test_an_app_that_has_lost_its_secret_gets_one_though_nothing_else_changes() -> None:
    made = plan([BOT], [BOT])
    assert not made.changes
    assert not made.empty
    assert made.generated == {"bot"}


def test_a_stored_secret_is_kept_and_not_shown_even_where_the_app_is_new() -> None:
    made = plan([BOT], [], bot="stored")
    assert (dict(made.secrets), made.generated) == ({}, frozenset())


def test_an_imported_secret_is_stored_and_not_shown() -> None:
    made = plan([BOT], [], {"bot": "imported"})
    assert (dict(made.secrets), made.generated) == ({"bot": "imported"}, frozenset())


def test_an_installation_ends_before_its_app_changes() -> None:
    ended, moved = replace(HOOK, status="uninstalled"), replace(BOT, organization_id="2")
    changes = plan([moved, ended], [BOT, HOOK], bot="stored").changes
    assert [change.spec for change in changes] == [ended, moved]


@pytest.mark.parametrize(
    ("old", "new", "lost"),
    [
        (ACME, replace(ACME, owners=ACME.owners[:1], name="A"), ["owners grace@acme.example"]),
        (ACME, replace(ACME, warnings=False), ["early warnings"]),
        (replace(ACME, warnings=False), ACME, []),
        (BOT, replace(BOT, events=()), ["events issue.created, issue.resolved"]),
        (replace(BOT, max_per_second=5, auto_enable=True), BOT, ["max_per_second 5", "auto_enable true"]),
        (replace(BOT, headers={"X-A": "1", "X-B": "2"}), replace(BOT, headers={"X-B": "3"}), ["headers X-A"]),
        (replace(BOT, headers={"X-A": "1"}), BOT, ["headers X-A"]),
        (BOT, replace(BOT, url="https://new.example", headers={"X-A": "1"}), []),
        (BOT, replace(BOT, transform="data"), ["what its transform leaves out of the body"]),
        (replace(BOT, transform="data"), BOT, []),
        (HOOK, replace(HOOK, projects=("1",)), ["events of other projects than those listed"]),
        (replace(HOOK, projects=("1", "2")), replace(HOOK, projects=("1",)), ["projects 2"]),
        (replace(HOOK, projects=("1",)), HOOK, []),
        (HOOK, replace(HOOK, filter="data.issue"), ["events of which its filter is not true"]),
        (replace(HOOK, filter="data.issue"), HOOK, []),
        (HOOK, replace(HOOK, status="uninstalled"), ["its events, as it is not installed any more"]),
        (replace(HOOK, status="pending"), HOOK, []),
    ],
)
def test_a_change_says_what_it_takes_away(old: Spec, new: Spec, lost: list[str]) -> None:
    change = change_of(new, old)
    assert change
    assert change.takes_away == lost


def test_what_is_new_takes_nothing_away() -> None:
    assert [change.takes_away for change in plan([ACME, BOT, HOOK], []).changes] == [[], [], []]


def test_a_plan_does_not_show_its_secrets_when_it_is_printed() -> None:
    assert "generated for" not in repr(plan([BOT], []))
