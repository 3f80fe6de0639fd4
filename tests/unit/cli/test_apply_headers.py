import json

import pytest

from bellhop.registry import App
from bellhop.secrets import SigningSecret
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


def test_headers_and_rate_are_stored_stay_without_their_lines_and_go_with_null(secret: str) -> None:
    succeed("apply", "-", "--yes", stdin=secret)
    assert SigningSecret.get("deploy-bot").headers == {"X-Source": PLAIN, "Authorization": SECRET}
    stored = App.get("deploy-bot")
    assert (stored.headers, float(stored.max_per_second)) == (None, 5)
    assert succeed("apply", "-", "--yes", stdin=secret) == "0 to create, 0 to update, 7 unchanged.\n"
    without = "\n".join(line for line in secret.splitlines() if not line.startswith(("    max_per", "      ")))
    without = without.replace("    headers:\n", "")
    assert succeed("apply", "-", "--yes", stdin=without) == "0 to create, 0 to update, 7 unchanged.\n"
    nulls = without.replace("  pager:\n", "    headers: null\n    max_per_second: null\n  pager:\n")
    shown = succeed("apply", "-", "--yes", stdin=nulls)
    assert "-X-Source, -Authorization" in shown
    assert "5 -> (not set)" in shown
    assert "Takes away from app deploy-bot: headers X-Source, Authorization; max_per_second 5\n" in shown
    stored = App.get("deploy-bot")
    assert [SigningSecret.get("deploy-bot").headers, stored.max_per_second] == [None, None]


def written_by_0_1_0(headers: dict[str, str]) -> None:
    App("deploy-bot").update(actions=[App.headers.set(headers)])


def test_headers_that_0_1_0_wrote_are_moved_by_the_next_apply_and_shown_as_moved(secret: str) -> None:
    both = {"X-Source": PLAIN, "Authorization": SECRET}
    succeed("apply", "-", "--yes", stdin=secret)
    SigningSecret("deploy-bot").update(actions=[SigningSecret.headers.remove()])
    written_by_0_1_0(both)
    assert "headers    X-Source: ****, Authorization: ****\n" in succeed("app", "deploy-bot")
    assert "headers         moved beside the signing secret" in succeed("apply", "-", "--yes", stdin=secret)
    assert (App.get("deploy-bot").headers, SigningSecret.get("deploy-bot").headers) == (None, both)
    assert succeed("apply", "-", "--yes", stdin=secret) == "0 to create, 0 to update, 7 unchanged.\n"


def test_what_0_1_0_wrote_after_a_roll_back_replaces_what_was_moved_before(secret: str) -> None:
    succeed("apply", "-", "--yes", stdin=secret)
    written_by_0_1_0({"Authorization": "of the roll-back"})
    assert "+X-Source: ****, Authorization: **** changed" in succeed("apply", "-", "--yes", stdin=secret)
    assert App.get("deploy-bot").headers is None
    assert SigningSecret.get("deploy-bot").headers == {"X-Source": PLAIN, "Authorization": SECRET}


def test_headers_of_0_1_0_that_are_removed_are_gone_from_both_places(secret: str) -> None:
    without = EXAMPLE.read_text().replace("    headers:\n" + OWN, "    headers: null\n")
    succeed("apply", "-", "--yes", stdin=without)
    written_by_0_1_0({"Authorization": SECRET})
    assert "-Authorization" in succeed("apply", "-", "--yes", stdin=without)
    assert (App.get("deploy-bot").headers, SigningSecret.get("deploy-bot").headers) == (None, None)


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
