"""Who gets an event and what it says: sections A and B of the reference behaviour."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellhop.deliveries import Delivery, decode, delivery_id, encode
from bellhop.events import parse
from notify.fanout import FanOut, fan_out
from tests.fakes import Hooks, app, installation, issue_event, organization

ADA = {"id": 7, "name": "Ada"}


def hooks(*pairs: tuple[Any, Any]) -> Hooks:
    chosen = pairs or ((app(), installation()),)
    return Hooks({"acme": organization()}, {a.app_id: a for a, _ in chosen if a}, [i for _, i in chosen])


def out(registry: Hooks | None = None, **changes: Any) -> FanOut:
    return fan_out(parse(json.dumps(issue_event(**changes))), registry or hooks())


def only(result: FanOut) -> Delivery:
    [delivery] = result.deliveries
    return delivery


def body(result: FanOut) -> dict[str, Any]:
    return dict(json.loads(only(result).body))


def reasons(result: FanOut) -> set[str]:
    return set(result.skipped)


# ---- A. Triggering


def test_an_app_that_listens_gets_a_created_issue_with_its_id_as_a_string() -> None:
    sent = body(out(issue={"id": 42}))
    assert sent["action"] == "created"
    assert sent["data"]["issue"]["id"] == "42"
    assert sent["installation"] == {"uuid": "in-pager"}


def test_two_apps_of_an_organisation_get_one_delivery_each() -> None:
    registry = hooks((app("a"), installation("a")), (app("b"), installation("b")))
    assert [d.app_id for d in out(registry).deliveries] == ["a", "b"]


def test_an_app_without_issue_events_gets_nothing() -> None:
    result = out(hooks((app(events=["comment.created"]), installation())))
    assert (result.deliveries, reasons(result)) == ([], {"event_not_in_app"})


def test_an_error_event_is_delivered_with_its_data() -> None:
    listens = ["error.created"]
    registry = hooks((app(events=listens), installation(events=listens)))
    data = {"error": {"event_id": "e", "issue_id": "42"}}
    assert body(out(registry, resource="error", issue=..., data=data))["data"] == data


@pytest.mark.parametrize("how", ["now", "in_commit", "in_release", "in_next_release", "with_commit"])
def test_a_resolved_issue_says_how_beside_the_issue(how: str) -> None:
    sent = body(out(type="resolved", data={"resolution_type": how}, user=ADA))
    assert sent["action"] == "resolved"
    assert sent["data"]["resolution_type"] == how
    assert sent["data"]["issue"]["id"] == "42"
    assert sent["actor"] == {"type": "user", "id": 7, "name": "Ada"}


def test_an_ignored_issue_has_nothing_beside_the_issue() -> None:
    registry = hooks((app(events=["issue.ignored"]), installation(events=["issue.ignored"])))
    sent = body(out(registry, type="ignored"))
    assert (sent["action"], list(sent["data"])) == ("ignored", ["issue"])


def test_a_pending_installation_gets_nothing() -> None:
    result = out(hooks((app(), installation(status="pending"))), type="resolved")
    assert (result.deliveries, reasons(result)) == ([], {"installation_pending"})


def test_an_uninstalled_installation_gets_nothing() -> None:
    assert reasons(out(hooks((app(), installation(status="uninstalled"))))) == {"installation_uninstalled"}


def test_an_app_that_lists_only_ignored_gets_no_resolved_issue() -> None:
    registry = hooks((app(events=["issue.ignored"]), installation(events=["issue.ignored"])))
    assert out(registry, type="resolved").deliveries == []


def test_an_app_that_lists_archived_and_not_ignored_gets_an_ignored_issue_as_archived() -> None:
    registry = hooks((app(events=["issue.archived"]), installation(events=["issue.archived"])))
    result = out(registry, type="ignored")
    assert body(result)["action"] == "archived"
    assert only(result).event == "issue.archived"


def test_an_app_that_lists_both_gets_an_ignored_issue_once() -> None:
    both = ["issue.archived", "issue.ignored"]
    assert body(out(hooks((app(events=both), installation(events=both))), type="ignored"))["action"] == "ignored"


def test_an_assigned_issue_carries_the_assignee_as_it_was_published() -> None:
    assignee = {"type": "team", "id": 3, "name": "ops"}
    assert body(out(type="assigned", data={"assignee": assignee}))["data"]["assignee"] == assignee


@pytest.mark.parametrize("kind", ["created", "updated", "deleted"])
def test_a_comment_is_delivered_with_its_data_alone(kind: str) -> None:
    listens = [f"comment.{kind}"]
    data = {"comment_id": 1, "issue_id": "42", "project_slug": "p", "timestamp": "t", "comment": "hi"}
    registry = hooks((app(events=listens), installation(events=listens)))
    assert body(out(registry, resource="comment", type=kind, issue=..., data=data))["data"] == data


# ---- B. Preparation


def test_without_a_user_the_actor_is_the_system() -> None:
    assert body(out(user=None))["actor"] == {"type": "application", "id": "sentry", "name": "Sentry"}


def test_an_apps_own_user_acts_as_an_application() -> None:
    proxy = {"type": "application", "id": "uuid-pager", "name": "Pager"}
    assert body(out(user=proxy))["actor"] == proxy


def test_of_a_user_only_type_id_and_name_are_delivered() -> None:
    assert body(out(user=ADA | {"email": "ada@acme.example"}))["actor"] == ADA | {"type": "user"}


def test_a_hook_without_the_event_gets_nothing() -> None:
    result = out(hooks((app(), installation(events=["issue.resolved"]))))
    assert (result.deliveries, reasons(result)) == ([], {"event_not_in_hook"})


def test_a_hook_whose_events_were_emptied_gets_nothing() -> None:
    assert reasons(out(hooks((app(), installation(events=[]))))) == {"event_not_in_hook"}


def test_an_installation_deleted_before_the_event_is_a_named_reason() -> None:
    assert reasons(out(installation_id="gone")) == {"missing_installation"}


def test_a_missing_organisation_is_a_named_reason() -> None:
    assert reasons(out(Hooks())) == {"missing_organization"}


def test_a_missing_app_is_a_named_reason() -> None:
    assert reasons(out(hooks((None, installation())))) == {"missing_app"}


def test_an_organisation_without_installations_is_a_named_reason() -> None:
    assert reasons(out(Hooks({"acme": organization()}))) == {"no_installations"}


def test_a_hook_without_a_project_list_gets_every_project() -> None:
    assert len(out(project_id="1").deliveries) == 1
    assert len(out(project_id=None).deliveries) == 1


def test_a_hook_limited_to_the_events_project_gets_it() -> None:
    assert len(out(hooks((app(), installation(projects=["1", "2"]))), project_id="2").deliveries) == 1


@pytest.mark.parametrize("kind", ["created", "resolved"])
@pytest.mark.parametrize("project", ["3", None])
def test_a_hook_limited_to_other_projects_gets_nothing_of_any_kind(kind: str, project: str | None) -> None:
    result = out(hooks((app(), installation(projects=["1"]))), type=kind, project_id=project)
    assert (result.deliveries, reasons(result)) == ([], {"project_not_allowed"})


def test_an_empty_project_list_allows_no_project() -> None:
    assert reasons(out(hooks((app(), installation(projects=[]))), project_id="1")) == {"project_not_allowed"}


def test_an_event_with_an_installation_concerns_that_one_alone() -> None:
    registry = hooks((app("a"), installation("a")), (app("b"), installation("b")))
    assert only(out(registry, installation_id="in-b")).app_id == "b"


def test_a_disabled_app_gets_its_delivery_because_deliver_alone_parks() -> None:
    assert len(out(hooks((app(state="disabled"), installation()))).deliveries) == 1


def test_a_broadcast_leaves_unicode_unchanged() -> None:
    issue = {"id": "1", "title": "Ünïcode \U0001f600 \u202eright"}
    result = out(issue=issue)
    assert body(result)["data"]["issue"] == issue
    assert "Ünïcode \U0001f600".encode() in only(result).body


def test_data_cannot_replace_the_issue() -> None:
    assert body(out(data={"issue": "forged"}))["data"]["issue"]["id"] == "42"


# ---- The delivery


def test_copies_of_an_event_have_the_same_webhook_id_and_bytes() -> None:
    assert only(out()) == only(out())


def test_the_webhook_id_differs_by_organisation_event_and_installation() -> None:
    ids = {delivery_id(*names) for names in [("a", "b", "c"), ("x", "b", "c"), ("a", "x", "c"), ("a", "b", "x")]}
    assert len(ids) == 4
    assert delivery_id("a", "b", "c").startswith("msg_")
    assert len(delivery_id("a", "b", "c")) == 36


@given(st.binary(max_size=2000))
def test_a_delivery_survives_the_queue(payload: bytes) -> None:
    sent = Delivery("msg_1", "e", "issue.created", "a", "o", "i", payload)
    assert decode(encode(sent)) == sent
    assert encode(sent).isascii()
