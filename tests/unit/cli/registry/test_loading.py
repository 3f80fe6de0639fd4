from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellhop.registry import UNINSTALLED
from deliver.http.guard import EndpointPolicy
from infra.cli.registry.document import RegistryFileError
from infra.cli.registry.events import events_of
from infra.cli.registry.loading import parse
from infra.cli.registry.model import AppSpec, InstallationSpec, OrganizationSpec
from infra.cli.registry.resolving import Desired, installation_id
from tests.unit.cli import cli_runner
from tests.unit.cli.registry.in_memory import desired

EXAMPLE = cli_runner.EXAMPLE.read_text()

SMALL = """\
organizations:
  acme: {owners: [ada@acme.example]}
apps:
  bot:
    organization: acme
    url: https://bot.example/hook
    events: [issue]
installations:
  - {app: bot, organization: acme}
"""


def problems(text: str, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(RegistryFileError) as caught:
        desired(text, environ=environ)
    return [str(problem) for problem in caught.value.problems]


S = TypeVar("S", OrganizationSpec, AppSpec, InstallationSpec)


def only(kind: type[S], file: Desired) -> list[S]:
    return [spec for spec in file.specs if isinstance(spec, kind)]


def test_the_example_is_valid_and_says_what_its_comments_say() -> None:
    file = desired(EXAMPLE)
    initech, globex = only(OrganizationSpec, file)
    assert (initech.organization_id, globex.organization_id) == ("4501", "globex")
    bot, pager = only(AppSpec, file)
    assert (bot.kind, bot.organization_id) == ("internal", "4501")
    assert (pager.kind, pager.organization_id) == ("published", None)
    assert (initech.warnings, globex.warnings) == (True, True)
    assert (bot.auto_enable, pager.auto_enable) == (True, None)
    first, second, third = only(InstallationSpec, file)
    assert first.events == bot.events
    assert (first.projects, first.filter) == (None, None)
    assert (second.projects, second.filter) == (("frontend", "17"), "data.issue.level != 'info'")
    assert third.status == UNINSTALLED


def test_defaults_make_a_small_file_enough() -> None:
    file = desired(SMALL)
    assert only(OrganizationSpec, file) == [OrganizationSpec("acme", "acme", "acme", ("ada@acme.example",))]
    events = events_of()["issue"]
    app = AppSpec("bot", "bot", "internal", "acme", "https://bot.example/hook", events)
    assert only(AppSpec, file) == [app]
    identifier = installation_id("acme", "bot")
    assert only(InstallationSpec, file) == [InstallationSpec("acme", identifier, "bot", "installed", events, None)]


def test_warnings_can_be_declined_and_switching_on_by_itself_asked_for() -> None:
    text = SMALL.replace("{owners", "{warnings: false, owners").replace("  bot:", "  bot:\n    auto_enable: true")
    file = desired(text)
    assert [spec.warnings for spec in only(OrganizationSpec, file)] == [False]
    assert [spec.auto_enable for spec in only(AppSpec, file)] == [True]
    left = desired(text.replace("auto_enable: true", "auto_enable: false"))
    assert [spec.auto_enable for spec in only(AppSpec, left)] == [None]
    assert problems(text.replace("auto_enable: true", "auto_enable: yes")) == [
        "line 5: apps.bot.auto_enable: is 'yes', which is none of true, false"
    ]


@pytest.mark.parametrize("owner", ["ada", "ada@localhost", "a[1]@acme.example", "ada@[192.0.2.1].example"])
def test_an_owner_is_a_mail_address_that_can_be_the_name_of_an_attribute(owner: str) -> None:
    assert problems(SMALL.replace("[ada@acme.example]", f"['{owner}']")) == [
        f"line 2: organizations.acme.owners[0]: is '{owner}', which is no mail address; write name@example.com"
    ]


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        (
            "data.issue.level = 'fatal'",
            "is no JMESPath expression: at character 18: Unknown token '='; write == to compare",
        ),
        ("issue.level == 'fatal'", "asks for `issue`, which no webhook has at its top; the issue is `data.issue`"),
        ("''", "is empty; give it a value or remove it"),
        ("!data.issue", "is empty; give it a value or remove it"),  # to YAML, that is a tag
        ("a" * 501, "has 501 characters; at most 500 are possible"),
        ("[data]", "must be one value, not a list or a mapping"),
    ],
)
def test_what_is_no_filter_is_refused_before_anything_is_written(written: str, reason: str) -> None:
    text = SMALL.replace(
        "  - {app: bot, organization: acme}", "  - app: bot\n    organization: acme\n    filter: "
    )
    assert problems(text.rstrip() + f" {written}\n") == [f"line 11: installations[0].filter: {reason}"]


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("'{text: data.issue.title'", "is no JMESPath expression: it ends too early"),
        ("'{text: issue.title}'", "asks for `issue`, which no webhook has at its top; the issue is `data.issue`"),
        ("'{text: sort(data.x)}'", "calls sort(); a transform has contains, ends_with"),
        ("a" * 2001, "has 2,001 characters; at most 2,000 are possible"),
        ("{text: data}", "must be one value, not a list or a mapping"),
    ],
)
def test_what_is_no_transform_is_refused_before_anything_is_written(written: str, reason: str) -> None:
    [problem] = problems(SMALL.replace("  bot:", f"  bot:\n    transform: {written}"))
    assert problem.startswith(f"line 5: apps.bot.transform: {reason}")


def test_the_default_id_of_an_installation_never_changes() -> None:
    assert installation_id("acme", "bot") == "9f42a3f5-a98c-5fd9-b746-1ca1306dbdd5"


def test_every_problem_is_reported_at_once_with_its_line_and_path() -> None:
    text = """\
organizations:
  acme:
    owner: [ada@acme.example]
apps:
  bot:
    kind: internl
    url: ftp://bot.example
    events: [issue, isue.created, comment.resolved]
installations:
  - app: bott
    organization: acme
  - organization: nowhere
    app: bot
"""
    assert problems(text) == [
        (
            "line 2: organizations.acme: is new and has no `owners`; list who gets mail when an app is "
            "switched off ([] for nobody)"
        ),
        (
            "line 3: organizations.acme.owner: is not known here; known are id, name, owners, warnings; "
            "did you mean owners?"
        ),
        (
            "line 6: apps.bot.kind: is 'internl', which is none of internal, unpublished, published; "
            "did you mean internal?"
        ),
        "line 7: apps.bot.url: has no scheme that can be posted to; write https://",
        (
            "line 8: apps.bot.events[1]: is 'isue.created', which is no event; resources are issue, comment, "
            "error, event_alert, metric_alert, installation; did you mean issue.created?"
        ),
        (
            "line 8: apps.bot.events[2]: is 'comment.resolved', which is no event; use comment.created, "
            "comment.updated, comment.deleted"
        ),
        (
            "line 10: installations[0].app: is 'bott', which is neither an app of this file nor registered; "
            "did you mean bot?"
        ),
        (
            "line 12: installations[1].organization: is 'nowhere', which is neither an organisation of this "
            "file nor registered"
        ),
    ]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("    organization: acme\n", ""), "line 4: apps.bot: is internal and has no `organization`"),
        (("    url: https://bot.example/hook\n", ""), "line 4: apps.bot: is new and has no `url`; add it"),
        (("    events: [issue]\n", ""), "line 4: apps.bot: is new and has no `events`"),
        (("    url: ", "    url: https://a.example\n    url: "), "line 7: apps.bot.url: is written twice"),
        (("ada@acme.example", "ada"), "line 2: organizations.acme.owners[0]: is 'ada', which is no mail"),
        (("  acme:", "  Acme Inc:"), "line 2: organizations.Acme Inc: is keyed 'Acme Inc'"),
        (("[issue]", "issue"), "line 7: apps.bot.events: must be a list"),
        (("[issue]", "[[issue]]"), "line 7: apps.bot.events[0]: must be one value"),
        (("[issue]", "[~]"), "line 7: apps.bot.events[0]: is empty"),
        (("{app: bot, ", "{app: bot, status: on, "), "line 9: installations[0].status: is 'on'"),
        (("{app: bot, ", "{app: bot, events: [comment], "), "line 9: installations[0].events: lists comment"),
        (("{app: bot, ", "{app: bot, id: a b, "), "installations[0].id: is 'a b', which is no id; use 1 to 64"),
        (("{app: bot, organization: acme}", "bot"), "line 9: installations[0]: must be a mapping"),
        (("apps:\n", "apps: [\n"), "is not YAML"),
        (("bot.example/hook", "bot.example/\x07"), "is not YAML"),
        (("https://bot.example/hook", '"https://bot.example/\\u202e"'), "contains a control or invisible"),
        (("  acme:", "  <<: {}\n  acme:"), "line 2: organizations.<<: is keyed '<<'"),
        (("  acme:", "  ? [a]\n  : {}\n  acme:"), "line 1: organizations: has a key in line 2 that is no"),
    ],
)
def test_a_mistake_is_named_with_the_way_out(change: tuple[str, str], expected: str) -> None:
    assert any(expected in problem for problem in problems(SMALL.replace(*change)))


def test_an_internal_app_is_installed_only_where_it_belongs() -> None:
    text = SMALL.replace("apps:", "  other: {owners: []}\napps:").replace(
        "installations:\n", "installations:\n  - {app: bot, organization: other}\n"
    )
    assert problems(text) == [
        (
            "line 10: installations[0].organization: does not own bot, which is internal; "
            "install it where it belongs, or publish the app"
        )
    ]


def test_the_same_installation_twice_and_the_same_organisation_id_twice_are_refused() -> None:
    text = SMALL.replace("apps:", "  other: {id: acme, owners: []}\napps:")
    text += "  - {app: bot, organization: acme}\n"
    assert problems(text) == [
        "line 3: organizations.other: has the id of acme; give it its own `id`",
        (
            "line 11: installations[1]: is the same installation as in line 10; merge them, "
            "or give one its own `id`"
        ),
    ]


def test_a_hook_may_name_an_event_by_its_old_name() -> None:
    text = SMALL.replace("events: [issue]", "events: [issue.ignored]")
    desired(text.replace("{app: bot,", "{app: bot, events: [issue.archived],"))


def test_an_empty_file_and_an_empty_section_are_told_apart() -> None:
    assert problems("") == ["the file is empty; begin with infra/cli/registry/example-registry.yaml"]
    assert desired("organizations:\napps:\ninstallations:\n").specs == ()


def test_a_file_nested_beyond_reason_is_refused_without_a_traceback() -> None:
    assert problems("[" * 2000)[0].startswith("is not YAML")


def test_a_secret_is_imported_from_the_file_or_better_from_the_environment() -> None:
    secret = "0123456789abcdef01234567"
    direct = SMALL.replace("    events:", f"    secret: {secret}\n    events:")
    assert desired(direct).imports == {"bot": secret}
    named = SMALL.replace("    events:", "    secret_env: BOT\n    events:")
    assert desired(named, environ={"BOT": secret}).imports == {"bot": secret}
    assert problems(named) == [
        (
            "line 7: apps.bot.secret_env: names a variable that is not set; "
            "export it, or drop the line to have a secret made"
        )
    ]


def test_no_problem_and_no_representation_repeats_a_secret() -> None:
    secret = "sh0rt-and-secret"
    text = SMALL.replace("    events:", f"    secret: {secret}\n    secret_env: X\n    events:")
    assert secret not in "".join(problems(text))
    text = SMALL.replace("    events:", f"    secret: {secret}\n    events:")
    assert problems(text) == ["line 7: apps.bot.secret: has 16 characters; 24 to 64 are needed"]
    good = text.replace(secret, secret * 2)
    assert secret not in repr(parse(good, EndpointPolicy(), {})) + repr(desired(good))


MISTAKES = ["  acme:", "    url:", "  - app: pager", "    events: [", "    id: &a *a", "? x", "\tapps:"]
LINES = st.sampled_from([*EXAMPLE.splitlines(), *MISTAKES])


@given(st.lists(LINES, max_size=12).map("\n".join) | st.text(max_size=60))
def test_whatever_is_in_a_file_it_is_read_or_refused_with_reasons(text: str) -> None:
    try:
        desired(text)
    except RegistryFileError as error:
        refused: RegistryFileError | None = error
    else:
        refused = None
    if refused:
        assert refused.problems
        assert all(problem.message for problem in refused.problems)


@pytest.mark.parametrize(
    "owner",
    ["jörg@acme.example", "ada@acme.example\u200b", "a\u200bda@acme.example", "ada@-acme.example", "ada@1.2.3.4"],
)
def test_an_owner_to_whom_ses_would_send_nothing_is_refused(owner: str) -> None:
    [problem] = problems(f'organizations:\n  acme:\n    owners: ["{owner}", bob@acme.example]\n')
    assert "owners[0]" in problem


def test_an_owners_domain_is_registered_as_dns_knows_it() -> None:
    [spec] = desired("organizations:\n  acme: {owners: [Ada@münchen.example]}\n").specs
    assert isinstance(spec, OrganizationSpec)
    assert spec.owners == ("Ada@xn--mnchen-3ya.example",)
