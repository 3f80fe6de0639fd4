import json

import pytest

from bellhop.registry import App
from tests.unit.cli.cli_runner import EXAMPLE, bellhop, succeed

OWN = "      X-Source: bellhop\n"
SECRET = "Bearer hunter2hunter2"
PLAIN = "not-a-secret-either"


def with_headers(lines: str) -> str:
    return EXAMPLE.read_text().replace(OWN, "".join(f"      {line}\n" for line in lines.splitlines()))


@pytest.fixture
def secret(cloudformation: object, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("TOKEN", SECRET)
    return with_headers(f"X-Source: {PLAIN}\nAuthorization: {{env: TOKEN}}")


def test_headers_and_rate_are_stored_and_go_with_their_lines(secret: str) -> None:
    succeed("apply", "-", "--yes", stdin=secret)
    stored = App.get("deploy-bot")
    assert stored.headers == {"X-Source": PLAIN, "Authorization": SECRET}
    assert float(stored.max_per_second) == 5
    assert succeed("apply", "-", "--yes", stdin=secret) == "0 to create, 0 to update, 7 unchanged.\n"
    without = "\n".join(line for line in secret.splitlines() if not line.startswith(("    max_per", "      ")))
    without = without.replace("    headers:\n", "")
    shown = succeed("apply", "-", "--yes", stdin=without)
    assert "-X-Source, -Authorization" in shown
    assert "5 -> (not set)" in shown
    stored = App.get("deploy-bot")
    assert [stored.headers, stored.max_per_second] == [None, None]


def test_no_output_ever_shows_a_value(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = bellhop("apply", "-", "--json", stdin=secret).output
    shown += succeed("apply", "-", "--yes", stdin=secret)
    shown += succeed("app", "deploy-bot") + succeed("app", "deploy-bot", "--json")
    monkeypatch.setenv("TOKEN", SECRET[::-1])
    shown += bellhop("apply", "-", "--json", stdin=secret).output
    changed = succeed("apply", "-", "--yes", stdin=secret)
    assert "headers         Authorization: **** changed\n" in changed
    assert "X-Source" not in changed
    assert not any(text in shown + changed for text in (SECRET, SECRET[::-1], PLAIN))


def test_a_plan_as_json_names_the_header_whose_value_changes(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    succeed("apply", "-", "--yes", stdin=secret)
    monkeypatch.setenv("TOKEN", "another")
    (change,) = json.loads(bellhop("apply", "-", "--json", stdin=secret).stdout)["changes"]
    masked = {"X-Source": "****", "Authorization": "****"}
    assert change["fields"] == {"headers": {"old": masked, "new": masked, "changed": ["Authorization"]}}


def test_the_app_shows_which_headers_it_has_and_its_rate(secret: str) -> None:
    succeed("apply", "-", "--yes", stdin=secret)
    shown = succeed("app", "deploy-bot")
    assert "headers    X-Source: ****, Authorization: ****\n" in shown
    assert "rate       at most 5 a second\n" in shown
    view = json.loads(succeed("app", "deploy-bot", "--json"))
    assert view["headers"] == {"X-Source": "****", "Authorization": "****"}
    assert view["max_per_second"] == 5
