"""Who gets an event, and what it says."""

import json
import zlib
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellhop.deliveries import Delivery, SharedTail, decode, delivery_id, encode
from bellhop.events import parse
from bellhop.registry import PAGE, App
from bellhop.tables import UnreadableError
from deliver.dependencies import DeliverDependencies
from notify.continuation import Cursor
from notify.fanout import MAX_REFUSED, FanOut
from tests.support.endpoint import Endpoint, response, run
from tests.support.fakes import NOW, FakeRegistry, app, installation, issue_event, organization, queue_message

ADA = {"id": 7, "name": "Ada"}
GRACE = {"id": 8, "name": "Grace"}
SYSTEM = {"type": "application", "id": "sentry", "name": "Sentry"}

LIMITABLE = [
    *(f"issue.{kind}" for kind in ("created", "resolved", "assigned", "archived", "ignored", "unresolved")),
    *(f"comment.{kind}" for kind in ("created", "updated", "deleted")),
    *(f"metric_alert.{kind}" for kind in ("open", "resolved", "critical", "warning")),
    "error.created",
    "event_alert.triggered",
]


def hooks(*pairs: tuple[Any, Any]) -> FakeRegistry:
    chosen = pairs or ((app(), installation()),)
    return FakeRegistry({"acme": organization()}, {a.app_id: a for a, _ in chosen if a}, [i for _, i in chosen])


def listening(*events: str, **changes: Any) -> FakeRegistry:
    listed = list(events)
    return hooks((app(events=listed), installation(events=listed, **changes)))


@dataclass
class Result:
    """What a fan-out handed out, and to whom it did not go, by the reason."""

    deliveries: list[Delivery]
    skipped: dict[str, list[str]]


def out(registry: FakeRegistry | None = None, **changes: Any) -> Result:
    fan_out = FanOut(parse(json.dumps(issue_event(**changes))), registry or hooks(), NOW.timestamp())
    return Result([delivery for delivery in fan_out.steps() if delivery], fan_out.skipped)


def only(result: Result) -> Delivery:
    [delivery] = result.deliveries
    return delivery


def body(result: Result) -> dict[str, Any]:
    return dict(json.loads(only(result).body))


def of_project(project: str | None, event: str) -> Result:
    resource, _, kind = event.partition(".")
    issue = {"id": "42"} if resource == "issue" else ...
    registry = listening(event, projects=["1", "2"])
    return out(registry, resource=resource, type=kind, issue=issue, project_id=project)


def reasons(result: Result) -> set[str]:
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


def test_each_of_two_deliveries_has_its_own_installation_and_id_and_otherwise_the_same_body() -> None:
    registry = hooks((app("a"), installation("a")), (app("b"), installation("b")))
    first, second = out(registry).deliveries
    assert (first.installation_id, second.installation_id) == ("in-a", "in-b")
    assert first.delivery_id != second.delivery_id
    bodies = [json.loads(delivery.body) for delivery in (first, second)]
    assert [sent.pop("installation") for sent in bodies] == [{"uuid": "in-a"}, {"uuid": "in-b"}]
    assert bodies[0] == bodies[1]


@pytest.mark.parametrize("status", [200, 404])
def test_each_of_two_apps_is_posted_to_at_its_own_url_whatever_the_other_responds(
    status: int, deps: DeliverDependencies, apps: dict[str, App]
) -> None:
    apps |= {name: app(name, url=f"https://{name}.example/in") for name in ("a", "b")}
    registry = hooks((apps["a"], installation("a")), (apps["b"], installation("b")))
    endpoint = Endpoint(response(status))
    fresh = [replace(delivery, enqueued_at=NOW.timestamp()) for delivery in out(registry).deliveries]
    run(deps, endpoint, *(queue_message(delivery, delivery.app_id) for delivery in fresh))
    posted = [(url, json.loads(body)["installation"]["uuid"]) for url, _, body in endpoint.posted]
    assert sorted(posted) == [("https://a.example/in", "in-a"), ("https://b.example/in", "in-b")]


def test_an_app_without_issue_events_gets_nothing() -> None:
    result = out(hooks((app(events=["comment.created"]), installation())))
    assert (result.deliveries, reasons(result)) == ([], {"event_not_in_app"})


def test_an_app_without_any_events_gets_no_assigned_issue() -> None:
    result = out(hooks((app(events=[]), installation())), type="assigned")
    assert (result.deliveries, reasons(result)) == ([], {"event_not_in_app"})


def test_an_error_event_is_delivered_with_its_data() -> None:
    data = {"error": {"event_id": "e", "issue_id": "42"}}
    assert body(out(listening("error.created"), resource="error", issue=..., data=data))["data"] == data


@pytest.mark.parametrize("owner", ["acme", "globex", None])
def test_an_app_gets_the_errors_of_an_organisation_even_of_the_one_that_owns_it(owner: str | None) -> None:
    listens = ["error.created"]
    registry = hooks((app(organization_id=owner, events=listens), installation(events=listens)))
    assert only(out(registry, resource="error", issue=...)).event == "error.created"


@pytest.mark.parametrize("how", ["now", "in_commit", "in_release", "in_next_release"])
def test_a_resolved_issue_says_how_beside_the_issue(how: str) -> None:
    sent = body(out(type="resolved", data={"resolution_type": how}, user=ADA))
    assert sent["action"] == "resolved"
    assert sent["data"]["resolution_type"] == how
    assert sent["data"]["issue"]["id"] == "42"
    assert sent["actor"] == {"type": "user", "id": 7, "name": "Ada"}


def test_an_issue_resolved_with_a_commit_was_resolved_by_the_system() -> None:
    sent = body(out(type="resolved", data={"resolution_type": "with_commit"}, user=None))
    assert (sent["action"], sent["data"]["resolution_type"]) == ("resolved", "with_commit")
    assert sent["actor"] == SYSTEM


def test_an_ignored_issue_has_nothing_beside_the_issue() -> None:
    sent = body(out(listening("issue.ignored"), type="ignored"))
    assert (sent["action"], list(sent["data"])) == ("ignored", ["issue"])


@pytest.mark.parametrize("substatus", ["regressed", "ongoing", "escalating"])
@pytest.mark.parametrize(("user", "actor"), [(None, SYSTEM), (ADA, ADA | {"type": "user"})])
def test_an_unresolved_issue_is_delivered_as_it_was_published(
    substatus: str, user: dict[str, Any] | None, actor: dict[str, Any]
) -> None:
    issue = {"id": "42", "status": "unresolved", "substatus": substatus, "statusDetails": {}}
    result = out(listening("issue.unresolved"), type="unresolved", issue=issue, user=user)
    assert only(result).event == "issue.unresolved"
    sent = body(result)
    assert (sent["action"], sent["data"], sent["actor"]) == ("unresolved", {"issue": issue}, actor)


def test_an_issue_that_comes_back_after_it_was_resolved_is_a_second_delivery() -> None:
    registry = listening("issue.resolved", "issue.unresolved")
    resolved = only(out(registry, event_id="ev1", type="resolved"))
    back = only(out(registry, event_id="ev2", type="unresolved"))
    assert (resolved.event, back.event) == ("issue.resolved", "issue.unresolved")
    assert resolved.delivery_id != back.delivery_id


def test_a_pending_installation_gets_nothing() -> None:
    result = out(hooks((app(), installation(status="pending"))), type="resolved")
    assert (result.deliveries, reasons(result)) == ([], {"installation_pending"})


def test_an_uninstalled_installation_gets_nothing() -> None:
    assert reasons(out(hooks((app(), installation(status="uninstalled"))))) == {"installation_uninstalled"}


def test_an_app_that_lists_only_ignored_gets_no_resolved_issue() -> None:
    assert out(listening("issue.ignored"), type="resolved").deliveries == []


def test_an_app_that_lists_archived_and_not_ignored_gets_an_ignored_issue_as_archived() -> None:
    result = out(listening("issue.archived"), type="ignored")
    assert body(result)["action"] == "archived"
    assert only(result).event == "issue.archived"


def test_an_app_that_lists_both_gets_an_ignored_issue_once() -> None:
    assert body(out(listening("issue.archived", "issue.ignored"), type="ignored"))["action"] == "ignored"


@pytest.mark.parametrize(
    "assignee",
    [
        pytest.param(ADA | {"type": "user", "email": "ada@acme.example"}, id="user with an address"),
        pytest.param(ADA | {"type": "user"}, id="user without one"),
        pytest.param({"type": "team", "id": 3, "name": "ops"}, id="team"),
    ],
)
def test_an_assigned_issue_carries_the_assignee_as_it_was_published(assignee: dict[str, Any]) -> None:
    assert body(out(type="assigned", data={"assignee": assignee}))["data"]["assignee"] == assignee


def test_a_reassigned_issue_is_a_second_delivery_with_the_new_person() -> None:
    registry = hooks()
    first = out(registry, event_id="ev1", type="assigned", data={"assignee": ADA})
    second = out(registry, event_id="ev2", type="assigned", data={"assignee": GRACE})
    assert [body(result)["data"]["assignee"] for result in (first, second)] == [ADA, GRACE]
    assert only(first).delivery_id != only(second).delivery_id


@pytest.mark.parametrize("kind", ["created", "updated", "deleted"])
def test_a_comment_is_delivered_with_its_data_alone(kind: str) -> None:
    data = {"comment_id": 1, "issue_id": "42", "project_slug": "p", "timestamp": "t", "comment": "hi"}
    result = out(listening(f"comment.{kind}"), resource="comment", type=kind, issue=..., data=data)
    assert body(result)["data"] == data


# ---- B. Preparation


def test_a_hook_without_the_event_gets_nothing() -> None:
    result = out(hooks((app(), installation(events=["issue.resolved"]))))
    assert (result.deliveries, reasons(result)) == ([], {"event_not_in_hook"})


def test_a_hook_whose_events_were_emptied_gets_nothing() -> None:
    assert reasons(out(hooks((app(), installation(events=[]))))) == {"event_not_in_hook"}


def test_an_installation_deleted_before_the_event_is_a_named_reason() -> None:
    assert reasons(out(installation_id="gone")) == {"missing_installation"}


def test_a_missing_organisation_is_a_named_reason() -> None:
    assert reasons(out(FakeRegistry())) == {"missing_organization"}


def test_a_missing_app_is_a_named_reason() -> None:
    assert reasons(out(hooks((None, installation())))) == {"missing_app"}


def test_an_organisation_without_installations_is_a_named_reason() -> None:
    assert reasons(out(FakeRegistry({"acme": organization()}))) == {"no_installations"}


def test_a_hook_without_a_project_list_gets_every_project() -> None:
    assert len(out(project_id="1").deliveries) == 1
    assert len(out(project_id=None).deliveries) == 1


@pytest.mark.parametrize("event", LIMITABLE)
def test_a_hook_limited_to_the_events_project_gets_it(event: str) -> None:
    assert only(of_project("2", event)).event == event


@pytest.mark.parametrize("event", LIMITABLE)
@pytest.mark.parametrize("project", ["3", None])
def test_a_hook_limited_to_other_projects_gets_nothing_of_any_kind(event: str, project: str | None) -> None:
    result = of_project(project, event)
    assert (result.deliveries, reasons(result)) == ([], {"project_not_allowed"})


def test_an_empty_project_list_allows_no_project() -> None:
    assert reasons(out(hooks((app(), installation(projects=[]))), project_id="1")) == {"project_not_allowed"}


FATAL = "data.issue.level == 'fatal'"


def test_a_hook_with_a_filter_gets_only_events_of_which_it_is_true() -> None:
    registry = hooks((app("a"), installation("a", filter=FATAL)), (app("b"), installation("b")))
    assert [d.app_id for d in out(registry, issue={"id": 1, "level": "fatal"}).deliveries] == ["a", "b"]
    others = out(registry, issue={"id": 1, "level": "error"})
    assert [d.app_id for d in others.deliveries] == ["b"]
    assert others.skipped == {"filtered_out": ["in-a"]}


def test_a_filter_sees_what_the_receiver_will_see() -> None:
    expression = (
        "action == 'archived' && resource == 'issue' && installation.uuid == 'in-pager' && data.issue.id == '42' "
        "&& actor.name == 'Ada' && organization_id == 'acme' && project_id == '17' && data.score == `1.5` "
        "&& max([`1`, `2`]) == `2` && sum(data.numbers) == `2.5`"
    )
    registry = listening("issue.archived", filter=expression)
    data = {"score": 1.5, "numbers": [1.25, 1.25]}
    issue = {"id": 42}
    assert only(out(registry, type="ignored", issue=issue, data=data, project_id="17", user=ADA))
    contrary = listening("issue.archived", filter=f"!({expression})")
    skipped = reasons(out(contrary, type="ignored", issue=issue, data=data, project_id="17", user=ADA))
    assert skipped == {"filtered_out"}  # so it was not sent because the filter failed


def test_a_number_with_a_fraction_was_no_number_to_the_functions_of_a_filter() -> None:
    registry = hooks((app(), installation(filter="max(data.numbers) > `2` && starts_with(data.numbers[0], 'x')")))
    fan_out = FanOut(parse(json.dumps(issue_event(data={"numbers": [1.5, 2.5]}))), registry, 0.0)
    assert [*fan_out.steps()] != [None]
    assert fan_out.filter_faults == {"in-pager": "starts_with() does not take a value of type number"}


def test_a_filter_is_asked_last_so_that_the_reason_is_the_plainest() -> None:
    assert reasons(out(listening("issue.resolved", filter=FATAL))) == {"event_not_in_app"}
    assert reasons(out(hooks((app(), installation(filter=FATAL, projects=[]))))) == {"project_not_allowed"}


@pytest.mark.parametrize(
    "expression",
    [
        pytest.param("contains(data.issue.culprit, 'x')", id="a type error"),
        pytest.param("data.issue.tags[*].x", id="too many steps"),
        pytest.param("let $x = data in $x", id="of a newer version, or written by hand"),
    ],
)
def test_a_filter_that_cannot_be_evaluated_does_not_filter(expression: str) -> None:
    registry = hooks((app(), installation(filter=expression)))
    event = parse(json.dumps(issue_event(issue={"id": 1, "culprit": None, "tags": [{}] * 20_000})))
    fan_out = FanOut(event, registry, NOW.timestamp())
    assert [each.app_id for each in fan_out.steps() if each] == ["pager"]
    assert list(fan_out.filter_faults) == ["in-pager"]
    assert fan_out.filters_failed == 1


@pytest.mark.parametrize("kind", ["created", "deleted"])
def test_events_about_an_installation_reach_it_whatever_its_filter(kind: str) -> None:
    registry = listening(f"installation.{kind}", status="uninstalled", filter=FATAL)
    assert only(out(registry, resource="installation", type=kind, issue=..., installation_id="in-pager"))


def test_what_all_bodies_share_is_read_once_for_all_filters_of_an_event() -> None:
    event = parse(json.dumps(issue_event()))
    fan_out = FanOut(event, hooks(*((app(n), installation(n, filter=FATAL)) for n in "abc")), NOW.timestamp())
    list(fan_out.steps())
    assert fan_out.payload.values("x", "in-a")["data"] is fan_out.payload.values("x", "in-b")["data"]
    assert "_shared_values" not in vars(event_for(crowd(3)).payload)


ROOM = "{text: join(' ', [action, data.issue.title, installation.uuid])}"


def test_an_app_with_a_transform_gets_the_body_that_it_makes_and_its_neighbour_the_usual_one() -> None:
    registry = hooks((app("a", transform=ROOM), installation("a")), (app("b"), installation("b")))
    room, neighbour = out(registry, issue={"id": 1, "title": "Oóps"}).deliveries
    assert room.body == '{"text":"created Oóps in-a"}'.encode()
    assert json.loads(neighbour.body)["data"]["issue"]["title"] == "Oóps"


def test_a_transform_changes_nothing_of_a_delivery_but_its_body() -> None:
    plain, made = (only(out(hooks((app(transform=each), installation())))) for each in (None, "{a: data.x}"))
    assert replace(made, body=plain.body) == plain
    assert made.body == b'{"a":null}'


def test_a_transform_sees_the_name_under_which_the_hook_gets_the_event() -> None:
    listed = ["issue.archived"]
    registry = hooks((app(events=listed, transform="{a: action}"), installation(events=listed)))
    assert only(out(registry, type="ignored")).body == b'{"a":"archived"}'


@pytest.mark.parametrize(
    "expression",
    [
        pytest.param("{text: join('', [data.issue.culprit])}", id="a type error"),
        pytest.param("data.issue.tags[*].{a: x}", id="too many steps"),
        pytest.param("data.issue.culprit", id="null"),
        pytest.param("let $x = data in $x", id="of a newer version, or written by hand"),
    ],
)
def test_where_a_transform_fails_the_app_gets_no_delivery_and_its_neighbour_does(expression: str) -> None:
    registry = hooks((app("a", transform=expression), installation("a")), (app("b"), installation("b")))
    event = parse(json.dumps(issue_event(issue={"id": 1, "culprit": None, "tags": [{}] * 20_000})))
    fan_out = FanOut(event, registry, NOW.timestamp())
    assert [each.app_id for each in fan_out.steps() if each] == ["b"]
    assert fan_out.skipped == {"transform_failed": ["in-a"]}
    assert {name: fault["app_id"] for name, fault in fan_out.transform_faults.items()} == {"in-a": "a"}


def test_where_filter_and_transform_both_fail_both_are_told() -> None:
    fails = "contains(data.issue.culprit, 'x')"
    registry = hooks((app(transform="data.issue.culprit"), installation(filter=fails)))
    fan_out = FanOut(parse(json.dumps(issue_event())), registry, NOW.timestamp())
    assert [*fan_out.steps()] == [None]
    assert list(fan_out.filter_faults) == list(fan_out.transform_faults) == ["in-pager"]


def test_a_filter_sees_the_body_as_it_is_before_the_transform() -> None:
    registry = hooks((app(transform="{a: action}"), installation(filter=FATAL)))
    assert only(out(registry, issue={"id": 1, "level": "fatal"}))
    assert reasons(out(registry)) == {"filtered_out"}


def test_a_transformed_body_goes_through_the_queue_as_it_is() -> None:
    fan_out = FanOut(parse(json.dumps(issue_event())), hooks((app(transform=ROOM), installation())), 0.0)
    [delivery] = fan_out.steps()
    assert delivery
    assert decode(encode(delivery, fan_out.payload.shared)) == delivery


def test_an_event_with_an_installation_concerns_that_one_alone() -> None:
    registry = hooks((app("a"), installation("a")), (app("b"), installation("b")))
    assert only(out(registry, installation_id="in-b")).app_id == "b"


def test_a_disabled_app_gets_its_delivery_because_deliver_alone_parks() -> None:
    assert len(out(hooks((app(state="disabled"), installation()))).deliveries) == 1


def test_a_broadcast_leaves_unicode_unchanged() -> None:
    issue = {"id": "1", "title": "Ünïcode \U0001f600 \u202eright"}
    result = out(issue=issue)
    assert body(result)["data"]["issue"] == issue
    assert json.dumps(issue["title"]).encode() in only(result).body  # as it was written, with its escapes


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


# ---- Any number of installations


def event_for(registry: FakeRegistry, cursor: Cursor | None = None) -> FanOut:
    return FanOut(parse(json.dumps(issue_event())), registry, NOW.timestamp(), cursor)


def crowd(number: int) -> FakeRegistry:
    names = [f"{n:04}" for n in range(number)]
    return hooks(*((app(name), installation(name)) for name in names))


@pytest.mark.parametrize("number", [1, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE])
@pytest.mark.parametrize("stop", [0, 1, 50, 100, 150])
def test_a_fan_out_that_stops_anywhere_goes_on_from_there_and_reaches_each_installation_once(
    number: int, stop: int
) -> None:
    registry = crowd(number)
    first = event_for(registry)
    reached = []
    for delivery in islice(first.steps(), stop):
        assert delivery
        first.accept(delivery)
        reached.append(delivery.installation_id)
    second = event_for(registry, first.cursor)
    for delivery in second.steps():
        assert delivery
        second.accept(delivery)
        reached.append(delivery.installation_id)
    assert reached == [found.installation_id for found in registry.installed]
    assert second.done
    assert second.cursor.enqueued == number


def test_what_was_handed_out_and_not_accepted_comes_first_and_alone_the_next_time() -> None:
    registry = crowd(5)
    first = event_for(registry)
    handed = [delivery for delivery in first.steps() if delivery]
    for number in (0, 2, 4):
        first.accept(handed[number])
    assert not first.done
    second = event_for(registry, first.cursor)
    assert [delivery.installation_id for delivery in second.steps() if delivery] == ["in-0001", "in-0003"]


def test_a_fan_out_of_which_too_much_is_refused_reads_no_further() -> None:
    refused = event_for(crowd(MAX_REFUSED + PAGE))
    assert len(list(refused.steps())) == MAX_REFUSED
    assert list(event_for(crowd(MAX_REFUSED + PAGE), refused.cursor).steps()) == [
        *event_for(crowd(MAX_REFUSED)).steps()
    ]


def test_a_hook_that_was_refused_and_does_not_want_the_event_any_more_is_skipped() -> None:
    registry = hooks((app(), installation(status="uninstalled")))
    resumed = event_for(registry, Cursor("in-pager", True, ("in-pager", "in-gone"), 3))
    assert list(resumed.steps()) == [None, None]
    assert resumed.skipped == {"installation_uninstalled": ["in-pager"], "missing_installation": ["in-gone"]}
    assert resumed.done


def test_the_bodies_of_an_event_are_compressed_once_and_remain_ordinary_zlib_streams() -> None:
    fan_out = event_for(crowd(3))
    for delivery in fan_out.steps():
        assert delivery
        assert decode(encode(delivery, fan_out.payload.shared)) == delivery


@given(st.binary(max_size=70_000), st.binary(max_size=70_000))
def test_a_head_and_a_shared_tail_are_one_zlib_stream(head: bytes, tail: bytes) -> None:
    packed = SharedTail(tail).compress(head + tail)
    reader = zlib.decompressobj()
    assert reader.decompress(packed) == head + tail
    assert reader.eof
    assert reader.unused_data == b""


def test_a_body_that_does_not_end_with_the_shared_tail_is_never_sent_as_if_it_did() -> None:
    assert zlib.decompress(SharedTail(b"tail").compress(b"another")) == b"another"


class OneUnreadable(FakeRegistry):
    """A registry in which the row of the app `b` is no app's."""

    def app(self, app_id: str) -> App | None:
        if app_id == "b":
            raise UnreadableError(App, app_id, TypeError())
        return super().app(app_id)


def test_an_apps_row_that_cannot_be_read_kept_the_event_from_the_organisations_other_apps() -> None:
    read = hooks(*((app(name), installation(name)) for name in "abc"))
    registry = OneUnreadable(read.organizations, read.apps, read.installed)
    event = parse(json.dumps(issue_event()))
    fan_out = FanOut(event, registry, NOW.timestamp())
    for each in filter(None, fan_out.steps()):
        fan_out.accept(each)
    assert fan_out.enqueued == ["in-a", "in-c"]
    assert (fan_out.cursor.refused, fan_out.unreadable) == (("in-b",), ["in-b"])
    again = FanOut(event, registry, NOW.timestamp(), fan_out.cursor)
    assert [*again.steps()] == [None]
    assert not again.done
    assert not again.progressed
