"""What goes over the queues, and what was put there by the version before."""

import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellhop import deliveries, pings
from bellhop.clock import rfc3339
from bellhop.deliveries import Delivery, Retry, Trial
from bellhop.newer import UnknownKindError
from tests.support.fakes import NOW, app, delivery

TEXT = st.text(max_size=40)
RETRIES = st.builds(Retry, TEXT, TEXT, st.integers(1, 20), st.booleans(), st.booleans(), TEXT, st.integers(0, 99))
DELIVERIES = st.builds(Delivery, TEXT, TEXT, TEXT, TEXT, TEXT, TEXT, st.binary(max_size=2000), st.booleans())


TRIALS = st.builds(Trial, TEXT, st.integers(1, 20), st.integers(0, 2000))


@given(RETRIES | DELIVERIES | TRIALS)
def test_what_is_decoded_is_what_was_encoded(message: Delivery | Retry | Trial) -> None:
    assert deliveries.decode(deliveries.encode(message)) == message


def test_a_message_of_the_version_before_is_neither_a_replay_nor_a_ping() -> None:
    fields = {"delivery_id": "msg_1", "app_id": "pager", "next_attempt": 2, "deferred_since": None}
    old = json.dumps({"v": 1, "kind": "retry"} | fields)
    assert deliveries.decode(old) == Retry("msg_1", "pager", 2)
    plain = delivery(enqueued_at=0.0)
    first = json.loads(deliveries.encode(plain))
    assert sorted(first) == sorted(
        ["v", "delivery_id", "event_id", "event", "app_id", "organization_id", "installation_id", "body"]
    )
    assert deliveries.decode(json.dumps(first)) == plain


def test_what_is_not_set_is_not_sent_so_that_the_version_before_can_read_it() -> None:
    assert "replay" not in deliveries.encode(Retry("msg_1", "pager", 2))
    assert "ping" not in json.loads(deliveries.encode(delivery()))


@pytest.mark.parametrize("message", [delivery(), Retry("msg_1", "pager", 2), Trial("pager", 1, 0)])
def test_a_field_that_a_newer_version_added_is_ignored(message: Delivery | Retry | Trial) -> None:
    newer = json.loads(deliveries.encode(message)) | {"added_later": 1}
    assert deliveries.decode(json.dumps(newer)) == message


@pytest.mark.parametrize("text", ['{"v": 2}', '{"v": 1, "kind": "from_tomorrow"}'])
def test_a_newer_version_is_told_from_what_is_no_message_of_ours(text: str) -> None:
    with pytest.raises(UnknownKindError):
        deliveries.decode(text)


@pytest.mark.parametrize("text", ['{"v": 0}', '{"v": "2"}', '{"v": true}', '{"v": null}', '{"v": 1, "body": ""}'])
def test_what_no_version_of_ours_sends_is_refused(text: str) -> None:
    with pytest.raises((ValueError, zlib.error)):
        deliveries.decode(text)


@pytest.mark.parametrize("message", [delivery(), Retry("msg_1", "pager", 2), Trial("pager", 1, 0)])
@pytest.mark.parametrize("junk", [None, 7, ["pager"], {"S": "pager"}])
def test_a_message_whose_app_was_no_text_had_its_whole_batch_come_back_until_it_was_dead(
    message: Delivery | Retry | Trial, junk: object
) -> None:
    damaged = json.loads(deliveries.encode(message)) | {"app_id": junk}
    with pytest.raises(TypeError, match="app_id of a message"):
        deliveries.decode(json.dumps(damaged))


def test_a_ping_is_a_webhook_like_any_other_about_the_app_itself() -> None:
    ping = pings.make(app(organization_id="acme"), "7-1", NOW)
    body = json.loads(ping.body)
    assert list(body) == [
        "action", "installation", "data", "actor",
        "event_id", "resource", "occurred_at", "organization_id", "project_id",
    ]  # fmt: skip
    assert (body["event_id"], body["resource"], body["occurred_at"]) == (ping.event_id, "ping", rfc3339(NOW))
    assert (body["organization_id"], body["project_id"]) == ("acme", None)
    assert (body["action"], body["installation"]) == ("test", {"uuid": "uuid-pager"})
    assert body["actor"] == {"type": "application", "id": "bellhop", "name": "Bellhop"}
    assert (ping.event, ping.resource, ping.event_id) == ("ping.test", "ping", "ping_7-1")
    assert (ping.organization_id, ping.app_id, ping.ping) == ("acme", "pager", True)


def test_a_ping_is_transformed_as_webhooks_are_and_sent_as_it_is_where_that_fails() -> None:
    read = pings.make(app(transform="{text: not_null(data.issue.title, data.message)}"), "t", NOW)
    assert json.loads(read.body)["text"].startswith("Bellhop is testing this endpoint")
    failing = pings.make(app(transform="{text: join('', [data.issue.title])}"), "t", NOW)
    assert failing == pings.make(app(), "t", NOW)


def test_a_pings_id_is_made_of_its_app_and_token() -> None:
    one = pings.make(app(), "t", NOW)
    assert one.delivery_id == deliveries.delivery_id("acme", "ping_t", "pager")
    others = [pings.make(app(), "u", NOW), pings.make(app("other"), "t", NOW)]
    assert len({d.delivery_id for d in [one, pings.make(app(), "t", NOW), *others]}) == 3


def test_a_ping_never_counts_towards_switching_an_app_off() -> None:
    assert not pings.make(app(organization_id=None), "t", NOW).counts
