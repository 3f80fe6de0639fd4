import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from bellhop.registry import App
from bellhop.secrets import SigningSecret
from infra.cli import signing_secrets
from infra.cli.commands.apply import print_plan
from infra.cli.registry import effects
from infra.cli.registry.model import InstallationSpec
from infra.cli.registry.plan import Change, Plan
from tests.unit.cli.cli_runner import EXAMPLE, CloudFormation, bellhop, refused, succeed

pytestmark = pytest.mark.usefixtures("cloudformation")


def test_apply_shows_the_plan_and_each_new_secret_in_both_forms_once() -> None:
    shown = succeed("apply", EXAMPLE, "--yes")
    assert "+ app deploy-bot" in shown
    assert "7 to create, 0 to update, 0 unchanged." in shown
    secret = SigningSecret.get("deploy-bot").secret
    assert f"classic header     {secret}\n" in shown
    assert f"Standard Webhooks  {signing_secrets.standard_form(secret)}\n" in shown
    assert shown.count("whsec_") == 2
    again = succeed("apply", EXAMPLE, "--yes")
    assert again == "0 to create, 0 to update, 7 unchanged.\n"


def test_apply_shows_a_secret_before_it_stores_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise ConnectionResetError

    monkeypatch.setattr(effects, "execute", crash)
    result = bellhop("apply", EXAMPLE, "--yes")
    assert isinstance(result.exception, ConnectionResetError)
    assert result.stdout.count("whsec_") == 2
    assert "Applied" not in result.stdout


def test_apply_without_a_terminal_writes_nothing_unless_told_yes() -> None:
    assert "add --yes" in refused("apply", EXAMPLE)
    with pytest.raises(App.DoesNotExist):
        App.get("deploy-bot")


def test_apply_as_json_without_yes_is_a_plan_without_secrets() -> None:
    result = bellhop("apply", EXAMPLE, "--json")
    assert result.exit_code == 1
    plan = json.loads(result.stdout)
    assert len(plan["changes"]) == 7
    assert plan["new_secrets"] == {}
    assert plan["stores_secrets_of"] == ["deploy-bot", "pager"]


def test_apply_as_json_with_yes_gives_the_secrets_to_the_caller() -> None:
    plan = json.loads(succeed("apply", EXAMPLE, "--yes", "--json"))
    assert plan["new_secrets"]["pager"]["classic"] == SigningSecret.get("pager").secret
    assert json.loads(succeed("apply", EXAMPLE, "--json"))["changes"] == []


def test_a_file_with_problems_gave_no_json() -> None:
    result = bellhop("apply", "-", "--json", stdin="apps:\n  a:\n    kind: odd\n")
    assert result.exit_code == 1
    problems = json.loads(result.stdout)["problems"]
    assert {"line": 3, "path": "apps.a.kind"}.items() <= next(p for p in problems if p["line"] == 3).items()
    assert "error: -: line 3: apps.a.kind: " in result.stderr


def test_a_dry_run_of_apply_shows_the_plan_and_neither_asks_nor_writes() -> None:
    shown = succeed("apply", EXAMPLE, "--dry-run")
    assert "7 to create, 0 to update, 0 unchanged.\nNothing was written.\n" in shown
    assert "whsec_" not in shown
    with pytest.raises(App.DoesNotExist):
        App.get("deploy-bot")


def test_a_plan_shows_by_what_a_new_app_is_signed_for_where_that_is_not_the_usual() -> None:
    file = (
        "organizations: {acme: {name: Acme, owners: []}}\n"
        "apps: {keyed: {name: K, organization: acme, url: 'https://k.example/', events: [issue],\n"
        "  signature: ed25519}}"
    )
    shown = succeed("apply", "-", "--dry-run", stdin=file)
    assert "+ a new signing secret (ed25519) for keyed\n" in shown
    assert "+ a new signing secret for pager\n" in succeed("apply", EXAMPLE, "--dry-run")


def test_a_dry_run_of_apply_stays_one_beside_yes_and_shows_no_secret() -> None:
    plan = json.loads(succeed("apply", EXAMPLE, "--dry-run", "--yes", "--json"))
    assert len(plan["changes"]) == 7
    assert plan["new_secrets"] == {}
    with pytest.raises(App.DoesNotExist):
        App.get("deploy-bot")


def test_a_dry_run_of_apply_fails_where_the_file_is_wrong() -> None:
    assert "is not known here" in refused("apply", "-", "--dry-run", stdin="app: {}\n")


def test_apply_shows_an_update_as_old_and_new() -> None:
    succeed("apply", EXAMPLE, "--yes")
    text = EXAMPLE.read_text().replace("hooks.pager", "new.pager").replace(", event_alert", "")
    shown = succeed("apply", "-", "--yes", stdin=text)
    assert "https://hooks.pager.example/bellhop -> https://new.pager.example/bellhop" in shown
    assert "-event_alert\n" in shown
    assert "0 to create, 2 to update, 5 unchanged." in shown


def test_apply_lists_every_problem_of_the_file() -> None:
    said = refused("apply", "-", "--yes", stdin="organizations:\n  acme: {}\napp: {}\n")
    assert said.splitlines() == [
        (
            "error: -: line 2: organizations.acme: is new and has no `owners`; "
            "list who gets mail when an app is switched off ([] for nobody)"
        ),
        (
            "error: -: line 3: app: is not known here; known are organizations, apps, installations; "
            "did you mean apps?"
        ),
    ]


def test_apply_accepts_the_urls_that_the_stack_allows(cloudformation: CloudFormation) -> None:
    local = EXAMPLE.read_text().replace("https://hooks.pager.example", "http://127.0.0.1:8080")
    assert "http is not allowed" in refused("apply", "-", "--yes", stdin=local)
    options = ("--allow-http", "--allow-private-addresses", "--any-port")
    assert "port 8080 is not allowed" in refused("apply", "-", "--yes", *options[:2], stdin=local)
    succeed("apply", "-", "--yes", *options, stdin=local)
    cloudformation.parameters |= {
        "AllowHttp": "true",
        "AllowPrivateAddresses": "true",
        "AllowedPorts": "any",
    }
    succeed("apply", "-", "--yes", stdin=local)


def test_apply_never_replaces_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    succeed("apply", EXAMPLE, "--yes")
    monkeypatch.setenv("DEPLOY_BOT_SECRET", "another-secret-of-enough-length")
    said = refused("apply", "-", "--yes", stdin=EXAMPLE.read_text().replace("# secret_env", "secret_env"))
    assert "rotate it" in said
    assert "another-secret" not in said


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert "No such file" in refused("apply", tmp_path / "absent.yaml")
    (tmp_path / "latin").write_bytes(b"\xff\xfe\x00")
    assert "is not UTF-8" in refused("publish", tmp_path / "latin")


def test_a_long_value_of_a_plan_goes_on_below_where_it_begins() -> None:
    hook = InstallationSpec("1", "i", "bot", "installed", (), None)
    fields = {"filter": (None, " ".join(["data.issue.level != 'info'"] * 6))}
    written = io.StringIO()
    plan = Plan((Change(hook, creates=True, fields=fields),), 0, {}, frozenset())
    print_plan(plan, Console(file=written, width=80))
    _, first, *others = written.getvalue().splitlines()[:-1]
    assert first.startswith("    filter          data")
    assert others
    assert all(re.match(" {20}[^ ]", other) for other in others)
