"""OAuth2 credentials in a registry file: what is asked for of them, and what is laid over what is stored."""

from dataclasses import replace

import pytest

from infra.cli.registry.document import RegistryFileError
from infra.cli.registry.model import AppSpec
from infra.cli.registry.plan import change_of
from infra.cli.registry.secret_values import OAUTH2, difference
from tests.unit.cli.registry.in_memory import InMemory, desired

SECRET = "hunter2-hunter2"
STORED = {"token_url": "https://login.example/token", "client_id": "bot", "client_secret": "stored-secret"}
BOT = AppSpec("bot", "Bot", "published", None, "https://bot.example/hook", ("issue.created",))
WITH = replace(BOT, oauth2=STORED)
WHOLE = "token_url: https://login.example/token, client_id: bot, client_secret: {env: CLIENT_SECRET}"


def spec(credentials: str, stored: AppSpec = BOT, **environ: str) -> AppSpec:
    text = f"apps:\n  bot: {{oauth2: {credentials}}}\n"
    [found] = desired(text, InMemory((stored,), {"bot": "k" * 64}), environ).specs
    assert isinstance(found, AppSpec)
    return found


def problems(credentials: str, stored: AppSpec = BOT, **environ: str) -> list[str]:
    with pytest.raises(RegistryFileError) as caught:
        spec(credentials, stored, **environ)
    return [str(problem).removeprefix("line 2: apps.bot.") for problem in caught.value.problems]


def test_credentials_stand_in_the_file_and_their_secret_in_the_environment() -> None:
    whole = f"{{{WHOLE}, scope: a b, audience: https://api.example, authentication: body}}"
    more = {"scope": "a b", "audience": "https://api.example", "authentication": "body"}
    assert spec(whole, CLIENT_SECRET=SECRET).oauth2 == STORED | {"client_secret": SECRET} | more


def test_a_key_that_is_not_named_stays_and_null_removes_it() -> None:
    scoped = replace(BOT, oauth2=STORED | {"scope": "a"})
    assert spec("{audience: b}", scoped).oauth2 == STORED | {"scope": "a", "audience": "b"}
    assert spec("{scope: null}", scoped).oauth2 == STORED
    assert spec("null", scoped).oauth2 is None
    assert spec("{}", scoped).oauth2 == scoped.oauth2


def test_a_secret_whose_variable_is_not_set_stays_as_it_is_stored() -> None:
    assert spec(f"{{{WHOLE}}}", WITH).oauth2 == STORED
    assert problems(f"{{{WHOLE}}}") == [
        "oauth2.client_secret: names a variable that is not set or empty, and no secret is stored; export it"
    ]


def test_what_is_missing_is_named() -> None:
    assert problems("{scope: a}") == [
        f"oauth2: has no `{name}`; add it" for name in ("client_id", "client_secret", "token_url")
    ]
    assert len(problems("{}")) == 3


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("token_url: http://login.example/", "oauth2.token_url: http is not allowed"),
        ("token_url: https://10.0.0.1/", "oauth2.token_url: 10.0.0.1 is not a public address"),
        ("token_url: https://login.example:8443/", "oauth2.token_url: port 8443 is not allowed"),
        ("token_url: https://me:pw@login.example/", "oauth2.token_url: contains a user or password"),
        ("token_url: null", "oauth2.token_url: is empty"),
        ("client_id: ünïcode", "oauth2.client_id: is 'ünïcode', which has characters that no client id has"),
        ("client_secret: null", "oauth2.client_secret: is empty"),
        ("client_secret: hunter2", "oauth2.client_secret: is not 8 to 1,024 characters of printable ASCII"),
        (
            "client_secret: hunter2-hunter2ä",
            "oauth2.client_secret: is not 8 to 1,024 characters of printable ASCII",
        ),
        ("client_secret: {hunter2: a}", "oauth2.client_secret: must be one value, or {env: NAME}"),
        ("client_secret: [hunter2]", "oauth2.client_secret: must be one value"),
        (f"client_secret: {'hunter2' * 200}", "oauth2.client_secret: has 1,400 characters; at most 1,024"),
        ('scope: " a"', "oauth2.scope: is ' a', which has characters that cannot be sent"),
        ("authentication: jwt", "oauth2.authentication: is 'jwt', which is none of basic, body"),
        ("token: a", "oauth2.token: is not known here; known are token_url, client_id, client_secret, scope,"),
    ],
)
def test_what_cannot_work_is_refused_with_the_reason_and_without_the_secret(line: str, expected: str) -> None:
    [said] = problems(f"{{{line}}}", WITH)
    assert said.startswith(expected)
    assert "hunter2" not in said


@pytest.mark.parametrize("value", ["short", "hunter2-hunter2\r\nHost: evil", " hunter2-hunter2", "hunter2" * 200])
def test_a_secret_of_the_environment_is_judged_likewise(value: str) -> None:
    [said] = problems(f"{{{WHOLE}}}", CLIENT_SECRET=value)
    assert "is not 8 to 1,024 characters" in said
    assert "hunter2" not in said


def test_a_header_that_the_token_would_replace_is_refused_whichever_comes_later() -> None:
    said = "oauth2: sends a token in the header Authorization, which the app has too; remove the header by null"
    assert problems(f"{{{WHOLE}}}", replace(BOT, headers={"authorization": "a"}), CLIENT_SECRET=SECRET) == [said]
    stored = InMemory((WITH,), {"bot": "k" * 64})
    with pytest.raises(RegistryFileError, match="sends a token in the header Authorization"):
        desired("apps:\n  bot: {headers: {AUTHORIZATION: a}}\n", stored)


def test_a_plan_shows_what_changes_but_never_the_secret() -> None:
    changed = STORED | {"client_secret": SECRET, "client_id": "b2", "scope": "a"}
    assert difference(OAUTH2, STORED, changed) == "+scope: a, client_id: bot -> b2, client_secret: **** changed"
    assert difference(OAUTH2, changed, STORED) == "-scope, client_id: b2 -> bot, client_secret: **** changed"
    assert difference(OAUTH2, None, STORED) == (
        "+token_url: https://login.example/token, +client_id: bot, +client_secret: ****"
    )


def test_what_takes_credentials_away_says_so_without_the_secret() -> None:
    change = change_of(BOT, WITH)
    assert change
    assert change.takes_away == ["oauth2 token_url, client_id, client_secret"]
    assert "stored-secret" not in repr(change)
