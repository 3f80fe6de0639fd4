import re
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from bellhop.secrets import signature_of
from infra.cli.registry import exporting
from infra.cli.registry.events import events_of
from infra.cli.registry.exporting import export
from infra.cli.registry.model import AppSpec, InstallationSpec, OrganizationSpec, Spec, key
from tests.support.key_pairs import KEY_PAIR
from tests.unit.cli.registry.in_memory import InMemory, desired, planned

SLUG = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,7}", fullmatch=True) | st.sampled_from(["no", "007", "null", "1e3"])
ID = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,7}", fullmatch=True)
TEXT = st.text(st.characters(exclude_categories=("C", "Z"), include_characters=" "), min_size=1, max_size=20)
OWNER = st.from_regex(r"[a-z]{1,5}@[a-z]{1,5}\.example", fullmatch=True)
EVENTS = st.lists(st.sampled_from([e for names in events_of().values() for e in names]), unique=True).map(tuple)
HEADERS = st.dictionaries(st.sampled_from(["X-A", "X_A", "Secret", "Authorization", "!"]), TEXT, max_size=3)
KIND = st.sampled_from(["unpublished", "published"])
FILTER = st.sampled_from([None, "data.issue.level == 'fatal'", "!(data.x)", "`1` == '# no: comment'"])
TRANSFORM = st.sampled_from([None, "{text: join(': ', ['# no', action])}", '[data, `"\\n"`]', "@"])
SECRETS = st.sampled_from(["k" * 64, KEY_PAIR])
CLIENT = {"token_url": "https://login.example/token", "client_id": "007", "client_secret": "client-secret"}
MORE = st.fixed_dictionaries({}, optional={"scope": st.just("# a: b"), "authentication": st.just("body")})
OAUTH2 = st.none() | MORE.map(lambda more: CLIENT | more)
RATE = st.none() | st.integers(1, 1000) | st.sampled_from([0.001, 0.5, 2.125])


@st.composite
def registries(draw: st.DrawFn) -> InMemory:
    """What `bellhop apply` can have registered."""
    ids = draw(st.lists(ID, unique=True, max_size=3))
    slugs = draw(st.lists(SLUG, unique=True, min_size=len(ids), max_size=len(ids)))
    organizations = [
        OrganizationSpec(
            id_, slug, draw(TEXT), tuple(draw(st.lists(OWNER, unique=True, max_size=3))), draw(st.booleans())
        )
        for id_, slug in zip(ids, slugs, strict=True)
    ]
    apps = [
        AppSpec(
            slug, draw(TEXT), draw(KIND), draw(st.sampled_from([None, *ids])), f"https://{draw(ID)}.example/%41?a=b#c",
            draw(EVENTS), draw(HEADERS) or None, draw(RATE), draw(st.sampled_from([True, None])), draw(TRANSFORM),
        )
        for slug in draw(st.lists(SLUG, unique=True, max_size=3))
    ]  # fmt: skip
    apps = [app if "Authorization" in (app.headers or {}) else replace(app, oauth2=draw(OAUTH2)) for app in apps]
    apps = [replace(app, kind="internal") if app.organization_id and draw(st.booleans()) else app for app in apps]
    hooks = [
        InstallationSpec(
            app.organization_id if app.kind == "internal" and app.organization_id else draw(st.sampled_from(ids)),
            number, app.app_id, draw(st.sampled_from(["installed", "pending", "uninstalled"])),
            tuple(event for event in app.events if draw(st.booleans())),
            draw(st.none() | st.lists(TEXT, unique=True, max_size=3).map(tuple)), draw(FILTER),
        )
        for number in draw(st.lists(ID, unique=True, max_size=4)) if apps and ids
        for app in [draw(st.sampled_from(apps))]
    ]  # fmt: skip
    return InMemory((*organizations, *apps, *hooks), {app.app_id: draw(SECRETS) for app in apps})


def signatures(registry: InMemory) -> dict[str, str]:
    return {app: signature_of(secret) for app, secret in registry.stored_secrets.items()}


def exported(registry: InMemory) -> str:
    found = export(registry.items, signatures(registry))
    assert found.problems == ()
    return exporting.text(found.document) if found.document else "apps: {}"


@settings(max_examples=50)
@given(registries())
def test_applying_what_was_exported_changes_nothing(registry: InMemory) -> None:
    plan = planned(exported(registry), registry)
    assert (plan.changes, plan.secrets, plan.notes) == ((), {}, ())


@settings(max_examples=50)
@given(registries())
def test_on_another_stack_an_export_with_its_variables_makes_the_same(registry: InMemory) -> None:
    text = exported(registry)
    environ = dict.fromkeys(re.findall(r"BELLHOP_\w+", text), "v" * 32)
    exporter: Any = export(registry.items, signatures(registry)).document
    for app, entry in exporter.get("apps", {}).items():
        environ[entry["secret_env"]] = registry.stored_secrets[app]
    made = desired(text, InMemory(), environ)
    blind = {key(spec): _without_secret_values(spec) for spec in registry.items}
    assert {key(spec): _without_secret_values(spec) for spec in made.specs} == blind
    assert made.imports == registry.stored_secrets


def _without_secret_values(spec: Spec) -> Spec:
    """The spec in one order of its events."""
    if isinstance(spec, OrganizationSpec):
        return spec
    ordered = replace(spec, events=tuple(sorted(spec.events)))
    if isinstance(ordered, AppSpec):
        oauth2 = ordered.oauth2 and {**ordered.oauth2, "client_secret": ""}
        return replace(ordered, headers=dict.fromkeys(ordered.headers or {}, "") or None, oauth2=oauth2)
    return ordered


@settings(max_examples=50)
@given(registries(), st.data())
def test_a_key_that_is_not_named_stays_as_it_is(registry: InMemory, data: st.DataObject) -> None:
    document: Any = export(registry.items, signatures(registry)).document
    entries = [*document.get("organizations", {}).values(), *document.get("apps", {}).values()]
    for entry in [*entries, *document.get("installations", [])]:
        for name in [name for name in entry if name not in {"id", "app"}]:
            if data.draw(st.booleans()) and not (name == "organization" and "app" in entry):
                del entry[name]
    assert planned(exporting.text(document) if document else "apps: {}", registry).empty


@pytest.mark.parametrize("name", [":0", "?a", "?&a", "??", "-", "- a", "a: b", "#", "no", "0"])
def test_a_name_was_written_as_yaml_did_not_read_it_again(name: str) -> None:
    document = {"organizations": {"acme": {"name": name, "owners": [f"{name}@acme.example"]}}}
    read = YAML(typ="safe", pure=True).load(exporting.text(document))
    assert read == document


@settings(max_examples=50)
@given(registries())
def test_an_export_has_no_secret_and_a_variable_of_its_own_for_each(registry: InMemory) -> None:
    text = exported(registry)
    assert not [secret for secret in ("k" * 64, KEY_PAIR, "client-secret") if secret in text]
    named = re.findall(r"(?:env|secret_env): (\S+?)[,}\n]", text)
    apps = [spec for spec in registry.items if isinstance(spec, AppSpec)]
    own = sum(len(spec.headers or {}) + bool(spec.oauth2) for spec in apps)
    assert len(named) == len(set(named)) == own + len(registry.stored_secrets)


def test_what_no_file_can_say_is_left_out_and_named() -> None:
    acme = OrganizationSpec("1", "acme", "Acme", ())
    bot = AppSpec("bot", "Bot", "published", "9", "https://bot.example", ())
    hook = InstallationSpec("9", "i", "bot", "installed", (), None)
    orphan = InstallationSpec("1", "i", "gone", "installed", (), None)
    twin = replace(acme, organization_id="2")
    found = export([acme, twin, bot, hook, orphan], {})
    assert found.problems == (
        "organization acme (2) is left out: another one has its slug; apply another slug with `id: 2`",
        "app bot: its organisation 9 is not registered",
        "installation of gone in 1 (i) is left out: gone is not in the file",
        "installation of bot in 9 (i) is left out: 9 is not in the file",
    )
    stack = InMemory([acme, twin, bot, hook, orphan], {"bot": "k" * 64})
    assert planned(exporting.text(found.document), stack).empty


def test_an_export_names_every_key_that_a_spec_has() -> None:
    acme = OrganizationSpec("1", "acme", "Acme", ())
    bot = AppSpec("bot", "Bot", "published", "1", "https://bot.example", ())
    document: Any = export(
        [acme, bot, InstallationSpec("1", "i", "bot", "installed", (), None)], {"bot": "hmac"}
    ).document
    written = {*document["organizations"]["acme"], *document["apps"]["bot"], *document["installations"][0]}
    of_specs = {f.name for kind in (OrganizationSpec, AppSpec, InstallationSpec) for f in fields(kind)}
    assert written == of_specs - {"organization_id", "app_id", "installation_id", "slug"} | {
        "id",
        "app",
        "organization",
        "secret_env",
        "signature",
    }
