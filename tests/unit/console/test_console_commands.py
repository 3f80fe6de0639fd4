import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest

from bellhop import attempts, outcomes
from bellhop.attempts import EXHAUSTED, PARKED, RETRYING, Attempt, NextState
from bellhop.circuits import Circuit
from bellhop.deliveries import Delivery
from bellhop.outcomes import OutcomeDelta
from bellhop.registry import App, AuditEntry
from bellhop.secrets import SigningSecret
from infra.console import apply, keys
from infra.console.text import utc
from tests.unit.console.cli_runner import CloudFormation, bellhop, refused, succeed

pytestmark = pytest.mark.usefixtures("cloudformation")

EXAMPLE = Path(apply.__file__).parent / "example-registry.yaml"
LAST = {"error": "http_410", "event_id": "e-9", "response": "gone"}


def test_apply_shows_the_plan_and_each_new_secret_in_both_forms_once() -> None:
    shown = succeed("apply", EXAMPLE, "--yes")
    assert "+ app deploy-bot" in shown
    assert "7 to create, 0 to update, 0 unchanged." in shown
    secret = SigningSecret.get("deploy-bot").secret
    assert f"classic header     {secret}\n" in shown
    assert f"Standard Webhooks  {keys.standard_form(secret)}\n" in shown
    assert shown.count("whsec_") == 2
    again = succeed("apply", EXAMPLE, "--yes")
    assert again == "0 to create, 0 to update, 7 unchanged.\n"


def test_apply_shows_a_secret_before_it_stores_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise ConnectionResetError

    monkeypatch.setattr(apply, "execute", crash)
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
            "error: -: line 2: organizations.acme: has no `owners`; "
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


def test_publish_sends_the_event_and_says_which(queue: str) -> None:
    event = {"event_id": "e-1", "type": "created", "organization_id": "4501", "issue": {"id": 1}}
    assert "issue.created" in succeed("publish", "-", stdin=json.dumps(event))
    assert json.loads(succeed("publish", "-", "--json", stdin=json.dumps([event]))) == [
        {"event_id": "e-1", "organization_id": "4501", "event": "issue.created"}
    ]
    attributes = boto3.client("sqs").get_queue_attributes(
        QueueUrl=queue, AttributeNames=["ApproximateNumberOfMessages"]
    )
    assert attributes["Attributes"]["ApproximateNumberOfMessages"] == "2"


def test_publish_refuses_all_when_one_is_malformed(queue: str) -> None:
    good = {"event_id": "e-1", "type": "created", "organization_id": "4501", "issue": {"id": 1}}
    said = refused("publish", "-", stdin=json.dumps([good, good | {"event_id": "a b"}]))
    assert "event [1]: event_id: " in said
    messages = boto3.client("sqs").receive_message(QueueUrl=queue)
    assert "Messages" not in messages


def test_log_shows_hostile_answers_as_they_are_written_and_says_how_far_it_looked() -> None:
    succeed("apply", EXAMPLE, "--yes")
    now = datetime.now(UTC)
    delivery = Delivery("msg_1", "e-1", "issue.created", "pager", "4501", "i", b"{}")
    attempt = Attempt(6, now, 31, "r", "http_500", 500, "[red]boom[/red]\x1b]0;owned\x07\nmore")
    attempts.open_record(delivery, NextState(EXHAUSTED, attempt=attempt), now)
    shown = succeed("log", "pager")
    assert "[red]boom[/red]\\x1b]0;owned\\x07" in shown
    assert "exhausted" in shown
    assert "1 attempt, all since " in shown
    read = json.loads(succeed("log", "pager", "--failures", "--since", "2h", "--json"))
    assert [entry["result"] for entry in read["attempts"]] == ["http_500"]
    assert "Others: bellhop log pager --failures --since 2h --limit 500" in succeed(
        "log", "pager", "--limit", "1", "--failures", "--since", "2h"
    )
    assert "Further back: bellhop log deploy-bot --since 1d" in succeed("log", "deploy-bot")
    assert "Further back: bellhop log deploy-bot --since 7d" in succeed("log", "deploy-bot", "--since", "2d")
    assert "Further back" not in succeed("log", "deploy-bot", "--since", "30d")


def test_log_shows_when_the_next_attempt_is_due_and_which_delivery_it_is() -> None:
    succeed("apply", EXAMPLE, "--yes")
    now = datetime.now(UTC)
    for name, wait in (("msg_1", 7_230), ("msg_2", -5)):
        delivery = Delivery(name, "e-1", "issue.created", "pager", "4501", "i", b"{}")
        failed = Attempt(1, now, 31, "r", "http_500", 500)
        attempts.open_record(delivery, NextState(RETRYING, now.timestamp() + wait, failed), now)
    second, first = (line.split() for line in succeed("log", "pager").splitlines()[1:3])
    assert first[-5:] == ["retrying", "in", "2", "h", "msg_1"]
    assert second[-3:] == ["retrying", "due", "msg_2"]
    entries = json.loads(succeed("log", "pager", "--json"))["attempts"]
    assert datetime.fromisoformat(entries[1]["due"]).timestamp() == pytest.approx(now.timestamp() + 7_230, abs=1)


def test_log_of_an_unknown_app_suggests_the_one_that_was_meant() -> None:
    succeed("apply", EXAMPLE, "--yes")
    assert refused("log", "pagr") == "error: no app 'pagr': did you mean pager? `bellhop app` lists them\n"
    assert "write 90s" in refused("log", "pager", "--since", "soon")


def test_app_lists_the_directory_and_shows_one() -> None:
    assert "Next: bellhop apply FILE" in succeed("app")
    succeed("apply", EXAMPLE, "--yes")
    assert [a["app_id"] for a in json.loads(succeed("app", "--json"))] == ["deploy-bot", "pager"]
    assert "Deploy Bot" in succeed("app")
    _count_and_disable()
    shown = succeed("app", "deploy-bot")
    for part in (
        "disabled (generation 2)",
        "all",
        "rule fatal",
        "1 sent, 1 unknown",
        "http_410, event e-9: gone",
        "00000001#disabled",
    ):
        assert part in shown
    assert "Next: bellhop explain deploy-bot, bellhop log deploy-bot --failures" in shown


def test_app_as_json_has_its_days_hooks_and_audit() -> None:
    succeed("apply", EXAMPLE, "--yes")
    _count_and_disable()
    view = json.loads(succeed("app", "deploy-bot", "--json"))
    (day,) = view["days"]["4501"]
    assert (day["success"], day["error"], day["fatal"]) == (3, 1, 0)
    assert view["installations"][0]["projects"] is None
    (entry,) = view["audit"]
    assert entry["mails"] == {"ada@acme.example": "sent", "grace@acme.example": "unknown"}
    assert "secret" not in view


def test_app_shows_its_gate() -> None:
    succeed("apply", EXAMPLE, "--yes")
    assert "gate    open" in succeed("app", "pager")
    now = datetime.now(UTC).timestamp()
    Circuit("pager", generation=1, paused_since=now - 60, next_trial_at=now - 1).save()
    shown = succeed("app", "pager")
    assert f"gate    paused since {utc(datetime.fromtimestamp(now - 60, UTC))} UTC, next probe 20" in shown
    Circuit(
        "pager",
        generation=1,
        paused_since=now - 60,
        next_trial_at=now - 1,
        trial_lease="w",
        trial_lease_until=now + 60,
    ).save()
    assert ", being probed now\n" in succeed("app", "pager")
    Circuit("pager", closed_at=now - 20).save()
    assert re.search(r"starting slowly since .* UTC, 4\.\d deliveries a second now", succeed("app", "pager"))
    gate = json.loads(succeed("app", "pager", "--json"))["gate"]
    assert gate["paused_since"] is None
    assert gate["closed_at"].startswith("20")
    assert gate["slow_start_per_second"] == pytest.approx(4, abs=1)
    Circuit("pager", closed_at=now - 600).save()
    assert "gate    open" in succeed("app", "pager")
    Circuit("pager", generation=0, paused_since=now - 60, next_trial_at=now).save()
    assert "gate    open" in succeed("app", "pager")
    assert json.loads(succeed("app", "pager", "--json"))["gate"]["next_trial_at"] is None


def test_app_shows_what_is_kept_and_whether_it_comes_back_by_itself() -> None:
    succeed("apply", EXAMPLE, "--yes")
    assert "kept    none" in succeed("app", "pager")
    assert "auto_enable" not in succeed("app", "pager")
    now = datetime.now(UTC)
    for number, state in enumerate((PARKED, PARKED, EXHAUSTED)):
        attempts.open_record(
            Delivery(f"msg_{number}", "e", "issue.created", "pager", "4501", "i", b"{}"), NextState(state), now
        )
    assert "kept    2 parked, 1 exhausted" in succeed("app", "pager")
    view = json.loads(succeed("app", "pager", "--json"))
    assert view["held"] == {"parked": 2, "exhausted": 1, "complete": True}
    assert "(auto_enable)" in succeed("app", "deploy-bot")
    assert json.loads(succeed("app", "deploy-bot", "--json"))["auto_enable"] is True


def _count_and_disable() -> None:
    today = datetime.now(UTC).date()
    for generation, day in ((1, today), (2, today), (2, today - timedelta(days=8))):
        outcomes.add(OutcomeDelta("deploy-bot", "4501", generation, day, success=3, error=1), lambda _: None)
    App("deploy-bot").update(actions=[App.state.set("disabled"), App.generation.set(2)])
    AuditEntry(
        "deploy-bot",
        "00000001#disabled",
        organization_id="4501",
        action="app.disabled",
        actor="health",
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        evidence={"rule": "fatal", "last_failure": LAST},
        mails={"ada@acme.example": "sent", "grace@acme.example": "unknown"},
    ).save()


def test_a_stack_that_is_not_there_or_not_ready_is_an_error_with_the_way_out(
    cloudformation: CloudFormation,
) -> None:
    assert "no stack 'other' at region eu-west-1: deploy it with `make deploy`" in refused(
        "app", "--stack", "other"
    )
    del cloudformation.outputs["AuditTable"]
    assert "has no output AuditTable" in refused("app")


def test_help_says_that_nothing_is_deleted() -> None:
    assert "Never" in succeed("apply", "--help")
    assert "deletes" in succeed("apply", "--help")
