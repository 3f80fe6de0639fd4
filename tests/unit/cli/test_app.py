import io
import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from bellhop import attempts, outcomes
from bellhop.attempts import EXHAUSTED, PARKED, NextState
from bellhop.circuits import Circuit
from bellhop.deliveries import Delivery
from bellhop.outcomes import OutcomeDelta
from bellhop.registry import App, AuditEntry
from bellhop.secrets import SigningSecret
from infra.cli.commands.app import _print_installations
from infra.cli.text import utc
from tests.support.fakes import installation
from tests.unit.cli.cli_runner import EXAMPLE, succeed

pytestmark = pytest.mark.usefixtures("cloudformation")

LAST = {"error": "http_410", "event_id": "e-9", "response": "gone"}


def test_app_shows_its_state_days_and_transitions() -> None:
    succeed("apply", EXAMPLE, "--yes")
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
    assert "Next: bellhop explain deploy-bot; bellhop log deploy-bot --failures" in shown


def test_app_as_json_has_its_days_hooks_and_audit() -> None:
    succeed("apply", EXAMPLE, "--yes")
    _count_and_disable()
    view = json.loads(succeed("app", "deploy-bot", "--json"))
    (day,) = view["days"]["4501"]
    assert (day["success"], day["error"], day["fatal"]) == (3, 1, 0)
    assert view["installations"][0]["projects"] is None
    assert view["installations"][0]["filter"] is None
    entry, registered = view["audit"]
    assert registered["action"] == "app.registered"
    assert entry["mails"] == {"ada@acme.example": "sent", "grace@acme.example": "unknown"}
    assert "secret" not in view


def test_app_says_that_a_signing_secret_is_missing_and_what_makes_one() -> None:
    succeed("apply", EXAMPLE, "--yes")
    assert "signing secret" not in succeed("app", "deploy-bot")
    SigningSecret("deploy-bot").delete()
    assert "secret     none, so nothing is delivered: `bellhop apply FILE` makes one" in succeed(
        "app", "deploy-bot"
    )
    assert json.loads(succeed("app", "deploy-bot", "--json"))["has_secret"] is False


def test_app_shows_the_filter_of_each_hook() -> None:
    succeed("apply", EXAMPLE, "--yes")
    assert re.search(
        r"^    filter     of [0-9a-f-]+: data\.issue\.level != 'info'$", succeed("app", "pager"), re.MULTILINE
    )
    filters = {each["filter"] for each in json.loads(succeed("app", "pager", "--json"))["installations"]}
    assert filters == {None, "data.issue.level != 'info'"}


def test_a_long_filter_is_wrapped_between_words_below_where_it_begins() -> None:
    words = [f"data.issue.level != '{n}-of-a-long-expression' &&" for n in range(6)]
    hook = installation(filter=" ".join([*words, "`true`"]))
    written = io.StringIO()
    _print_installations([hook], Console(file=written, width=80))
    first, *others = written.getvalue().partition("    filter     ")[2].splitlines()
    assert first.startswith(f"of {hook.installation_id}: data.issue.level")
    assert others
    assert all(re.match(" {15}[^ ]", other) for other in others)
    assert " ".join([first.split(": ")[1], *map(str.strip, others)]) == hook.filter


def test_app_shows_its_transform() -> None:
    succeed("apply", EXAMPLE, "--yes")
    assert json.loads(succeed("app", "pager", "--json"))["transform"] is None
    App("pager").update(actions=[App.transform.set("{a: action}")])
    assert "transform  {a: action}" in succeed("app", "pager")
    assert json.loads(succeed("app", "pager", "--json"))["transform"] == "{a: action}"


def test_app_shows_whether_it_is_paused() -> None:
    succeed("apply", EXAMPLE, "--yes")
    assert "circuit    closed" in succeed("app", "pager")
    now = datetime.now(UTC).timestamp()
    Circuit("pager", generation=1, paused_since=now - 60, next_trial_at=now - 1).save()
    shown = succeed("app", "pager")
    assert f"circuit    paused since {utc(datetime.fromtimestamp(now - 60, UTC))} UTC (1 min" in shown
    assert "; the next trial is due\n" in shown
    Circuit(
        "pager",
        generation=1,
        paused_since=now - 60,
        next_trial_at=now - 1,
        trial_lease="w",
        trial_lease_until=now + 60,
    ).save()
    assert "; a trial is under way\n" in succeed("app", "pager")
    Circuit("pager", generation=1, closed_at=now - 20).save()
    assert re.search(r"starting slowly since .* UTC, 4\.\d deliveries a second now", succeed("app", "pager"))
    circuit = json.loads(succeed("app", "pager", "--json"))["circuit"]
    assert circuit["paused_since"] is None
    assert circuit["closed_at"].startswith("20")
    assert circuit["slow_start_per_second"] == pytest.approx(4, abs=1)
    Circuit("pager", generation=1, closed_at=now - 600).save()
    assert "circuit    closed" in succeed("app", "pager")
    Circuit("pager", generation=0, paused_since=now - 60, next_trial_at=now).save()
    assert "circuit    closed" in succeed("app", "pager")
    assert json.loads(succeed("app", "pager", "--json"))["circuit"]["next_trial_at"] is None


def test_app_shows_what_can_be_replayed_and_whether_it_comes_back_by_itself() -> None:
    succeed("apply", EXAMPLE, "--yes")
    assert "replayable none" in succeed("app", "pager")
    assert "auto_enable" not in succeed("app", "pager")
    now = datetime.now(UTC)
    for number, state in enumerate((PARKED, PARKED, EXHAUSTED)):
        attempts.open_record(
            Delivery(f"msg_{number}", "e", "issue.created", "pager", "4501", "i", b"{}"), NextState(state), now
        )
    assert "replayable 2 parked, 1 exhausted" in succeed("app", "pager")
    view = json.loads(succeed("app", "pager", "--json"))
    assert view["replayable"] == {"parked": 2, "exhausted": 1, "complete": True}
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
