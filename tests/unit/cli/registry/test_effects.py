from typing import Any

import pytest
from pynamodb.connection import Connection

from bellhop import tables
from bellhop.registry import App, AuditEntry, Installation, Organization
from bellhop.secrets import SigningSecret
from deliver.http.guard import EndpointPolicy
from health import transitions
from health.messages import FollowUp
from health.transitions import TransitionDependencies
from infra.cli.registry import effects
from infra.cli.registry.document import RegistryFileError
from infra.cli.registry.effects import ChangedMeanwhileError
from infra.cli.registry.loading import parse
from infra.cli.registry.plan import Plan
from tests.support.fakes import NOW, Recorder
from tests.unit.cli import cli_runner

EXAMPLE = cli_runner.EXAMPLE.read_text()
IMPORTED = "0123456789abcdef0123456789abcdef"


def prepare(text: str, environ: dict[str, str] | None = None) -> Plan:
    return effects.prepare(parse(text, EndpointPolicy(), environ or {}))


@pytest.fixture
def connection(aws: None) -> Connection:
    connection = tables.connect(retries=0)
    models = (Organization, App, Installation, SigningSecret, AuditEntry)
    tables.bind(connection, {model: model.Meta.table_name for model in models})
    return connection


def execute(plan: Plan, connection: Connection, announced: list[FollowUp] | None = None) -> None:
    announce = ([] if announced is None else announced).append
    deps = TransitionDependencies(connection, announce, Recorder(), lambda: NOW)
    effects.execute(plan, deps, "operator:ann")


def _client(connection: Connection) -> Any:
    return connection.client  # which has every operation, unlike its type


def raw(connection: Connection, table: str, **key: str) -> dict[str, Any]:
    found = _client(connection).get_item(TableName=table, Key={name: {"S": value} for name, value in key.items()})
    return dict(found["Item"])


def test_applying_the_example_registers_it_and_a_second_time_writes_nothing(connection: Connection) -> None:
    plan = prepare(EXAMPLE)
    execute(plan, connection)
    bot = App.get("deploy-bot")
    assert (bot.state, int(bot.generation), bot.kind, bot.organization_id) == ("enabled", 1, "internal", "4501")
    assert len(bot.uuid) == 36
    assert SigningSecret.get("deploy-bot").secret == plan.secrets["deploy-bot"]
    assert Organization.get("4501").owners == ["ada@initech.example", "grace@initech.example"]
    hooks = {(i.organization_id, i.app_id): i for i in Installation.scan()}
    projects = {key: hook.projects for key, hook in hooks.items()}
    assert [projects["4501", "deploy-bot"]] == [None]
    assert projects["4501", "pager"] == ["frontend", "17"]
    assert hooks["globex", "pager"].status == "uninstalled"
    again = prepare(EXAMPLE)
    assert again.empty
    assert again.unchanged == 7


def test_an_update_leaves_state_generation_and_unknown_attributes_alone(connection: Connection) -> None:
    execute(prepare(EXAMPLE), connection)
    _client(connection).update_item(
        TableName="apps",
        Key={"app_id": {"S": "pager"}},
        UpdateExpression="SET #s = :s, generation = :e, custom_headers = :h",
        ExpressionAttributeNames={"#s": "state"},
        ExpressionAttributeValues={":s": {"S": "disabled"}, ":e": {"N": "7"}, ":h": {"S": "kept"}},
    )
    before = raw(connection, "apps", app_id="pager")
    execute(prepare(EXAMPLE.replace("hooks.pager.example", "new.pager.example")), connection)
    after = raw(connection, "apps", app_id="pager")
    assert after.pop("url") == {"S": "https://new.pager.example/bellhop"}
    before.pop("url")
    assert after == before


def test_a_key_that_is_dropped_from_the_file_stays_as_it_is_and_null_sets_it_to_its_default(
    connection: Connection,
) -> None:
    execute(prepare(EXAMPLE), connection)
    line = "    projects: [frontend, 17]"
    assert prepare(EXAMPLE.replace(line, "    #")).empty
    execute(prepare(EXAMPLE.replace(line, "    projects: null #")), connection)
    assert all(hook.projects is None for hook in Installation.scan())


def test_a_hook_without_a_list_of_its_own_follows_its_apps_events(connection: Connection) -> None:
    execute(prepare(EXAMPLE), connection)
    for listed, events in (("[issue.resolved, error]", ["issue.resolved", "error.created"]), ("[]", [])):
        execute(prepare(EXAMPLE.replace("[issue, comment.created]", listed)), connection)
        assert App.get("deploy-bot").events == events
        assert [hook.events for hook in Installation.scan() if hook.app_id == "deploy-bot"] == [events]


def test_a_hook_with_a_list_of_its_own_keeps_it_when_its_app_lists_more(connection: Connection) -> None:
    execute(prepare(EXAMPLE), connection)
    own = {i.organization_id: i.events for i in Installation.scan() if i.app_id == "pager"}
    more = EXAMPLE.replace("[issue, event_alert, metric_alert]", "[issue, error, event_alert, metric_alert]")
    execute(prepare(more), connection)
    now = {i.organization_id: i.events for i in Installation.scan() if i.app_id == "pager"}
    assert now["4501"] == own["4501"]
    assert now["globex"] == App.get("pager").events != own["globex"]


def test_an_organisation_from_before_there_were_warnings_can_decline_them(connection: Connection) -> None:
    execute(prepare(EXAMPLE), connection)
    _client(connection).update_item(
        TableName="organizations", Key={"organization_id": {"S": "4501"}}, UpdateExpression="REMOVE warnings"
    )
    assert prepare(EXAMPLE).empty
    execute(prepare(EXAMPLE.replace("warnings: true", "warnings: false")), connection)
    assert Organization.get("4501").warnings is False
    stale = prepare(EXAMPLE)
    execute(prepare(EXAMPLE), connection)
    execute(stale, connection)  # another operator wrote what it asks for
    assert Organization.get("4501").warnings is True


def test_an_app_that_no_longer_asks_to_be_switched_on_again_has_no_such_mark(connection: Connection) -> None:
    execute(prepare(EXAMPLE), connection)
    assert App.get("deploy-bot").auto_enable is True
    execute(prepare(EXAMPLE.replace("auto_enable: true", "auto_enable: false")), connection)
    assert "auto_enable" not in raw(connection, "apps", app_id="deploy-bot")


def test_what_leaves_the_file_stays_on_the_stack(connection: Connection) -> None:
    execute(prepare(EXAMPLE), connection)
    execute(prepare("organizations:\n  initech: {id: 4501, owners: []}\n"), connection)
    assert App.get("pager").app_id == "pager"
    assert Organization.get("4501").owners == []


def test_an_imported_secret_is_stored_and_neither_shown_nor_replaced(connection: Connection) -> None:
    text = EXAMPLE.replace("# secret_env", "secret_env")
    plan = prepare(text, {"DEPLOY_BOT_SECRET": IMPORTED})
    execute(plan, connection)
    assert "deploy-bot" not in plan.generated
    assert SigningSecret.get("deploy-bot").secret == IMPORTED
    assert prepare(text, {"DEPLOY_BOT_SECRET": IMPORTED}).empty
    assert prepare(EXAMPLE).empty


def test_an_app_without_a_secret_gets_one(connection: Connection) -> None:
    execute(prepare(EXAMPLE), connection)
    SigningSecret.get("pager").delete()
    plan = prepare(EXAMPLE)
    execute(plan, connection)
    assert plan.generated == {"pager"}
    assert SigningSecret.get("pager").secret == plan.secrets["pager"]


def test_what_another_operator_wrote_meanwhile_is_not_overwritten(connection: Connection) -> None:
    execute(prepare(EXAMPLE), connection)
    plan = prepare(EXAMPLE.replace("hooks.pager.example", "mine.pager.example"))
    App("pager").update(actions=[App.url.set("https://theirs.pager.example/")])
    with pytest.raises(ChangedMeanwhileError, match="app pager was changed meanwhile"):
        execute(plan, connection)
    assert App.get("pager").url == "https://theirs.pager.example/"


def test_two_first_runs_at_once_leave_one_secret_and_one_error(connection: Connection) -> None:
    mine, theirs = prepare(EXAMPLE), prepare(EXAMPLE)
    execute(theirs, connection)
    with pytest.raises(ChangedMeanwhileError):
        execute(mine, connection)
    assert SigningSecret.get("pager").secret == theirs.secrets["pager"]


def test_an_app_is_never_without_its_secret_however_the_run_ends(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = prepare(EXAMPLE)
    SigningSecret("pager", secret=IMPORTED).save()
    with pytest.raises(ChangedMeanwhileError):
        execute(plan, connection)
    assert SigningSecret.get("deploy-bot").secret == plan.secrets["deploy-bot"]
    with pytest.raises(App.DoesNotExist):
        App.get("pager")
    rest = prepare(EXAMPLE)
    execute(rest, connection)
    assert SigningSecret.get("pager").secret == IMPORTED
    assert prepare(EXAMPLE).empty


def test_an_app_deleted_by_hand_and_registered_again_can_be_switched_off_again(connection: Connection) -> None:
    execute(prepare(EXAMPLE), connection)
    deps = TransitionDependencies(connection, lambda _: None, Recorder(), lambda: NOW)
    assert transitions.disable(App.get("pager"), "", "health", {"rule": "fatal"}, deps)
    App("pager").delete()
    execute(prepare(EXAMPLE), connection)
    again = App.get("pager")
    assert int(again.generation) == 3, "above the deleted app's generations 1 and 2"
    assert transitions.disable(again, "", "health", {"rule": "fatal"}, deps)


def test_an_app_deleted_before_any_transition_does_not_get_its_old_counters_back(connection: Connection) -> None:
    execute(prepare(EXAMPLE), connection)
    App("pager").delete()
    execute(prepare(EXAMPLE), connection)
    assert int(App.get("pager").generation) == 2
    registered = transitions.last_transition(App.get("pager"))
    assert registered
    assert (registered.action, registered.actor) == ("app.registered", "operator:ann")
    assert registered.finished_at


NEW_URL = EXAMPLE.replace("hooks.pager.example", "new.pager.example")


def test_a_new_url_begins_a_generation_so_that_the_old_ones_failures_do_not_judge_it(
    connection: Connection,
) -> None:
    announced: list[FollowUp] = []
    execute(prepare(EXAMPLE), connection)
    execute(prepare(NEW_URL), connection, announced)
    pager = App.get("pager")
    assert (pager.url, pager.state, int(pager.generation)) == ("https://new.pager.example/bellhop", "enabled", 2)
    entry = transitions.last_transition(pager)
    assert entry
    assert (entry.action, entry.actor) == ("app.url_changed", "operator:ann")
    assert entry.evidence["old_url"] == "https://hooks.pager.example/bellhop"
    assert entry.evidence["url"] == pager.url
    assert announced == [FollowUp("pager", "00000001#url_changed")]


def test_another_change_than_the_urls_leaves_the_generation(connection: Connection) -> None:
    execute(prepare(EXAMPLE), connection)
    execute(prepare(EXAMPLE.replace("[issue, event_alert,", "[issue, error, event_alert,")), connection)
    assert int(App.get("pager").generation) == 1


def test_an_app_switched_off_while_its_url_is_changed_is_left_for_another_apply(connection: Connection) -> None:
    execute(prepare(EXAMPLE), connection)
    plan = prepare(NEW_URL)
    read = App.get("pager")
    deps = TransitionDependencies(connection, lambda _: None, Recorder(), lambda: NOW)
    assert transitions.disable(App.get("pager"), "", "health", {"rule": "fatal"}, deps)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(effects, "find", lambda *_, **__: read)
        with pytest.raises(ChangedMeanwhileError):
            execute(plan, connection)
    assert App.get("pager").url == read.url
    execute(prepare(NEW_URL), connection)
    assert (App.get("pager").url, int(App.get("pager").generation)) == ("https://new.pager.example/bellhop", 2)


def test_a_write_whose_response_was_lost_is_not_taken_for_somebody_elses(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    for model in (Organization, Installation, App):
        for name in ("save", "update"):
            monkeypatch.setattr(model, name, _twice(getattr(model, name)))
    execute(prepare(EXAMPLE), connection)
    execute(prepare(EXAMPLE.replace("warnings: true", "warnings: false")), connection)
    execute(prepare(EXAMPLE.replace("auto_enable: true", "auto_enable: false")), connection)
    assert App.get("deploy-bot").auto_enable is None
    SigningSecret.get("pager").delete()
    plan = prepare(EXAMPLE)
    monkeypatch.setattr(SigningSecret, "save", _twice(SigningSecret.save))
    execute(plan, connection)
    assert SigningSecret.get("pager").secret == plan.secrets["pager"]


def _twice(write: Any) -> Any:
    def written(*args: Any, **kwargs: Any) -> Any:
        write(*args, **kwargs)  # the response is lost, and the SDK writes a second time
        return write(*args, **kwargs)

    return written


def test_an_internal_app_is_not_moved_away_from_an_organisation_that_still_has_it_installed(
    connection: Connection,
) -> None:
    execute(prepare(EXAMPLE), connection)
    moved = EXAMPLE.replace("organization: initech #", "organization: globex #").replace(
        "  - app: deploy-bot # everything else by default: installed, all of the app's events, all projects\n"
        "    organization: initech\n",
        "",
    )
    with pytest.raises(
        RegistryFileError, match=r"line \d+: apps\.deploy-bot: is to be internal to globex.*in 4501"
    ):
        prepare(moved)
    for hook in Installation.scan():
        hook.update(actions=[Installation.status.set("uninstalled")])
    execute(prepare(moved), connection)
    assert App.get("deploy-bot").organization_id == "globex"


def test_a_url_and_headers_change_together_or_not_at_all(connection: Connection) -> None:
    changed = EXAMPLE.replace("X-Source: bellhop", "X-Source: new").replace(
        "deploy.initech.example", "new.initech.example"
    )
    execute(prepare(EXAMPLE), connection)
    old_url, plan = App.get("deploy-bot").url, prepare(changed)
    SigningSecret("deploy-bot").update(actions=[SigningSecret.headers.set({"X-Source": "theirs"})])
    with pytest.raises(ChangedMeanwhileError):
        execute(plan, connection)
    assert App.get("deploy-bot").url == old_url
    execute(prepare(changed), connection)
    assert App.get("deploy-bot").url != old_url
    assert SigningSecret.get("deploy-bot").headers == {"X-Source": "new"}


def test_an_app_that_is_off_gets_its_url_and_headers_together(connection: Connection) -> None:
    execute(prepare(EXAMPLE), connection)
    App("deploy-bot").update(actions=[App.state.set("disabled")])
    text = EXAMPLE.replace("X-Source: bellhop", "X-Source: new").replace(
        "deploy.initech.example", "new.initech.example"
    )
    execute(prepare(text), connection)
    assert SigningSecret.get("deploy-bot").headers == {"X-Source": "new"}
    assert prepare(text).empty


def test_an_app_registered_again_has_the_headers_of_the_file_and_not_those_of_before(
    connection: Connection,
) -> None:
    execute(prepare(EXAMPLE), connection)
    secret = SigningSecret.get("deploy-bot").secret
    App("deploy-bot").delete()
    execute(prepare(EXAMPLE.replace("X-Source: bellhop", "X-Again: again")), connection)
    row = SigningSecret.get("deploy-bot")
    assert (row.secret, row.headers) == (secret, {"X-Again": "again"})


def test_an_app_without_a_secret_gets_one_and_its_headers_beside_it(connection: Connection) -> None:
    execute(prepare(EXAMPLE), connection)
    SigningSecret.get("deploy-bot").delete()
    execute(prepare(EXAMPLE), connection)
    assert SigningSecret.get("deploy-bot").headers == {"X-Source": "bellhop"}
