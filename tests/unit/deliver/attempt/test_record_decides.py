"""However a message comes, its delivery's record decides: nothing is lost, and who is gone gets nothing."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bellhop import app_lists, attempts, circuits
from bellhop.attempts import (
    DELIVERED,
    EXHAUSTED,
    PARKED,
    RETRYING,
    STOPPED,
    WITHDRAWN,
    Attempt,
    DeliveryRecord,
    NextState,
)
from bellhop.deliveries import Retry
from bellhop.registry import App, Installation
from deliver.dependencies import DeliverDependencies, RetryPolicy
from tests.support.endpoint import Apps, Clock, Endpoint, recorded, response, retries, run
from tests.support.fakes import NOW, delivery, installation, queue_message

ID = delivery().delivery_id
FAILED = Attempt(1, NOW, 5, "r1", "http_500", 500)
OLD = delivery(enqueued_at=(NOW - timedelta(hours=1)).timestamp())


def record() -> DeliveryRecord:
    found = attempts.load(ID)
    assert found
    return found


def written(state: str, made: Attempt | None = FAILED, due: float = 60.0) -> None:
    attempts.open_record(delivery(), NextState(state, NOW.timestamp() + due, made), NOW)


def scheduled(queue: str) -> list[int]:
    return [json.loads(message["body"])["next_attempt"] for message in retries(queue)]


def listed() -> list[str]:
    return [row.delivery_id for row in app_lists.replayable("pager", None, 10)]


def test_a_redriven_first_attempt_whose_record_retries_is_not_posted_and_its_retry_is_scheduled_again(
    deps: DeliverDependencies, queue: str
) -> None:
    written(RETRYING)
    endpoint = Endpoint(response(200))
    assert run(deps, endpoint, queue_message(OLD)) == []
    assert endpoint.posted == []
    assert scheduled(queue) == [2]


def test_an_event_published_again_while_its_delivery_retries_costs_one_post_and_its_retry_is_scheduled_again(
    deps: DeliverDependencies, queue: str
) -> None:
    written(RETRYING)
    endpoint = Endpoint(response(500))
    assert run(deps, endpoint, queue_message(delivery())) == []
    assert len(endpoint.posted) == 1
    assert (record().state, record().attempts_made) == (RETRYING, 1)
    assert scheduled(queue) == [2]


def test_a_message_of_any_attempt_schedules_a_retry_that_is_long_overdue(
    deps: DeliverDependencies, queue: str, clock: Clock
) -> None:
    written(RETRYING, due=5.0)
    DeliveryRecord(ID).update(actions=[DeliveryRecord.attempts_made.set(4)])
    clock.move(3600)
    assert run(deps, Endpoint(response(200)), queue_message(OLD)) == []
    assert scheduled(queue) == [5]


def test_a_first_attempt_that_finds_its_retrying_record_while_its_app_is_off_parks_it_so_that_a_replay_finds_it(
    deps: DeliverDependencies, apps: dict[str, App]
) -> None:
    written(RETRYING)
    apps["pager"].state = "disabled"
    assert run(deps, Endpoint(response(200)), queue_message(delivery())) == []
    assert record().state == PARKED
    assert listed() == [ID]


def test_a_record_that_another_worker_attempts_is_not_parked_under_it(
    deps: DeliverDependencies, apps: dict[str, App]
) -> None:
    written(RETRYING)
    assert attempts.claim(ID, 2, "somebody", NOW, 30)
    apps["pager"].state = "disabled"
    assert run(deps, Endpoint(response(200)), queue_message(delivery())) == []
    assert (record().state, record().lease) == (RETRYING, "somebody")


@pytest.mark.parametrize("state", [DELIVERED, STOPPED, WITHDRAWN, PARKED])
def test_a_redriven_first_attempt_whose_record_has_ended_or_is_parked_is_dropped(
    deps: DeliverDependencies, queue: str, state: str
) -> None:
    written(state)
    endpoint = Endpoint(response(200))
    assert run(deps, endpoint, queue_message(OLD)) == []
    assert (endpoint.posted, scheduled(queue), record().state) == ([], [], state)


def test_an_ordinary_first_attempt_reads_neither_its_record_nor_its_installation(
    deps: DeliverDependencies, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any) -> None:
        raise AssertionError("read for an ordinary delivery")

    monkeypatch.setattr(attempts, "load", never)
    monkeypatch.setattr(Apps, "installation", never)
    assert run(deps, Endpoint(response(200)), queue_message(delivery())) == []


def without_installation(deps: DeliverDependencies, hook: Installation | None) -> DeliverDependencies:
    apps = Apps({"pager": App("pager")})
    assert isinstance(deps.registry, Apps)
    apps.apps = deps.registry.apps
    apps.installed = {} if hook is None else {(hook.organization_id, hook.installation_id): hook}
    return replace(deps, registry=apps)


GONE = [
    (None, "missing_installation"),
    (installation(status="uninstalled"), "installation_uninstalled"),
    (installation(events=["issue.resolved"]), "event_not_in_hook"),
    (installation(projects=["other"]), "project_not_allowed"),
]


@pytest.mark.parametrize(("hook", "reason"), GONE)
@pytest.mark.parametrize("replay", [False, True])
def test_a_retry_or_replay_for_an_installation_that_is_gone_is_withdrawn(
    deps: DeliverDependencies, hook: Installation | None, reason: str, *, replay: bool
) -> None:
    written(PARKED if replay else RETRYING)
    endpoint = Endpoint(response(200))
    left = without_installation(deps, hook)
    assert run(left, endpoint, queue_message(Retry(ID, "pager", 2, replay=replay))) == []
    assert endpoint.posted == []
    assert record().state == WITHDRAWN
    assert [record().lease] == [None]
    assert listed() == []
    assert recorded(deps).logged(f"delivery withdrawn: {reason}")


@pytest.mark.parametrize(("hook", "reason"), GONE)
def test_a_first_attempt_that_waited_long_for_an_installation_that_is_gone_is_skipped(
    deps: DeliverDependencies, hook: Installation | None, reason: str
) -> None:
    endpoint = Endpoint(response(200))
    assert run(without_installation(deps, hook), endpoint, queue_message(OLD)) == []
    assert endpoint.posted == []
    assert recorded(deps).logged(f"delivery skipped: {reason}")


def test_a_retry_about_an_installation_reaches_it_after_it_was_uninstalled(deps: DeliverDependencies) -> None:
    event = "installation.deleted"
    attempts.open_record(delivery(event=event), NextState(RETRYING, NOW.timestamp(), FAILED), NOW)
    deps.registry.app("pager").events = [event]  # type: ignore[union-attr]
    left = without_installation(deps, installation(status="uninstalled", events=[event]))
    endpoint = Endpoint(response(200))
    assert run(left, endpoint, queue_message(Retry(ID, "pager", 2))) == []
    assert len(endpoint.posted) == 1


def test_a_project_that_the_hook_wants_is_remembered_from_the_event_to_the_retry(
    deps: DeliverDependencies,
) -> None:
    wanted = delivery(project_id="17")
    assert run(deps, Endpoint(response(500)), queue_message(wanted)) == []
    endpoint = Endpoint(response(200))
    hook = without_installation(deps, installation(projects=["17"]))
    assert run(hook, endpoint, queue_message(Retry(ID, "pager", 2))) == []
    assert len(endpoint.posted) == 1


@pytest.mark.parametrize("state", [RETRYING, PARKED, EXHAUSTED])
def test_what_outlives_its_expiry_is_not_sent(deps: DeliverDependencies, clock: Clock, state: str) -> None:
    written(state)
    clock.move(31 * 86_400)
    endpoint = Endpoint(response(200))
    assert run(deps, endpoint, queue_message(Retry(ID, "pager", 2, replay=True))) == []
    assert endpoint.posted == []
    assert recorded(deps).logged("retry dropped: its record has expired")


# ---- An event that is published again once its delivery is over

AGAIN = delivery(enqueued_at=NOW.timestamp() + 100)


@pytest.mark.parametrize("state", [DELIVERED, EXHAUSTED, STOPPED, WITHDRAWN])
def test_a_republished_event_whose_delivery_was_over_got_one_post_and_no_retry(
    deps: DeliverDependencies, queue: str, clock: Clock, state: str
) -> None:
    written(state)
    clock.move(101)
    endpoint = Endpoint(response(500))
    for receive_count in (1, 2):
        assert run(deps, endpoint, queue_message(AGAIN, receive_count=receive_count)) == []
    assert len(endpoint.posted) == 1
    assert (record().state, record().attempts_made, len(record().attempts)) == (RETRYING, 1, 2)
    assert set(scheduled(queue)) == {2}
    assert listed() == []


def test_a_retry_of_before_a_republished_event_was_tried_until_it_was_a_dead_letter(
    deps: DeliverDependencies, queue: str, clock: Clock
) -> None:
    written(STOPPED)
    clock.move(101)
    run(deps, Endpoint(response(500)), queue_message(AGAIN))
    retries(queue)
    endpoint = Endpoint(response(200))
    for replay in (False, True):
        assert run(deps, endpoint, queue_message(Retry(ID, "pager", 5, replay=replay))) == []
    assert (endpoint.posted, record().state, record().attempts_made) == ([], RETRYING, 1)
    assert scheduled(queue) == []  # the message of the attempt that was just written has sent it, or will
    clock.move(deps.policy.fresh)
    assert run(deps, endpoint, queue_message(Retry(ID, "pager", 5))) == []
    assert (endpoint.posted, scheduled(queue)) == ([], [2])


def test_a_republished_event_over_its_apps_rate_was_dropped(
    deps: DeliverDependencies, apps: dict[str, App], queue: str, clock: Clock
) -> None:
    written(WITHDRAWN)
    clock.move(101)
    apps["pager"].max_per_second = 0.1
    first = replace(AGAIN, delivery_id="msg_first")
    deps = replace(deps, policy=RetryPolicy((5, 60), lease=30, fresh=190))
    assert run(deps, Endpoint(response(200)), queue_message(first), queue_message(AGAIN, "again")) == []
    assert scheduled(queue) == [1]
    assert (record().state, record().attempts_made) == (RETRYING, 0)


@pytest.mark.parametrize("state", [DELIVERED, STOPPED, WITHDRAWN])
def test_a_republished_event_of_an_app_that_is_off_was_not_parked(
    deps: DeliverDependencies, apps: dict[str, App], clock: Clock, state: str
) -> None:
    written(state)
    clock.move(101)
    apps["pager"].state = "disabled"
    for receive_count in (1, 2):
        assert run(deps, Endpoint(response(200)), queue_message(AGAIN, receive_count=receive_count)) == []
    assert (record().state, record().attempts_made, listed()) == (PARKED, 0, [ID])


def test_a_record_that_has_expired_and_is_still_there_swallowed_a_republished_event(
    deps: DeliverDependencies, queue: str, clock: Clock
) -> None:
    written(EXHAUSTED)
    clock.move(31 * 86_400)
    again = delivery(enqueued_at=clock().timestamp())
    assert run(deps, Endpoint(response(500)), queue_message(again)) == []
    assert (record().state, record().attempts_made, len(record().attempts)) == (RETRYING, 1, 1)
    assert float(record().expires_at) > clock().timestamp()
    assert scheduled(queue) == [2]


def test_copies_of_one_event_counted_several_times_as_parked(
    deps: DeliverDependencies, apps: dict[str, App]
) -> None:
    apps["pager"].state = "disabled"
    for number in range(5):
        assert run(deps, Endpoint(response(200)), queue_message(delivery(), f"copy{number}")) == []
    assert circuits.share("pager", "acme").parked == 1


def test_a_webhook_went_out_minutes_after_an_uninstallation_because_its_message_was_young(
    deps: DeliverDependencies,
) -> None:
    endpoint = Endpoint(response(200))
    waited = delivery(enqueued_at=NOW.timestamp() - 6)
    assert run(without_installation(deps, None), endpoint, queue_message(waited)) == []
    assert endpoint.posted == []
    assert recorded(deps).logged("delivery skipped: missing_installation")
