from dataclasses import replace
from typing import TypeVar

import pytest

from infra.cli.registry.document import RegistryFileError
from infra.cli.registry.model import AppSpec, InstallationSpec, OrganizationSpec
from infra.cli.registry.resolving import Desired, installation_id
from tests.support.key_pairs import KEY_PAIR
from tests.unit.cli.registry.in_memory import InMemory, desired, planned

ACME = OrganizationSpec("1", "acme", "Acme Inc.", ("ada@acme.example",), warnings=False)
GLOBEX = OrganizationSpec("globex", "globex", "globex", ())
BOT = AppSpec(
    "bot",
    "Bot",
    "published",
    "1",
    "https://bot.example/hook",
    ("issue.created", "error.created"),
    {"Authorization": "s3cret", "X-Team": "blue"},
    5,
    auto_enable=True,
)
HOOK = InstallationSpec("1", "i-1", "bot", "pending", ("issue.created",), ("web",), "data.issue")
WHOLE = InstallationSpec("globex", "i-2", "bot", "installed", BOT.events, None)
STACK = InMemory((ACME, GLOBEX, BOT, HOOK, WHOLE), {"bot": "k" * 64})

S = TypeVar("S", OrganizationSpec, AppSpec, InstallationSpec)


def one(kind: type[S], text: str, stack: InMemory = STACK, environ: dict[str, str] | None = None) -> S:
    [spec] = [spec for spec in desired(text, stack, environ).specs if isinstance(spec, kind)]
    return spec


def problems(text: str, stack: InMemory = STACK) -> list[str]:
    with pytest.raises(RegistryFileError) as caught:
        desired(text, stack)
    return [str(problem) for problem in caught.value.problems]


def app(line: str) -> str:
    return f"apps:\n  bot: {{{line}}}\n"


def test_an_entry_that_names_nothing_changes_nothing() -> None:
    text = (
        "organizations: {acme: {}, globex: {}}\napps: {bot: {}}\ninstallations: [{app: bot, organization: acme}]"
    )
    assert planned(text, STACK).empty


def test_only_the_key_that_is_named_changes() -> None:
    assert one(OrganizationSpec, "organizations: {acme: {name: New}}") == replace(ACME, name="New")
    assert one(AppSpec, app("events: [issue.created]")) == replace(BOT, events=("issue.created",))
    text = "installations: [{app: bot, organization: acme, status: installed}]"
    assert one(InstallationSpec, text) == replace(HOOK, status="installed")


def test_null_sets_a_key_to_its_default() -> None:
    nulls = "organizations: {acme: {name: null, owners: null, warnings: null}}"
    assert one(OrganizationSpec, nulls) == OrganizationSpec("1", "acme", "acme", (), warnings=True)
    nulls = app("name: ~, organization: ~, events: ~, headers: ~, max_per_second: ~, auto_enable: ~, transform: ~")
    assert one(AppSpec, nulls) == AppSpec("bot", "bot", "published", None, BOT.url, ())
    nulls = "installations: [{app: bot, organization: acme, status: ~, events: ~, projects: ~, filter: ~}]"
    assert one(InstallationSpec, nulls) == InstallationSpec("1", "i-1", "bot", "installed", BOT.events, None)
    assert problems(app("url: null")) == ["line 2: apps.bot.url: is empty; give it a value or remove it"]


def test_what_is_registered_is_referred_to_without_being_restated() -> None:
    text = "apps:\n  new: {organization: acme, url: https://new.example, events: [issue]}\n"
    text += "installations: [{app: new, organization: acme}, {app: bot, organization: globex}]"
    specs = desired(text, STACK).specs
    assert [type(spec) for spec in specs] == [AppSpec, InstallationSpec, InstallationSpec]
    assert specs[1:] == (
        InstallationSpec("1", installation_id("1", "new"), "new", "installed", specs[0].events, None),  # type: ignore[union-attr]
        WHOLE,
    )


def test_a_reference_to_nothing_is_refused_with_the_nearest_slug() -> None:
    assert problems(app("organization: acmee")) == [
        (
            "line 2: apps.bot.organization: is 'acmee', which is neither an organisation of this file nor "
            "registered; did you mean acme?"
        )
    ]


def test_a_new_organisation_whose_slug_is_nearly_that_of_another_is_perhaps_a_slip() -> None:
    [problem] = problems("organizations: {acne: {name: Acme}}")
    assert problem.endswith("([] for nobody); did you mean acme?")


def test_an_id_that_would_take_another_organisations_slug_is_refused() -> None:
    assert problems("organizations:\n  acme: {id: 2, owners: []}") == [
        "line 2: organizations.acme: is the slug of the registered organisation 1; correct the `id` or the slug"
    ]
    renamed = "organizations:\n  acme: {id: 2, owners: []}\n  acme-inc: {id: 1}\n"
    assert [spec.slug for spec in desired(renamed, STACK).specs if isinstance(spec, OrganizationSpec)] == [
        "acme",
        "acme-inc",
    ]


def test_a_slug_that_two_organisations_have_is_named_by_its_id() -> None:
    twice = InMemory((ACME, replace(ACME, organization_id="2")))
    said = "is the slug of 2 registered organisations (1, 2)"
    assert problems("organizations:\n  acme: {name: A}", twice) == [
        f"line 2: organizations.acme: {said}; name one by `id`"
    ]
    new = "apps:\n  new: {organization: acme, url: https://a.example, events: []}\n"
    assert said in problems(new, twice)[0]
    spec = one(AppSpec, new + "organizations: {acme: {id: 2}}\n", twice)
    assert spec.organization_id == "2"


def test_headers_that_are_not_named_stay_and_null_removes_one() -> None:
    assert one(AppSpec, app("headers: {x-team: red}")).headers == {"Authorization": "s3cret", "x-team": "red"}
    assert one(AppSpec, app("headers: {X-Team: null}")).headers == {"Authorization": "s3cret"}
    assert one(AppSpec, app("headers: {X-Team: ~, authorization: ~}")).headers is None


def test_a_header_whose_variable_is_not_set_stays_as_it_is_stored() -> None:
    named = app("headers: {Authorization: {env: TOKEN}}")
    assert one(AppSpec, named).headers == BOT.headers
    assert one(AppSpec, named, environ={"TOKEN": "new"}).headers == {"Authorization": "new", "X-Team": "blue"}
    assert problems(app("headers: {X-New: {env: s3cret}}")) == [
        (
            "line 2: apps.bot.headers.X-New: names a variable that is not set or empty, and no value is stored; "
            "export it"
        )
    ]


def test_headers_are_limited_together_with_those_that_are_stored() -> None:
    more = ", ".join(f"X-{number}: 1" for number in range(19))
    assert problems(app(f"headers: {{{more}}}")) == [
        "line 2: apps.bot.headers: has 21 headers with those that are stored; at most 20 are sent"
    ]


def test_a_stored_secret_stays_where_its_variable_is_not_set_and_is_never_replaced() -> None:
    named = app("secret_env: k3y")
    assert planned(named, STACK).empty
    with pytest.raises(RegistryFileError) as caught:
        desired(named, STACK, {"k3y": "another-secret-of-enough-length"})
    [problem] = map(str, caught.value.problems)
    assert problem.startswith("line 2: apps.bot.secret_env: differs from the stored secret")
    assert "another" not in problem
    [problem] = problems(named, InMemory((ACME, BOT)))
    assert "names a variable that is not set" in problem
    assert "k3y" not in problem


def test_a_new_app_gets_the_secret_that_its_signature_needs() -> None:
    new = InMemory((ACME, BOT))
    assert dict(planned(app("signature: ed25519"), new).secrets) == {"bot": "generated for ed25519"}
    assert dict(planned(app("signature: null"), new).secrets) == {"bot": "generated for hmac"}
    assert dict(planned(app(f"secret: {KEY_PAIR}"), new).secrets) == {"bot": KEY_PAIR}


def test_a_signature_that_the_stored_secret_is_not_for_names_the_way_out() -> None:
    [problem] = problems(app("signature: ed25519"))
    assert "line 2: apps.bot.signature: differs from that of the stored secret" in problem
    assert "`bellhop rotate-secret bot --signature ed25519`" in problem
    assert planned(app("signature: ed25519"), InMemory((ACME, BOT), {"bot": KEY_PAIR})).empty
    assert "--signature hmac`" in problems(app("signature: null"), InMemory((ACME, BOT), {"bot": KEY_PAIR}))[0]


def test_a_secret_that_does_not_fit_the_signature_beside_it_is_refused() -> None:
    [problem] = problems(app(f"signature: ed25519, secret: {'k' * 32}"), InMemory((ACME, BOT)))
    assert "line 2: apps.bot.signature: does not fit the secret beside it" in problem
    [problem] = problems(app("signature: rsa"))
    assert "is 'rsa', which is none of hmac, ed25519" in problem


def test_an_installation_of_all_events_follows_its_app_and_one_with_a_list_does_not() -> None:
    text = app("events: [issue, error, comment]")
    text += "installations: [{app: bot, organization: acme}, {app: bot, organization: globex}]"
    bot, hook, whole = desired(text, STACK).specs
    assert isinstance(bot, AppSpec)
    assert isinstance(hook, InstallationSpec)
    assert isinstance(whole, InstallationSpec)
    assert (hook.events, whole.events) == (HOOK.events, bot.events)


def test_installations_that_list_what_their_app_no_longer_does_are_named() -> None:
    assert planned(app("events: [issue.created]"), STACK).notes == (
        "app bot no longer lists some events that its installations in globex do: they do not get them any more",
    )


def test_an_installation_without_an_id_is_the_only_one_there_is() -> None:
    derived = InstallationSpec("1", installation_id("1", "bot"), "bot", "installed", ("error.created",), None)
    entry = "installations:\n  - {app: bot, organization: acme, projects: []}"
    both = InMemory((ACME, BOT, HOOK, derived))
    assert one(InstallationSpec, entry, both) == replace(derived, projects=())
    two = InMemory((ACME, BOT, HOOK, replace(HOOK, installation_id="i-3")))
    assert problems(entry, two) == [
        "line 2: installations[0]: is one of 2 that are registered (i-1, i-3); name one by `id`"
    ]
    assert one(InstallationSpec, entry.replace("projects", "id: i-3, projects"), two).installation_id == "i-3"


def test_an_id_of_another_apps_installation_is_refused() -> None:
    other = replace(BOT, app_id="other")
    text = "installations:\n  - {app: other, organization: acme, id: i-1}"
    assert problems(text, InMemory((ACME, BOT, other, HOOK))) == [
        "line 2: installations[0].id: belongs to an installation of bot; give this one another"
    ]


INTERNAL = app("kind: internal")


def test_an_app_that_becomes_internal_must_not_be_installed_elsewhere() -> None:
    assert problems(INTERNAL) == [
        (
            "line 2: apps.bot: is to be internal to 1, but is installed on this stack in globex; "
            "give these installations `status: uninstalled`, or use another slug"
        )
    ]
    mended = INTERNAL + "installations: [{app: bot, organization: globex, status: uninstalled}]"
    plan = planned(mended, STACK)
    assert [type(change.spec) for change in plan.changes] == [InstallationSpec, AppSpec]


def test_an_internal_app_that_moves_must_not_stay_where_it_was() -> None:
    internal = InMemory((ACME, GLOBEX, replace(BOT, kind="internal"), HOOK))
    [problem] = problems(app("organization: globex"), internal)
    assert "is to be internal to globex, but is installed on this stack in 1" in problem
    [problem] = problems(app("organization: null"), internal)
    assert problem.startswith("line 2: apps.bot: is internal and has no `organization`")


def test_a_registered_internal_app_is_installed_only_where_it_belongs() -> None:
    internal = InMemory((ACME, GLOBEX, replace(BOT, kind="internal"), WHOLE))
    named = "installations:\n  - {app: bot, organization: globex, id: i-9}"
    [problem] = problems(named, internal)
    assert problem.startswith("line 2: installations[0].organization: does not own bot, which is internal")
    ending = "installations: [{app: bot, organization: globex, status: uninstalled}]"
    assert one(InstallationSpec, ending, internal).status == "uninstalled"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (app(f"name: {'n' * 201}"), "apps.bot.name: has 201 characters; at most 200 are possible"),
        (app(f"url: https://a.example/{'u' * 2048}"), "apps.bot.url: has 2,066 characters; at most 2,048"),
        (app(f"organization: {'o' * 65}"), "apps.bot.organization: has 65 characters; at most 64 are possible"),
        (
            f"organizations: {{acme: {{owners: [{', '.join(f'a{n}@acme.example' for n in range(501))}]}}}}",
            "organizations.acme.owners: has 501 owners; at most 500 are possible",
        ),
        (
            f"installations: [{{app: bot, organization: acme, projects: [{', '.join(map(str, range(1001)))}]}}]",
            "installations[0].projects: has 1,001 projects; at most 1,000 are possible",
        ),
    ],
)
def test_what_is_too_long_for_a_row_is_refused(text: str, expected: str) -> None:
    [problem] = problems(text)
    assert expected in problem


def test_a_file_and_its_resolution_do_not_show_headers_when_they_are_printed() -> None:
    shown: Desired = desired(app("headers: {X-New: hunter2}"), STACK)
    assert "hunter2" not in repr(shown)
    assert "s3cret" not in repr(shown)
