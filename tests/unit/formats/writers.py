"""What this version writes: each message by its encoder, each item by the code that writes it."""

import base64
import itertools
import json
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import boto3

from bellhop import (
    attempts,
    circuits,
    deliveries,
    handled_events,
    large_bodies,
    outcomes,
    pings,
    resend_jobs,
    resends,
)
from bellhop.attempts import EXHAUSTED, PARKED, RETRYING, Attempt, DeliveryRecord, NextState
from bellhop.deliveries import Delivery, Retry, Trial
from bellhop.events import parse
from bellhop.index_keys import Entry
from bellhop.large_bodies import LARGE_BYTES
from bellhop.long_responses import LongResponse
from bellhop.outcomes import Failure, OutcomeDelta
from bellhop.registry import App, AuditEntry
from bellhop.replays import Replay
from bellhop.resend_jobs import ResendStep
from bellhop.resends import BUSY, Chosen, Times
from bellhop.secrets import SigningSecret
from bellhop.successes import Success, SuccessLog
from deliver.attempt.retry_scheduler import RetryScheduler
from health import follow_up, messages, transitions
from health.messages import AppSweep, FollowUp, RecoveryCheck, RetrySweep
from health.rules import EarlyWarning
from health.transitions import Update
from notify import continuation
from notify.continuation import Cursor
from tests.support.fakes import NOW, SECRET, app, delivery, installation, issue_event, organization
from tests.support.health import health_dependencies
from tests.support.key_pairs import KEY_PAIR
from tests.support.ses import EVIDENCE, Ses

UNIX = NOW.timestamp()
FAILED = Attempt(1, NOW, 120, "request-1", "http_500", 500, "oops")
WHOLE = delivery(project_id="web")
RETRY = Retry(WHOLE.delivery_id, "pager", 2, organization_id="acme")
FIRST_PASS = Replay("pager", 3, (PARKED, EXHAUSTED), 10.0, UNIX + 90, UNIX)
RESENDING = ResendStep("5eed", 1, 98, {BUSY: 2})
CURSOR = Cursor("in-a", refused=("in-0",), enqueued=20, published_at=UNIX)
CHECK = RecoveryCheck("pager", 2, UNIX, UNIX + 900)


def written() -> dict[str, Any]:
    """Everything, by the names of the samples. Needs the fixture `aws`."""
    return {name: json.loads(text) for name, text in _messages()} | dict(_items())


def _messages() -> Iterator[tuple[str, str]]:
    yield "delivery", deliveries.encode(WHOLE)
    yield "delivery.ping", deliveries.encode(pings.make(app(), "2-1", NOW))
    yield "retry", deliveries.encode(RETRY)
    yield "retry.reserved", deliveries.encode(replace(RETRY, reserved=True, deferral=3))
    yield "retry.replay", deliveries.encode(replace(RETRY, replay=True, organization_id=""))
    yield "trial", deliveries.encode(Trial("pager", 3, 4))
    yield "retry.scheduled", _scheduled()["Target"]["Input"]
    yield "continuation", continuation.encode(CURSOR)[continuation.ATTRIBUTE]
    yield "follow_up", messages.encode(FollowUp("pager", transitions.disabled_id(1)))
    yield "replay", messages.encode(FIRST_PASS)
    yield "replay.next_page", messages.encode(replace(FIRST_PASS, after="2026-11-23T12:00#msg", found=9, sent=9))
    further = replace(FIRST_PASS, after="further#2026-11-23T12:00#msg", found=9, sent=9)
    yield "replay.further_keys", messages.encode(further)
    second = replace(FIRST_PASS, passes=1, sent=9, started_at=UNIX - 9, since="2026-11-23T11:59#")
    yield "replay.second_pass", messages.encode(second)
    yield "resend", messages.encode(RESENDING)
    yield "recovery_check", messages.encode(CHECK)
    yield "recovery_check.pinged", messages.encode(replace(CHECK, number=2, ping=WHOLE.delivery_id))
    yield "retry_sweep", messages.encode(RetrySweep())
    cursor = {"delivery_id": {"S": WHOLE.delivery_id}, "due_shard": {"N": "3"}, "next_attempt_at": {"N": "1.5"}}
    yield "retry_sweep.next_page", messages.encode(RetrySweep(3, cursor, UNIX + 3000))
    yield "app_sweep", messages.encode(AppSweep())
    yield "app_sweep.next_page", messages.encode(AppSweep("published", "pager"))
    yield "mail_event", json.dumps(_bounce())


def _scheduled() -> dict[str, Any]:
    class Scheduler:
        made: dict[str, Any]

        def create_schedule(self, **schedule: Any) -> None:
            self.made = schedule

    made = Scheduler()
    queue, client = cast("Any", None), cast("Any", made)
    RetryScheduler(queue, "arn", lambda: client, "g", "role", "dead", lambda: NOW, lambda _: None).send(
        RETRY, 7200
    )
    return made.made


def _bounce() -> dict[str, Any]:
    """What SES writes: https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-examples.html"""
    carried = messages.tags("pager", transitions.disabled_id(1))
    return {
        "source": "aws.ses",
        "detail-type": "Email Bounced",
        "detail": {
            "eventType": "Bounce",
            "bounce": {"bounceType": "Permanent", "bounceSubType": "General"},
            "mail": {"destination": ["ada@acme.example"], "tags": {n: [v] for n, v in carried.items()}},
        },
    }


# ---- Items


def _items() -> Iterator[tuple[str, dict[str, Any]]]:
    yield from _registry()
    yield from _outcomes()
    yield from _successes()
    yield from _attempts()
    yield from _circuits()
    yield from _audit()
    event = parse(json.dumps(issue_event()))
    handled_events.mark([event], UNIX, timedelta(hours=24))
    key = handled_events.key(event)
    yield "handled_event", _item("delivered", key=key, place=handled_events.PLACE)


def _registry() -> Iterator[tuple[str, dict[str, Any]]]:
    organization().save()
    yield "organization", _item("organizations", organization_id="acme")
    app().save()
    yield "app", _item("apps", app_id="pager")
    app("full", max_per_second=5, auto_enable=True, generation=3).save()
    yield "app.full", _item("apps", app_id="full")
    app("room", transform="{text: action}").save()
    yield "app.transform", _item("apps", app_id="room")
    installation(projects=["web"]).save()
    yield "installation", _item("installations", organization_id="acme", installation_id="in-pager")
    installation(installation_id="in-filtered", filter="data.issue.level == 'fatal'").save()
    yield "installation.filter", _item("installations", organization_id="acme", installation_id="in-filtered")
    SigningSecret("pager", secret=SECRET).save()
    yield "secret", _item("secrets", app_id="pager")
    SigningSecret("pager", secret=KEY_PAIR).save()
    yield "secret.key_pair", _item("secrets", app_id="pager")
    SigningSecret("pager", secret=SECRET, previous="cd" * 32, previous_until=UNIX).save()
    yield "secret.overlap", _item("secrets", app_id="pager")
    SigningSecret("pager", secret=SECRET, headers={"X-Team": "ops"}).save()
    yield "secret.headers", _item("secrets", app_id="pager")
    client = {"token_url": "https://login.example/token", "client_id": "pager", "client_secret": "s" * 20}
    SigningSecret("pager", secret=SECRET, oauth2=client | {"scope": "hooks", "authentication": "body"}).save()
    yield "secret.oauth2", _item("secrets", app_id="pager")


def _outcomes() -> Iterator[tuple[str, dict[str, Any]]]:
    failure = Failure(NOW.isoformat(), WHOLE.delivery_id, "ev1", "issue.created", "http_500", "oops")
    delta = OutcomeDelta("pager", "acme", 1, NOW.date(), success=2, error=1, last_failure=failure)
    outcomes.add(delta, lambda _: None)
    key = {"scope": "pager#acme", "generation_day": outcomes.generation_day(1, NOW.date())}
    yield "outcomes", _item("outcomes", **key)
    yield "stream", {"eventSource": "aws:dynamodb", "dynamodb": {"NewImage": _item("outcomes", **key)}}


def _successes() -> Iterator[tuple[str, dict[str, Any]]]:
    names = {"event_id": "ev1", "event": "issue.created", "delivery_id": WHOLE.delivery_id}
    row = {"app": "pager"} | FAILED.row() | names
    SuccessLog("process", timedelta(days=3)).write([Success(WHOLE, row)], NOW)
    page = "2026-11-23T12#process"
    yield "delivered.listed", _item("delivered", key="app#pager", place=page)
    yield "delivered.pack", _item("delivered", key=page, place="2026-11-23T12:00:00.000+00:00#0")
    yield "delivered.bodies", _item("delivered", key=f"bodies#{page}#0", place="2026-11-23T12:00:00.000+00:00#0")


def _attempts() -> Iterator[tuple[str, dict[str, Any]]]:
    yield "attempts.retrying", _opened("msg_retrying", NextState(RETRYING, UNIX + 60, FAILED))
    attempts.claim("msg_retrying", 2, "worker", NOW, 30)
    yield "attempts.leased", _record("msg_retrying")
    _opened("msg_deferred", NextState(RETRYING, UNIX + 60))
    attempts.defer(Retry("msg_deferred", "pager", 1), UNIX + 900, NOW)
    yield "attempts.deferred", _record("msg_deferred")
    yield "attempts.parked", _opened("msg_parked", NextState(PARKED))
    yield "attempts.exhausted", _opened("msg_exhausted", NextState(EXHAUSTED, attempt=FAILED))
    with_headers = replace(FAILED, headers={"Retry-After": "120", "Server": "nginx"})
    yield "attempts.response_headers", _opened("msg_headers", NextState(EXHAUSTED, attempt=with_headers))
    long = replace(FAILED, long=LongResponse("oops" * 300, {"Server": "nginx"}, cut=True))
    yield "attempts.long_response", _opened("msg_long", NextState(EXHAUSTED, attempt=long))
    yield "attempts.delivered", _opened("msg_delivered", NextState("delivered", attempt=FAILED))
    large = replace(_named("msg_large"), body=random.Random(1).randbytes(2 * LARGE_BYTES).hex().encode())
    attempts.open_record(large, NextState(PARKED), NOW)
    yield "attempts.large_body", _record("msg_large")
    yield "large_body", _record(str(large_bodies.key(DeliveryRecord.get("msg_large"))))
    yield "attempts.further_key", _opened("msg_further", NextState(PARKED), key="pager#7")
    yield "entry", _record("entry#msg_further")
    resends.open_delivered(_named("msg_opened"), 1, NOW - timedelta(hours=5), NOW)
    yield "attempts.opened", _record("msg_opened")
    assert resends.make_due(attempts.load("msg_exhausted") or DeliveryRecord(), Times(UNIX - 60, UNIX), NOW)
    yield "attempts.resent", _record("msg_exhausted")
    [entry] = [row for row in Entry.scan() if row.entry_id.startswith("entry#msg_exhausted#")]
    yield "entry.resent", _record(entry.entry_id)
    yield from _resend_job()


def _resend_job() -> Iterator[tuple[str, dict[str, Any]]]:
    resend_jobs.write_page("5eed", 0, [Chosen("msg_exhausted", EXHAUSTED, 11)], NOW)
    yield "resend_page", _record("resend#5eed#0")
    resend_jobs.begin(replace(RESENDING, page=0, sent=0), 250, 3, 10.0, NOW, lost_after=8100)
    yield "resend_job", _record("resend#5eed")
    resend_jobs.note(RESENDING, UNIX + 8200)
    resend_jobs.stop("5eed", UNIX + 10)
    resend_jobs.end(RESENDING, UNIX + 20, "a person stopped it")
    yield "resend_job.stopped", _record("resend#5eed")


def _opened(delivery_id: str, state: NextState, key: str | None = None) -> dict[str, Any]:
    attempts.open_record(_named(delivery_id), state, NOW, timedelta(days=30), key=key)
    return _record(delivery_id)


def _named(delivery_id: str) -> Delivery:
    return replace(WHOLE, delivery_id=delivery_id)


def _record(delivery_id: str) -> dict[str, Any]:
    return _item("attempts", delivery_id=delivery_id)


def _circuits() -> Iterator[tuple[str, dict[str, Any]]]:
    circuits.strike("pager", 3, 4, ["*"], now=UNIX, seconds=600)
    yield "circuit.struck", _circuit("pager")
    circuits.open_circuit("pager", 3, UNIX, UNIX + 60)
    yield "circuit.paused", _circuit("pager")
    circuits.claim_trial("pager", 3, 0, "worker", now=UNIX + 60, seconds=30)
    circuits.end_trial("pager", "worker", 0, UNIX + 120)
    circuits.claim_trial("pager", 3, 1, "worker", now=UNIX + 120, seconds=30)
    yield "circuit.trial", _circuit("pager")
    circuits.close_circuit("pager", "worker", UNIX + 180)
    circuits.advance(circuits.load("pager"), None, UNIX + 181.5)
    yield "circuit.slow_start", _circuit("pager")
    circuits.note_chain("pager", UNIX + 8100)
    yield "circuit.chain", _circuit("pager")
    circuits.note_replay("pager", UNIX + 8100, UNIX, 100, 10.0)
    circuits.end_replay("pager", UNIX, 120, UNIX + 60, "a person stopped it; the rest stays replayable")
    circuits.stop_replays("pager", UNIX + 50)
    yield "circuit.replay", _circuit("pager")
    circuits.keep_slow(circuits.load("pager"), UNIX + 60, 60.0)
    yield "circuit.slow", _circuit("pager")
    circuits.advance(circuits.share("pager", "acme"), None, UNIX + 2)
    circuits.count_parked("pager", "acme", 3, 2)
    circuits.reserve_listing(circuits.share_key("pager", "acme"), UNIX, 600.0, 7200.0)
    yield "share", _circuit("pager#acme")
    circuits.list_slow(["pager", "tortoise"])
    circuits.declare_outage(1_800_000_000.0)
    yield "slow_list", _circuit(circuits.SLOW_KEY)


def _circuit(key: str) -> dict[str, Any]:
    return _item("circuits", app_id=key)


def _audit() -> Iterator[tuple[str, dict[str, Any]]]:
    made: list[FollowUp] = []
    tokens = map(str, itertools.count())
    deps = health_dependencies(
        announce=made.append,
        ses=Ses(),
        token=lambda: next(tokens),
        send_later=lambda *_: None,
        bus=cast("Any", _Bus()),
    )
    pager = App.get("pager")
    transitions.warn(pager, "acme", EarlyWarning("timeouts", 1, 500, 1000, NOW.date()), EVIDENCE, deps)
    yield "audit.warned", _entry(made)
    transitions.disable(pager, "acme", "health", EVIDENCE, deps)
    yield "audit.disabled", _entry(made)
    follow_up.follow_up(made[-1], deps)
    yield "audit.followed_up", _entry(made)
    transitions.enable(
        App.get("pager"), "operator", {"rule": "operator", "replay": {"states": [PARKED]}}, deps, tell_owners=True
    )
    assert follow_up._take_lease(AuditEntry(made[-1].app_id, made[-1].transition_id), deps)
    yield "audit.leased", _entry(made)
    pager = App.get("pager")
    update = Update([App.url.set("https://new.example/in")], App.url == pager.url)
    transitions.change_url(pager, "https://new.example/in", "operator", update, deps)
    yield "audit.url_changed", _entry(made)
    transitions.deletion(App.get("pager"), "operator", NOW).save()
    yield "audit.deleted", _item("audit", app_id="pager", transition_id=transitions.deleted_id(4))


class _Bus:
    def publish(self, *_: Any) -> None:
        """Events on the bus are a contract with others."""


def _entry(made: list[FollowUp]) -> dict[str, Any]:
    return _item("audit", app_id=made[-1].app_id, transition_id=made[-1].transition_id)


def _item(table: str, **key: str) -> dict[str, Any]:
    names = {name: {"S": value} for name, value in key.items()}
    found = boto3.client("dynamodb").get_item(TableName=table, Key=cast("Any", names))["Item"]
    return {n: {k: _base64(v) for k, v in value.items()} for n, value in found.items()}


def _base64(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return sorted(value) if isinstance(value, list) and all(isinstance(each, str) for each in value) else value
