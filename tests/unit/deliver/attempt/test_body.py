"""A large body is read only for the attempt that sends it; where it cannot be read, nothing is lost silently."""

import random
from dataclasses import replace
from typing import Any

import pytest
from pynamodb.exceptions import GetError

from bellhop import attempts, circuits, large_bodies
from bellhop.attempts import PARKED, RETRYING, STOPPED, WITHDRAWN, DeliveryRecord, NextState
from bellhop.deliveries import Delivery, Retry, Trial
from bellhop.large_bodies import LargeBody
from bellhop.registry import App
from bellhop.tables import _Connection
from deliver.dependencies import DeliverDependencies, RetryPolicy
from tests.support.endpoint import Apps, Clock, Endpoint, record, recorded, response, retries, run
from tests.support.fakes import NOW, app, delivery, queue_message
from tests.support.table_units import TableUnits

BODY = random.Random(1).randbytes(200 * 1024)
LARGE = delivery(enqueued_at=NOW.timestamp(), body=BODY)
ID = LARGE.delivery_id
PATIENT = RetryPolicy((3600,) * 10, lease=30, fresh=190)
RETRY = queue_message(Retry(ID, "pager", 1, organization_id="acme"))
REPLAY = queue_message(Retry(ID, "pager", 1, replay=True, organization_id="acme"), "m2")


@pytest.fixture
def units(aws: None, monkeypatch: pytest.MonkeyPatch) -> TableUnits:
    """What is used of the table Attempts."""
    counted = TableUnits(DeliveryRecord.Meta.table_name)
    counted.watch(monkeypatch)
    return counted


def opened(state: str, made: Delivery = LARGE) -> None:
    assert attempts.open_record(made, NextState(state, NOW.timestamp()), NOW)


def body_item(delivery_id: str = ID) -> LargeBody:
    return LargeBody.get(str(large_bodies.key(record(delivery_id))))


def test_a_large_event_that_is_refused_for_ever_is_written_once(
    deps: DeliverDependencies, queue: str, units: TableUnits
) -> None:
    often, refusing = replace(deps, policy=RetryPolicy((0,) * 10, lease=30, fresh=190)), Endpoint(response(404))
    run(often, refusing, queue_message(LARGE))
    for _ in range(10):
        run(often, refusing, *retries(queue))
    assert (record().state, record().attempts_made) == ("exhausted", 11)
    assert {body for _, _, body in refusing.posted} == {BODY}
    small = 21 * 2  # a record of one to two KiB: its put, and the claims and ends of ten retries
    assert units.written <= 201 + small
    assert units.calls["UpdateItem"] + units.calls["PutItem"] == 22


def test_a_large_event_that_was_published_again_after_its_delivery_was_over_was_written_twice(
    deps: DeliverDependencies, clock: Clock, units: TableUnits
) -> None:
    run(deps, Endpoint(response(410)), queue_message(LARGE))
    clock.move(60)
    units.written = 0
    run(deps, Endpoint(response(500)), queue_message(replace(LARGE, enqueued_at=clock.seconds()), "again"))
    assert (record().state, len(record().attempts)) == (RETRYING, 2)
    assert units.written <= 201 + 3  # the body, and beside it the record that is there, and begins anew
    assert large_bodies.load(record()).body == BODY


def test_what_waits_is_parked_and_deferred_without_its_body(deps: DeliverDependencies, units: TableUnits) -> None:
    opened(RETRYING)
    units.written, units.read = 0, 0.0
    off = replace(deps, registry=Apps({"pager": app(state="disabled")}))
    assert run(off, Endpoint(response(200)), RETRY) == []
    assert record().state == PARKED
    slow = replace(deps, registry=Apps({"pager": app(max_per_second=0.01)}), policy=PATIENT)
    first = queue_message(delivery(delivery_id="msg_first"))
    assert run(slow, Endpoint(response(200)), first, REPLAY) == []
    assert record().deferrals == 1
    assert (units.written, units.read) == (2, 2.0)  # two updates; the reads are this test's


@pytest.mark.parametrize("apps", [{}, {"pager": app(events=["comment"])}])
def test_what_nobody_wants_any_more_ends_without_its_body(
    deps: DeliverDependencies, units: TableUnits, apps: dict[str, App]
) -> None:
    opened(RETRYING)
    units.written = 0
    assert run(replace(deps, registry=Apps(apps)), Endpoint(response(200)), RETRY) == []
    assert record().state in {STOPPED, WITHDRAWN}
    assert units.written <= 2
    assert units.calls["GetItem"] == 1  # by this test


def silent(patch: pytest.MonkeyPatch) -> None:
    """Have the table not respond where a body is read."""
    dispatch = _Connection.dispatch

    def without_bodies(connection: Any, operation: str, request: Any) -> Any:
        if operation == "GetItem" and request["Key"].get("delivery_id", {}).get("S", "").startswith("body#"):
            raise GetError("the table does not respond")
        return dispatch(connection, operation, request)

    patch.setattr(_Connection, "dispatch", without_bodies)


def test_a_body_that_is_not_read_gives_the_attempt_back_and_is_sent_when_the_message_comes_again(
    deps: DeliverDependencies, aws: None
) -> None:
    opened(RETRYING)
    endpoint = Endpoint(response(200))
    with pytest.MonkeyPatch.context() as patch:
        silent(patch)
        assert run(deps, endpoint, RETRY) == ["m1"]
    assert {"lease", "lease_until"}.isdisjoint(record().attribute_values)
    assert (record().state, endpoint.posted) == (RETRYING, [])
    assert run(deps, endpoint, RETRY) == []
    assert [body for _, _, body in endpoint.posted] == [BODY]


def test_a_trial_whose_body_is_not_read_leaves_its_delivery_free_and_is_made_when_its_message_comes_again(
    deps: DeliverDependencies, clock: Clock
) -> None:
    patient = replace(deps, policy=PATIENT)
    circuits.open_circuit("pager", 1, deps.time(), deps.time() + 30)
    opened(PARKED)
    clock.move(31)
    endpoint = Endpoint(response(200))
    with pytest.MonkeyPatch.context() as patch:
        silent(patch)
        assert run(patient, endpoint, queue_message(Trial("pager", 1, 0))) == ["m1"]
    assert "lease" not in record().attribute_values
    clock.move(190)
    assert run(patient, endpoint, queue_message(Trial("pager", 1, 0), receive_count=2)) == []
    assert [body for _, _, body in endpoint.posted] == [BODY]


def test_a_body_that_is_lost_stops_its_delivery_with_a_log_line_and_the_message_is_done(
    deps: DeliverDependencies, aws: None
) -> None:
    opened(RETRYING)
    body_item().delete()
    endpoint = Endpoint(response(200))
    assert run(deps, endpoint, RETRY) == []
    assert endpoint.posted == []
    assert (record().state, record().attempts_made) == (STOPPED, 0)
    assert "lease" not in record().attribute_values
    [line] = recorded(deps).logged("delivery stopped: its body is lost; publish its event again")
    assert (line["delivery_id"], line["app_id"], line["event_id"]) == (ID, "pager", LARGE.event_id)
    assert recorded(deps).counts["DeliveryStopped"] == 1


def test_a_delivery_whose_body_was_lost_begins_anew_when_its_event_is_published_again(
    deps: DeliverDependencies, clock: Clock
) -> None:
    opened(RETRYING)
    body_item().delete()
    run(deps, Endpoint(response(200)), RETRY)
    clock.move(60)
    again = replace(LARGE, enqueued_at=clock().timestamp())
    assert run(deps, Endpoint(response(500)), queue_message(again)) == []
    assert (record().state, record().attempts_made) == (RETRYING, 1)
    assert body_item().body


def test_a_trial_passes_over_a_delivery_whose_body_is_lost(deps: DeliverDependencies, clock: Clock) -> None:
    circuits.open_circuit("pager", 1, deps.time(), deps.time() + 30)
    opened(PARKED, replace(LARGE, delivery_id="msg_lost"))
    body_item("msg_lost").delete()
    clock.move(1)
    assert attempts.open_record(replace(LARGE, delivery_id="msg_whole"), NextState(PARKED), clock())
    clock.move(30)
    endpoint = Endpoint(response(200))
    assert run(replace(deps, policy=PATIENT), endpoint, queue_message(Trial("pager", 1, 0))) == []
    assert [headers["webhook-id"] for _, headers, _ in endpoint.posted] == ["msg_whole"]
    assert record("msg_lost").state == STOPPED
    assert circuits.load("pager").paused_since is None
