from typing import Any

import pytest
from pynamodb.connection import Connection

from bellhop import tables
from bellhop.registry import App, Installation, Organization
from bellhop.secrets import SigningSecret
from deliver.http.guard import EndpointPolicy
from infra.cli.registry import effects
from infra.cli.registry.effects import ChangedMeanwhileError
from infra.cli.registry.loading import parse
from infra.cli.registry.plan import Plan
from tests.unit.cli import cli_runner

EXAMPLE = cli_runner.EXAMPLE.read_text()
IMPORTED = "0123456789abcdef0123456789abcdef"


def prepare(text: str, environ: dict[str, str] | None = None) -> Plan:
    return effects.prepare(parse(text, EndpointPolicy(), environ or {}))


@pytest.fixture
def connection(aws: None) -> Connection:
    connection = tables.connect(retries=0)
    models = (Organization, App, Installation, SigningSecret)
    tables.bind(connection, {model: model.Meta.table_name for model in models})
    return connection


def _client(connection: Connection) -> Any:
    return connection.client  # which has every operation, unlike its type


def raw(connection: Connection, table: str, **key: str) -> dict[str, Any]:
    found = _client(connection).get_item(TableName=table, Key={name: {"S": value} for name, value in key.items()})
    return dict(found["Item"])


def test_applying_the_example_registers_it_and_a_second_time_writes_nothing(connection: Connection) -> None:
    plan = prepare(EXAMPLE)
    effects.execute(plan, connection)
    bot = App.get("deploy-bot")
    assert (bot.state, int(bot.generation), bot.kind, bot.organization_id) == ("enabled", 1, "internal", "4501")
    assert len(bot.uuid) == 36
    assert SigningSecret.get("deploy-bot").secret == plan.secrets["deploy-bot"]
    assert Organization.get("4501").owners == ["ada@acme.example", "grace@acme.example"]
    hooks = {(i.organization_id, i.app_id): i for i in Installation.scan()}
    projects = {key: hook.projects for key, hook in hooks.items()}
    assert [projects["4501", "deploy-bot"]] == [None]
    assert projects["4501", "pager"] == ["frontend", "17"]
    assert hooks["globex", "pager"].status == "uninstalled"
    again = prepare(EXAMPLE)
    assert again.empty
    assert again.unchanged == 7


def test_an_update_leaves_state_generation_and_unknown_attributes_alone(connection: Connection) -> None:
    effects.execute(prepare(EXAMPLE), connection)
    _client(connection).update_item(
        TableName="apps",
        Key={"app_id": {"S": "pager"}},
        UpdateExpression="SET #s = :s, generation = :e, custom_headers = :h",
        ExpressionAttributeNames={"#s": "state"},
        ExpressionAttributeValues={":s": {"S": "disabled"}, ":e": {"N": "7"}, ":h": {"S": "kept"}},
    )
    before = raw(connection, "apps", app_id="pager")
    effects.execute(prepare(EXAMPLE.replace("hooks.pager.example", "new.pager.example")), connection)
    after = raw(connection, "apps", app_id="pager")
    assert after.pop("url") == {"S": "https://new.pager.example/bellhop"}
    before.pop("url")
    assert after == before


def test_a_field_that_is_dropped_from_the_file_goes_back_to_its_default(connection: Connection) -> None:
    effects.execute(prepare(EXAMPLE), connection)
    line = "    projects: [frontend, 17]"
    effects.execute(prepare(EXAMPLE.replace(line, "    #")), connection)
    assert all(hook.projects is None for hook in Installation.scan())
    assert prepare(EXAMPLE.replace(line, "    #")).empty


def test_a_hook_without_a_list_of_its_own_follows_its_apps_events(connection: Connection) -> None:
    effects.execute(prepare(EXAMPLE), connection)
    for listed, events in (("[issue.resolved, error]", ["issue.resolved", "error.created"]), ("[]", [])):
        effects.execute(prepare(EXAMPLE.replace("[issue, comment.created]", listed)), connection)
        assert App.get("deploy-bot").events == events
        assert [hook.events for hook in Installation.scan() if hook.app_id == "deploy-bot"] == [events]


def test_a_hook_with_a_list_of_its_own_keeps_it_when_its_app_lists_more(connection: Connection) -> None:
    effects.execute(prepare(EXAMPLE), connection)
    own = {i.organization_id: i.events for i in Installation.scan() if i.app_id == "pager"}
    more = EXAMPLE.replace("[issue, event_alert, metric_alert]", "[issue, error, event_alert, metric_alert]")
    effects.execute(prepare(more), connection)
    now = {i.organization_id: i.events for i in Installation.scan() if i.app_id == "pager"}
    assert now["4501"] == own["4501"]
    assert now["globex"] == App.get("pager").events != own["globex"]


def test_an_organisation_from_before_there_were_warnings_can_decline_them(connection: Connection) -> None:
    effects.execute(prepare(EXAMPLE), connection)
    _client(connection).update_item(
        TableName="organizations", Key={"organization_id": {"S": "4501"}}, UpdateExpression="REMOVE warnings"
    )
    assert prepare(EXAMPLE).empty
    effects.execute(prepare(EXAMPLE.replace("warnings: true", "warnings: false")), connection)
    assert Organization.get("4501").warnings is False
    stale = prepare(EXAMPLE)
    effects.execute(prepare(EXAMPLE), connection)
    with pytest.raises(ChangedMeanwhileError):
        effects.execute(stale, connection)


def test_an_app_that_no_longer_asks_to_be_switched_on_again_has_no_such_mark(connection: Connection) -> None:
    effects.execute(prepare(EXAMPLE), connection)
    assert App.get("deploy-bot").auto_enable is True
    effects.execute(prepare(EXAMPLE.replace("auto_enable: true", "auto_enable: false")), connection)
    assert "auto_enable" not in raw(connection, "apps", app_id="deploy-bot")


def test_what_leaves_the_file_stays_on_the_stack(connection: Connection) -> None:
    effects.execute(prepare(EXAMPLE), connection)
    effects.execute(prepare("organizations:\n  acme: {id: 4501, owners: []}\n"), connection)
    assert App.get("pager").app_id == "pager"
    assert Organization.get("4501").owners == []


def test_an_imported_secret_is_stored_and_neither_shown_nor_replaced(connection: Connection) -> None:
    text = EXAMPLE.replace("# secret_env", "secret_env")
    plan = prepare(text, {"DEPLOY_BOT_SECRET": IMPORTED})
    effects.execute(plan, connection)
    assert "deploy-bot" not in plan.generated
    assert SigningSecret.get("deploy-bot").secret == IMPORTED
    assert prepare(text, {"DEPLOY_BOT_SECRET": IMPORTED}).empty
    assert prepare(EXAMPLE).empty


def test_an_app_without_a_secret_gets_one(connection: Connection) -> None:
    effects.execute(prepare(EXAMPLE), connection)
    SigningSecret.get("pager").delete()
    plan = prepare(EXAMPLE)
    effects.execute(plan, connection)
    assert plan.generated == {"pager"}
    assert SigningSecret.get("pager").secret == plan.secrets["pager"]


def test_what_another_operator_wrote_meanwhile_is_not_overwritten(connection: Connection) -> None:
    effects.execute(prepare(EXAMPLE), connection)
    plan = prepare(EXAMPLE.replace("hooks.pager.example", "mine.pager.example"))
    App("pager").update(actions=[App.url.set("https://theirs.pager.example/")])
    with pytest.raises(ChangedMeanwhileError, match="app pager was changed meanwhile"):
        effects.execute(plan, connection)
    assert App.get("pager").url == "https://theirs.pager.example/"


def test_two_first_runs_at_once_leave_one_secret_and_one_error(connection: Connection) -> None:
    mine, theirs = prepare(EXAMPLE), prepare(EXAMPLE)
    effects.execute(theirs, connection)
    with pytest.raises(ChangedMeanwhileError):
        effects.execute(mine, connection)
    assert SigningSecret.get("pager").secret == theirs.secrets["pager"]


def test_an_app_is_never_without_its_secret_however_the_run_ends(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = prepare(EXAMPLE)
    SigningSecret("pager", secret=IMPORTED).save()
    with pytest.raises(ChangedMeanwhileError):
        effects.execute(plan, connection)
    assert SigningSecret.get("deploy-bot").secret == plan.secrets["deploy-bot"]
    with pytest.raises(App.DoesNotExist):
        App.get("pager")
    rest = prepare(EXAMPLE)
    effects.execute(rest, connection)
    assert SigningSecret.get("pager").secret == IMPORTED
    assert prepare(EXAMPLE).empty
