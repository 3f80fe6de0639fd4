"""OAuth2 credentials of an app, from the file to what deliver reads."""

import json
from typing import Any

import pytest

from bellhop.registry import App
from bellhop.secrets import SigningSecret
from infra.cli.registry import effects
from tests.unit.cli.cli_runner import EXAMPLE, bellhop, succeed

SECRET = "client-secret-of-bot"
HEADERS = "    headers:\n"
OAUTH2 = (
    "    oauth2: {token_url: https://login.initech.example/token, client_id: bot,"
    " client_secret: {env: CLIENT_SECRET}, scope: hooks}\n"
)


@pytest.fixture
def text(cloudformation: object, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("CLIENT_SECRET", SECRET)
    return EXAMPLE.read_text().replace(HEADERS, OAUTH2 + HEADERS)


def stored() -> dict[str, str] | None:
    found: dict[str, str] | None = SigningSecret.get("deploy-bot").oauth2
    return found


def test_credentials_are_stored_with_the_secrets_alone_stay_without_their_line_and_go_with_null(text: str) -> None:
    succeed("apply", "-", "--yes", stdin=text)
    assert stored() == {
        "token_url": "https://login.initech.example/token",
        "client_id": "bot",
        "client_secret": SECRET,
        "scope": "hooks",
    }
    assert SECRET not in repr(App.get("deploy-bot").attribute_values)
    nothing = "0 to create, 0 to update, 7 unchanged.\n"
    assert succeed("apply", "-", "--yes", stdin=text) == nothing
    assert succeed("apply", "-", "--yes", stdin=EXAMPLE.read_text()) == nothing
    shown = succeed("apply", "-", "--yes", stdin=text.replace(OAUTH2, "    oauth2: null\n"))
    assert "oauth2          -token_url, -client_id, -client_secret, -scope\n" in shown
    assert "Takes away from app deploy-bot: oauth2 token_url, client_id, client_secret, scope\n" in shown
    assert stored() is None


def test_credentials_and_headers_change_together(text: str) -> None:
    succeed("apply", "-", "--yes", stdin=EXAMPLE.read_text())
    succeed("apply", "-", "--yes", stdin=text.replace("X-Source: bellhop", "X-Source: new"))
    row = SigningSecret.get("deploy-bot")
    assert (row.headers, row.oauth2["client_secret"]) == ({"X-Source": "new"}, SECRET)


def test_credentials_that_somebody_changed_since_the_plan_are_left(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    succeed("apply", "-", "--yes", stdin=text)
    theirs = stored() or {}
    execute = effects.execute

    def meanwhile(*args: Any) -> None:
        SigningSecret("deploy-bot").update(actions=[SigningSecret.oauth2.set(theirs | {"scope": "theirs"})])
        execute(*args)

    monkeypatch.setattr(effects, "execute", meanwhile)
    result = bellhop("apply", "-", "--yes", stdin=text.replace("scope: hooks", "scope: ours"))
    assert result.exit_code == 1
    assert "changed meanwhile by somebody else" in result.stderr
    assert stored() == theirs | {"scope": "theirs"}


def test_no_output_ever_shows_the_secret(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = bellhop("apply", "-", "--json", stdin=text).output
    shown += succeed("apply", "-", "--yes", stdin=text)
    shown += succeed("app", "deploy-bot") + succeed("app", "deploy-bot", "--json") + succeed("export")
    monkeypatch.setenv("CLIENT_SECRET", SECRET[::-1])
    shown += bellhop("apply", "-", "--json", stdin=text).output
    changed = succeed("apply", "-", "--yes", stdin=text)
    assert "oauth2          client_secret: **** changed\n" in changed
    assert not any(secret in shown + changed for secret in (SECRET, SECRET[::-1]))


def test_a_plan_as_json_names_the_key_that_changes(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    succeed("apply", "-", "--yes", stdin=text)
    monkeypatch.setenv("CLIENT_SECRET", SECRET[::-1])
    (change,) = json.loads(bellhop("apply", "-", "--json", stdin=text).stdout)["changes"]
    masked = {**(stored() or {}), "client_secret": "****"}
    assert change["fields"] == {"oauth2": {"old": masked, "new": masked, "changed": ["client_secret"]}}


def test_the_app_shows_its_credentials_without_the_secret(text: str) -> None:
    succeed("apply", "-", "--yes", stdin=text)
    line = "token_url: https://login.initech.example/token, client_id: bot, client_secret: ****, scope: hooks"
    assert f"oauth2     {line}\n" in succeed("app", "deploy-bot")
    assert json.loads(succeed("app", "deploy-bot", "--json"))["oauth2"]["client_secret"] == "****"
