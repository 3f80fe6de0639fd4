"""With the longest values that the schemas allow, no service refuses a call of the functions.

moto and the embedded AWS check few of these limits, so a test with short values says nothing of them.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any

import boto3
import pytest

from bellhop import app_lists, attempts, circuits, outcomes, pings, tables
from bellhop.attempts import EXHAUSTED, PARKED, RETRYING, Attempt, NextState
from bellhop.bus import Bus
from bellhop.circuits import Circuit
from bellhop.deliveries import Delivery, Retry, Trial
from bellhop.events import MAX_EVENT_BYTES, SCHEMA_PATH
from bellhop.outcomes import Failure, OutcomeDelta
from bellhop.queues import MAX_BATCH_BYTES, OutgoingMessage, Queue
from bellhop.registry import App, AuditEntry, Installation, Organization, Registry
from bellhop.replays import Releases, Replay
from bellhop.secrets import SigningSecret
from bellhop.successes import Success, SuccessLog
from bellhop.tables import ItemKey, read_at_once
from deliver.app import PROCESS_DIGITS
from deliver.attempt import chain, kept_headers
from deliver.attempt.keyring import Keyring
from deliver.attempt.masking import Mask
from deliver.attempt.retry_scheduler import RetryScheduler
from deliver.attempt.signing import Keys
from health import follow_up, replay, rules, transitions
from health.dependencies import HealthDependencies, Queues
from health.mail import address
from health.mail.links import Links
from health.messages import FollowUp, RecoveryCheck
from health.rules import BROKEN, EarlyWarning, Evaluation, Thresholds
from health.transitions import Update
from infra.cli.registry.events import events_of
from notify import continuation, intake
from notify.continuation import Cursor
from notify.fanout import MAX_REFUSED
from notify.intake import NotifyDependencies
from tests.docs.pages import ROOT
from tests.support import emitted
from tests.support.aws_limits import faults
from tests.support.endpoint import Clock, dependencies
from tests.support.fakes import NOW, SECRET, FakeRegistry, Recorder, app, issue_event, organization, queue_message
from tests.support.health import health_dependencies
from tests.support.longest import (
    APP,
    BUS,
    DELIVERY,
    EVENT,
    GENERATION,
    GROUP,
    INSTALLATION,
    NAME,
    NOISE,
    NUMBER,
    ORGANIZATION,
    OWNER,
    PROJECT,
    QUEUE_ARN,
    QUEUE_URL,
    RESPONSE,
    ROLE,
    URL,
    Calls,
    checked,
)
from tests.unit.template.test_rights import statements

UNIX = NOW.timestamp()
EVENT_NAME = "metric_alert.critical"
BODY = Delivery(DELIVERY, EVENT, EVENT_NAME, APP, ORGANIZATION, INSTALLATION, NOISE.encode(), project_id=PROJECT)
WHOLE = replace(BODY, enqueued_at=UNIX)
FILE = json.loads((ROOT / "infra" / "cli" / "registry" / "registry.schema.json").read_text())["$defs"]
REGISTRY = {kind: FILE[kind]["properties"] for kind in ("organization", "app", "installation")}
OWNERS = [f"{number:03d}{OWNER[3:]}" for number in range(10)]
HEADERS = kept_headers.of_failure(dict.fromkeys(kept_headers.OF_FAILURES, "\x7f" * 40), Mask(Keys("")))
FAILED = Attempt(1, NOW, 60_000, "r" * 36, "disable_410", 410, RESPONSE.decode(errors="replace"), HEADERS)
ATTEMPTS = 11


def queue() -> Queue:
    return Queue(boto3.client("sqs"), QUEUE_URL)


def scheduler() -> RetryScheduler:
    return RetryScheduler(
        queue(),
        QUEUE_ARN,
        lambda: boto3.client("scheduler"),
        GROUP,
        ROLE,
        QUEUE_ARN,
        lambda: NOW,
        lambda _: None,
    )


def bus() -> Bus:
    return Bus(lambda: boto3.client("events"), BUS)


# ---- What each function does


def notify_an_event() -> None:
    registry = FakeRegistry(
        {ORGANIZATION: organization()},
        {APP: app(APP, events=["issue"])},
        [
            Installation(ORGANIZATION, f"{number:03d}{INSTALLATION[3:]}", app_id=APP, events=["issue"])
            for number in range(12)
        ],
    )
    names = {"event_id": EVENT, "organization_id": ORGANIZATION, "project_id": PROJECT}
    event = json.dumps(issue_event(**names, issue={"id": "1", "title": NOISE}), ensure_ascii=False)
    assert MAX_EVENT_BYTES - 2000 < len(event.encode()) <= MAX_EVENT_BYTES
    too_large = "\ufffd" * (MAX_BATCH_BYTES // 3)
    deps = NotifyDependencies(registry, queue(), queue(), queue(), Recorder(), lambda _: None, NOW.timestamp)
    messages = [queue_message(event, "m1"), queue_message(too_large, "m2")]
    assert intake.process(messages, deps, lambda: 900.0) == []
    cursor = Cursor(INSTALLATION, refused=(INSTALLATION,) * MAX_REFUSED, enqueued=NUMBER)
    queue().send(OutgoingMessage(event, ORGANIZATION, attributes=continuation.encode(cursor)))


def notify_reads_the_registry() -> None:
    registry = Registry(60.0, NOW.timestamp)
    assert registry.organization(ORGANIZATION)
    assert registry.app(APP)
    assert registry.installation(ORGANIZATION, INSTALLATION)
    assert registry.installations(ORGANIZATION, "a")


def deliver_reads_a_batch() -> None:
    ids = [f"{number:03d}{APP[3:]}" for number in range(100)]
    keys = [ItemKey(model, app_id) for app_id in ids for model in (App, SigningSecret, Circuit)]
    assert set(read_at_once(keys, tables.connect(retries=0))) == set(keys)


def deliver_attempts() -> None:
    attempts.open_record(WHOLE, NextState(RETRYING, UNIX + NUMBER, FAILED), NOW)
    for number in range(2, ATTEMPTS + 1):
        record = attempts.claim(DELIVERY, number, "t" * 36, NOW, 30)
        assert record
        state = EXHAUSTED if number == ATTEMPTS else RETRYING
        assert attempts.finish(record, NextState(state, UNIX + NUMBER, replace(FAILED, number=number)), NOW)
    exhausted = attempts.load(DELIVERY)
    assert exhausted
    chain.announce_exhausted(exhausted, dependencies(None, scheduler(), bus(), Clock()))
    [listed] = app_lists.replayable(APP, None, 10)
    assert attempts.exhaust(listed, NOW)
    assert attempts.list_exhausted(app_lists.replayable(APP, None, 10)[0], NOW)
    assert attempts.park(Retry(DELIVERY, APP, ATTEMPTS + 1, replay=True, organization_id=ORGANIZATION), NOW)
    assert app_lists.waiting(APP, NOW, 10)
    assert app_lists.replayable(APP, app_lists.place_at(NOW), 10, exhausted=False)
    reopened = attempts.load(DELIVERY)
    assert reopened
    again = replace(WHOLE, body=b"{}")  # moto would count the old body beside the new one
    assert attempts.reopen(again, reopened, NextState(RETRYING, UNIX, FAILED), NOW)
    assert attempts.defer(Retry(DELIVERY, APP, 2), UNIX + NUMBER, NOW)


def deliver_schedules() -> None:
    made = scheduler()
    retry = Retry(DELIVERY, APP, NUMBER, reserved=True, replay=True, organization_id=ORGANIZATION, deferral=NUMBER)
    for seconds in (900, 31 * 86_400):
        made.send(retry, seconds)
        made.send_trial(Trial(APP, GENERATION, NUMBER), seconds)
    assert made.hand_over([WHOLE]) == set()


def deliver_counts() -> None:
    failure = Failure(NOW.isoformat(), DELIVERY, EVENT, EVENT_NAME, "abort_599", "\ufffd" * 53)
    counts = dict.fromkeys(outcomes.COUNTERS, NUMBER)
    delta = OutcomeDelta(APP, ORGANIZATION, GENERATION, NOW.date(), **counts, last_failure=failure)
    outcomes.add(delta, lambda _: None)
    assert outcomes.days(APP, ORGANIZATION, GENERATION, NOW.date(), 30)
    named = {name: getattr(WHOLE, name) for name in ("event_id", "event", "delivery_id", "installation_id")}
    rows = [FAILED.row() | named | {"app": f"{number:03d}{APP[3:]}"} for number in range(100)]
    delivered = [Success(replace(WHOLE, app_id=row["app"], body=b"{}"), row) for row in rows]
    SuccessLog("p" * PROCESS_DIGITS, timedelta(days=30)).write([*delivered[1:], Success(WHOLE, rows[0])], NOW)


def deliver_circuits() -> None:
    circuits.strike(APP, GENERATION, NUMBER, {f"{n:064d}" for n in range(100)}, now=UNIX, seconds=3600)
    circuits.clear(APP, GENERATION)
    assert circuits.open_circuit(APP, GENERATION, UNIX, UNIX)
    assert circuits.postpone_trial(APP, UNIX, UNIX - 1)
    assert circuits.claim_trial(APP, GENERATION, 0, "t" * 36, now=UNIX, seconds=60)
    assert circuits.end_trial(APP, "t" * 36, 0, UNIX)
    assert circuits.claim_trial(APP, GENERATION, 1, "t" * 36, now=UNIX, seconds=60)
    assert circuits.close_circuit(APP, "t" * 36, UNIX, strikes=NUMBER)
    assert circuits.advance(circuits.share(APP, ORGANIZATION), None, UNIX + NUMBER)
    circuits.count_parked(APP, ORGANIZATION, GENERATION, NUMBER)
    circuits.list_slow(f"{number:04d}{APP[4:]}" for number in range(circuits.MOST_SLOW))
    circuits.unlist_slow(f"{number:04d}{APP[4:]}" for number in range(circuits.MOST_SLOW // 2))
    assert len(circuits.slow_list().names) == circuits.MOST_SLOW // 2


def deliver_signs() -> None:
    assert Keyring(Registry(60.0, NOW.timestamp), NOW.timestamp).keys(app(APP))
    Releases(queue(), 1000.0, NUMBER, lambda: UNIX).start(APP, GENERATION)


def health_deps() -> HealthDependencies:
    queues = Queues(queue(), queue(), queue())
    return health_dependencies(
        announce=queues.announce,
        send_later=queues.announce,
        ping=queues.ping,
        retry=queues.retry,
        wait=queues.wait,
        bus=bus(),
        ses=boto3.client("sesv2"),
        mail_from=f"Bellhop <{OWNER}>",
        mail_configuration_set="c" * 64,
        links=Links(f"{URL}/{{organization}}/{{app}}/", "https://t.example/{organization}/{app}/{owner}"),
    )


def health_switches() -> None:
    deps = health_deps()
    failure = asdict(Failure(NOW.isoformat(), DELIVERY, EVENT, EVENT_NAME, "abort_599", "\ufffd" * 53))
    days = tuple(rules.Day(NOW.date(), NUMBER, NUMBER, NUMBER, NUMBER) for _ in range(30))
    facts = Evaluation(rules.TIMEOUTS, days, NOW.date()).evidence()
    facts |= {"url": URL, "last_failure": failure, "reason": NAME, "replay": {"states": [PARKED, EXHAUSTED]}}
    facts |= {"thresholds": asdict(Thresholds(NUMBER, 30, NUMBER))}
    longest = max((rules.FATAL, rules.TIMEOUTS, rules.ERRORS, rules.PAUSE), key=len)
    warning = {"level": BROKEN - 1, "reached": NUMBER, "limit": NUMBER}
    for level in (BROKEN - 1, BROKEN):
        due = EarlyWarning(longest, level, NUMBER, NUMBER, NOW.date())
        made = transitions.warn(App.get(APP), ORGANIZATION, due, facts | {"warning": warning}, deps)
        _follow(made, deps)
    assert [*transitions.warnings(App.get(APP))]
    update = Update([App.url.set(f"{URL}2")], App.url == URL)
    _follow(transitions.change_url(App.get(APP), f"{URL}2", "operator:" + NAME, update, deps), deps)
    _follow(transitions.disable(App.get(APP), ORGANIZATION, "operator:" + NAME, facts, deps), deps)
    assert transitions.last_transition(App.get(APP))
    assert transitions.registration(App.get(APP), "operator:" + NAME, NOW)
    by_person = facts | {"rule": transitions.BY_PERSON}
    _follow(transitions.enable(App.get(APP), "operator:" + NAME, by_person, deps, tell_owners=True), deps)


def _follow(made: AuditEntry | None, deps: HealthDependencies) -> None:
    assert made
    follow_up.follow_up(FollowUp(made.app_id, made.transition_id), deps)
    assert AuditEntry.get(made.app_id, made.transition_id, consistent_read=True).finished_at


def health_replays() -> None:
    deps = health_deps()
    attempts.open_record(replace(BODY, delivery_id=f"{DELIVERY[:-1]}0", body=b"{}"), NextState(PARKED), NOW)
    generation = int(App.get(APP).generation)
    message = Replay(APP, generation, (PARKED, EXHAUSTED), 1000.0, UNIX + NUMBER, UNIX, "z", NUMBER, NUMBER)
    replay.step(replace(message, after=None), deps)
    deps.send_later(RecoveryCheck(APP, GENERATION, UNIX, UNIX, NUMBER, DELIVERY), 900)
    deps.ping(pings.make(App.get(APP), f"{GENERATION}-{NUMBER}", NOW))


STORIES: list[Callable[[], None]] = [
    notify_an_event,
    notify_reads_the_registry,
    deliver_reads_a_batch,
    deliver_attempts,
    deliver_schedules,
    deliver_counts,
    deliver_circuits,
    deliver_signs,
    health_switches,
    health_replays,
]


@pytest.fixture
def registered(aws: None) -> None:
    Organization(ORGANIZATION, slug=APP, name=NAME, owners=OWNERS).save()
    values = {"organization_id": ORGANIZATION, "url": URL, "name": NAME, "uuid": "u" * 36, "auto_enable": True}
    app(APP, **values, generation=GENERATION - 9).save()
    Installation(ORGANIZATION, INSTALLATION, app_id=APP, events=[EVENT_NAME], projects=[PROJECT] * 100).save()
    own = {f"X-{number:02d}": "h" * 200 for number in range(20)}
    client = {"token_url": URL, "client_id": "i" * 256, "client_secret": "s" * 1024, "scope": "s" * 1000}
    client |= {"audience": "a" * 1000, "authentication": "basic"}
    kept: dict[str, Any] = {"headers": own, "oauth2": client}
    SigningSecret(APP, secret=SECRET, previous=SECRET, previous_until=UNIX + NUMBER, **kept).save()


@pytest.fixture
def calls(registered: None, monkeypatch: pytest.MonkeyPatch) -> Calls:
    return checked(monkeypatch)


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_no_service_refuses_a_call_and_no_item_is_too_large(story: Callable[[], None], calls: Calls) -> None:
    story()
    calls.check_tables()
    assert calls.made
    assert calls.faults == []


def test_the_stories_make_every_kind_of_call_that_the_roles_allow(calls: Calls) -> None:
    for story in STORIES:
        story()
    assert set(called_by_the_functions()) <= {*calls.made} | {
        # SES's API has two versions, and IAM one; what a transaction does, it allows one by one.
        "ses:SendEmail" if call == "sesv2:SendEmail" else "dynamodb:ConditionCheckItem"
        for call in calls.made & {"sesv2:SendEmail", "dynamodb:TransactWriteItems"}
    }


def called_by_the_functions() -> Iterator[str]:
    """The actions of the roles, without what Lambda and the scheduler do by them."""
    of_lambda = re.compile(
        r"logs:.*|iam:PassRole|sqs:(ReceiveMessage|DeleteMessage|GetQueueAttributes)"
        r"|dynamodb:(GetRecords|GetShardIterator|DescribeStream|ListStreams)"
    )
    for statement in statements():
        actions = statement["Action"]
        for action in [actions] if isinstance(actions, str) else actions:
            if not of_lambda.fullmatch(action):
                yield action


def test_the_most_that_a_registry_file_allows_fits_into_rows_and_into_an_audit_entry(calls: Calls) -> None:
    owners = [f"{number:03d}{OWNER[3:]}" for number in range(REGISTRY["organization"]["owners"]["maxItems"])]
    projects = [f"{number:04d}{PROJECT[4:]}" for number in range(REGISTRY["installation"]["projects"]["maxItems"])]
    every = [name for names in events_of().values() for name in names]
    Organization(ORGANIZATION, slug=APP, name=NAME, owners=owners).save()
    Installation(ORGANIZATION, INSTALLATION, app_id=APP, events=every, projects=projects).save()
    evidence = {"rule": transitions.BY_PERSON, "reason": NAME, "url": URL, "days": []}
    deps = replace(health_deps(), announce=lambda _: None)
    entry = transitions.disable(App.get(APP), ORGANIZATION, "operator:" + NAME, evidence, deps)
    assert entry
    assert len(entry.mails.attribute_values) == len(owners)
    calls.check_tables()
    assert calls.faults == []


# ---- The values are the longest, and the check finds what is longer


def test_the_values_are_as_long_as_the_schemas_allow_and_no_longer() -> None:
    event = json.loads(SCHEMA_PATH.read_text())["properties"]
    file = FILE
    assert file["name"]["maxLength"] <= len(NAME)
    assert REGISTRY["app"]["url"]["maxLength"] <= len(URL)
    patterns = [
        (event["event_id"]["pattern"], EVENT),
        (event["organization_id"]["pattern"], ORGANIZATION),
        (file["slug"]["pattern"], APP),
        (file["id"]["pattern"], INSTALLATION),
    ]
    for pattern, value in patterns:
        assert re.fullmatch(pattern, value)
        assert not re.fullmatch(pattern, f"{value}a")
    assert len(PROJECT) == event["project_id"]["maxLength"]
    assert len(address.encode(OWNER)) == address.LONGEST
    assert len(pings.make(app(APP), "1", NOW).delivery_id) == len(DELIVERY)


@pytest.mark.parametrize(
    ("service", "operation", "changes"),
    [
        ("scheduler", "CreateSchedule", {"Name": "n" * 65}),
        ("scheduler", "CreateSchedule", {"Name": "a name"}),
        ("scheduler", "CreateSchedule", {"ActionAfterCompletion": "NEVER"}),
        ("sqs", "SendMessage", {"MessageGroupId": "g" * 129}),
        ("sqs", "SendMessage", {"MessageBody": "\uffff"}),
        ("sqs", "SendMessage", {"DelaySeconds": 901}),
        ("sqs", "SendMessage", {"MessageAttributes": {"field": {"DataType": "String", "StringValue": ""}}}),
        ("dynamodb", "UpdateItem", {"UpdateExpression": "SET #0 = :0" + ", #0 = :0" * 500}),
        ("dynamodb", "PutItem", {"Item": {"app_id": {"S": "a" * 410_000}}}),
        ("dynamodb", "PutItem", {"TableName": ""}),
    ],
)
def test_a_call_that_the_service_would_refuse_is_found(
    service: Any, operation: str, changes: dict[str, Any]
) -> None:
    valid: dict[str, dict[str, Any]] = {
        "CreateSchedule": {
            "Name": "n" * 64,
            "ScheduleExpression": "at(2026-11-23T12:00:00)",
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "Target": {"Arn": QUEUE_ARN, "RoleArn": ROLE, "Input": "{}"},
        },
        "SendMessage": {"QueueUrl": QUEUE_URL, "MessageBody": "{}"},
        "UpdateItem": {"TableName": "apps", "Key": {"app_id": {"S": APP}}},
        "PutItem": {"TableName": "apps", "Item": {"app_id": {"S": APP}}},
    }
    model = boto3.client(service, "eu-west-1").meta.service_model.operation_model(operation)
    assert faults(model, valid[operation]) == []
    assert len(faults(model, valid[operation] | changes)) == 1


def test_every_metric_has_a_name_a_namespace_and_a_service_that_cloudwatch_takes() -> None:
    # The embedded metric format has the limits of PutMetricData.
    namespace = f"Bellhop/{'s' * 128}"  # a stack's name has 128 characters at most
    model = boto3.client("cloudwatch", "eu-west-1").meta.service_model.operation_model("PutMetricData")
    for metric in emitted.of_ours():
        dimensions = [{"Name": name, "Value": value} for name, value in metric.dimensions]
        data = {"MetricName": metric.name, "Dimensions": dimensions, "Value": 1.0, "Unit": "Count"}
        assert faults(model, {"Namespace": namespace, "MetricData": [data]}) == []
