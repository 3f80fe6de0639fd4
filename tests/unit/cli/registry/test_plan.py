from dataclasses import replace

import pytest

from infra.cli.registry.model import AppSpec, InstallationSpec, OrganizationSpec, RegistryFile, Spec, key
from infra.cli.registry.plan import Current, Plan, PlanConflictError, make

ACME = OrganizationSpec("1", "acme", "Acme", ("ada@acme.example", "grace@acme.example"))
BOT = AppSpec("bot", "Bot", "internal", "1", "https://bot.example", ("issue.created", "issue.resolved"))
HOOK = InstallationSpec("1", "i-1", "bot", "installed", ("issue.created",), None)


def plan(desired: list[Spec], current: list[Spec], imports: dict[str, str] | None = None, **stored: str) -> Plan:
    holds = Current({key(spec): spec for spec in current}, stored)
    return make(RegistryFile(tuple(desired), imports or {}), holds, lambda: "generated")


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
    assert dict(made.secrets) == {"bot": "generated"}
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


def test_an_imported_secret_equal_to_the_stored_one_is_no_change() -> None:
    assert plan([BOT], [BOT], {"bot": "stored"}, bot="stored").empty


def test_every_conflict_is_reported_at_once_and_repeats_no_secret() -> None:
    elsewhere = replace(HOOK, app_id="other")
    with pytest.raises(PlanConflictError) as caught:
        plan([BOT, HOOK], [BOT, elsewhere], {"bot": "imported"}, bot="stored")
    moved, replaced = caught.value.problems
    assert "this id belongs to an installation of other; give it another `id`" in moved
    assert "rotate it, or drop the line" in replaced
    assert "imported" not in replaced


def test_a_plan_does_not_show_its_secrets_when_it_is_printed() -> None:
    assert "'generated'" not in repr(plan([BOT], []))
