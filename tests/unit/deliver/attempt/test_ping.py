"""Pings: sent like every delivery, and nothing about the app changes by them."""

import dataclasses
import json
from typing import Any

import pytest

from bellhop import app_lists, circuits, pings
from bellhop.deliveries import Delivery
from bellhop.registry import App
from deliver.attempt.kept_headers import ALL_BYTES
from deliver.attempt.masking import MASKED
from deliver.attempt.signing import Keys
from deliver.dependencies import DeliverDependencies
from deliver.http.response import SendFailure
from tests.support.endpoint import (
    NOTHING,
    TIMEOUT,
    Apps,
    Endpoint,
    Secrets,
    counters,
    packed,
    record,
    recorded,
    response,
    retries,
    run,
)
from tests.support.fakes import NOW, SECRET, app, delivery, queue_message

PING = pings.make(app(), "1", NOW)
MESSAGE = queue_message(PING, "ping")


def made() -> dict[str, Any]:
    [entry] = record(PING.delivery_id).attempts
    return dict(entry)


def test_a_ping_is_signed_and_sent_with_the_apps_own_headers(
    deps: DeliverDependencies, apps: dict[str, App]
) -> None:
    endpoint, keys = Endpoint(response(200)), Keys(SECRET, headers={"X-Team": "red"})
    assert run(dataclasses.replace(deps, secrets=Secrets(keys)), endpoint, MESSAGE) == []
    [(url, headers, body)] = endpoint.posted
    assert (url, body) == (apps["pager"].url, PING.body)
    assert (headers["webhook-id"], headers["Sentry-Hook-Resource"], headers["X-Team"]) == (
        PING.delivery_id,
        "ping",
        "red",
    )
    assert headers["webhook-signature"].startswith("v1,")


def test_a_2xx_leaves_a_record_with_the_response_for_a_day(deps: DeliverDependencies) -> None:
    run(deps, Endpoint(response(202, b"here I am", {"server": "nginx"})), MESSAGE)
    found = record(PING.delivery_id)
    assert (found.state, found.attempts_made, found.event) == ("delivered", 1, "ping.test")
    assert found.expires_at == NOW.timestamp() + 86_400
    entry = made()
    assert (entry["result"], entry["status"], entry["response"]) == ("http_202", 202, "here I am")
    assert dict(entry["headers"]) == {"server": "nginx"}
    assert recorded(deps).logged("ping sent")[0]["status"] == 202


BAD = [response(500), response(410), response(302), response(429, headers={"retry-after": "60"}), TIMEOUT]
BAD += [
    response(503, headers={"webhook-delivery": "disable"}),
    SendFailure("address_not_allowed", "private", refused=True),
]


@pytest.mark.parametrize("bad", BAD)
def test_whatever_else_comes_of_it_ends_stopped_is_not_tried_again_and_never_counts(
    deps: DeliverDependencies, queue: str, bad: Any
) -> None:
    endpoint = Endpoint(bad)
    many = [queue_message(pings.make(app(), str(n), NOW), f"m{n}") for n in range(12)]
    assert run(deps, endpoint, *many) == []
    assert {record(pings.make(app(), str(n), NOW).delivery_id).state for n in range(12)} == {"stopped"}
    assert counters() == NOTHING
    assert retries(queue) == []
    assert app_lists.replayable("pager", None, 10) == []
    assert circuits.load("pager").paused_since is None


def test_a_2xx_that_asks_to_be_switched_off_is_not_well_and_switches_nothing_off(
    deps: DeliverDependencies,
) -> None:
    run(deps, Endpoint(response(200, headers={"webhook-delivery": "disable"})), MESSAGE)
    assert (record(PING.delivery_id).state, made()["result"]) == ("stopped", "http_200")
    assert counters() == NOTHING


def test_a_success_is_neither_counted_nor_packed(deps: DeliverDependencies) -> None:
    run(deps, Endpoint(response(200)), MESSAGE)
    assert counters() == NOTHING
    assert packed() == []
    assert "DeliverySucceeded" not in recorded(deps).counts


def test_an_app_that_is_off_is_pinged_and_its_deliveries_beside_it_are_parked(
    deps: DeliverDependencies, apps: dict[str, App]
) -> None:
    apps["pager"] = app(state="disabled", generation=2)
    endpoint = Endpoint(response(200))
    assert run(deps, endpoint, queue_message(delivery()), MESSAGE) == []
    assert [body for _, _, body in endpoint.posted] == [PING.body]
    assert record().state == "parked"
    assert record(PING.delivery_id).state == "delivered"


def test_a_paused_app_is_pinged_without_that_being_its_trial(deps: DeliverDependencies) -> None:
    now = NOW.timestamp()
    circuits.open_circuit("pager", 1, now - 100, now - 1)
    before = circuits.load("pager").serialize()
    endpoint = Endpoint(response(200))
    run(deps, endpoint, MESSAGE)
    assert len(endpoint.posted) == 1
    assert circuits.load("pager").serialize() == before


def test_a_ping_spends_no_pace_of_a_limited_app(deps: DeliverDependencies, apps: dict[str, App]) -> None:
    apps["pager"] = app(max_per_second=1)
    endpoint = Endpoint(response(200))
    run(deps, endpoint, MESSAGE, queue_message(pings.make(app(), "2", NOW), "m2"), queue_message(delivery(), "m3"))
    assert len(endpoint.posted) == 3
    assert circuits.share("pager", "acme").tat == NOW.timestamp() + 1


@pytest.mark.parametrize("count", [1, 2])
def test_a_ping_whose_record_exists_is_not_sent_again(deps: DeliverDependencies, count: int) -> None:
    endpoint = Endpoint(response(500))
    run(deps, endpoint, MESSAGE)
    assert run(deps, endpoint, queue_message(PING, "ping", receive_count=count)) == []
    assert len(endpoint.posted) == 1


def test_a_ping_without_time_left_comes_back(deps: DeliverDependencies) -> None:
    endpoint = Endpoint(response(200))
    assert run(deps, endpoint, MESSAGE, time_left=False) == ["ping"]
    assert run(deps, endpoint, queue_message(PING, "ping", receive_count=2)) == []
    assert record(PING.delivery_id).state == "delivered"


def test_an_unknown_app_is_skipped_and_a_missing_secret_brings_back_the_message(deps: DeliverDependencies) -> None:
    endpoint = Endpoint(response(200))
    assert run(dataclasses.replace(deps, registry=Apps({})), endpoint, MESSAGE) == []
    assert recorded(deps).counts["Skipped_missing_app"] == 1
    assert run(dataclasses.replace(deps, secrets=Secrets(None)), endpoint, MESSAGE) == ["ping"]
    assert endpoint.posted == []


def test_an_app_of_no_organisation_can_be_pinged(deps: DeliverDependencies, apps: dict[str, App]) -> None:
    apps["pager"] = app(organization_id=None)
    lonely: Delivery = pings.make(apps["pager"], "1", NOW)
    run(deps, Endpoint(response(200)), queue_message(lonely))
    assert (record(lonely.delivery_id).state, record(lonely.delivery_id).organization_id) == ("delivered", "")


def test_headers_of_a_pings_response_were_kept_with_the_secrets_and_cookies_in_them(
    deps: DeliverDependencies,
) -> None:
    keys = Keys(SECRET, headers={"Authorization": "Bearer 0123456789"})
    echo = response(200, headers={"x-echo": "you sent Bearer 0123456789", "set-cookie": "id=1", "server": "nginx"})
    run(dataclasses.replace(deps, secrets=Secrets(keys)), Endpoint(echo), MESSAGE)
    assert made()["headers"] == {"x-echo": MASKED, "set-cookie": MASKED, "server": "nginx"}


def test_a_hostile_responses_headers_are_kept_bounded_and_without_control_characters(
    deps: DeliverDependencies,
) -> None:
    run(deps, Endpoint(response(200, headers={"x-a": "red\x1b[31m\r\nx", "x-b": "y" * 9000, "x-c": "z"})), MESSAGE)
    kept = {name: str(value) for name, value in made()["headers"].items()}
    assert kept["x-a"] == "red\ufffd[31m\ufffd\ufffdx"
    assert set(kept) == {"x-a", "x-b"}
    assert len(json.dumps(kept, ensure_ascii=False).encode()) < ALL_BYTES + 50
