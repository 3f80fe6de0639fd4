"""The deliver function as Lambda calls it: built from its environment, within the invocation's time."""

import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date

import pytest
from pynamodb.exceptions import GetError, UpdateError
from pynamodb.models import Model
from standardwebhooks import Webhook

from bellhop import aws as aws_session
from bellhop import outcomes, settings, tables
from bellhop.attempts import DeliveryRecord
from bellhop.circuits import Circuit
from bellhop.deliveries import Delivery
from bellhop.outcomes import OutcomeDay, OutcomeDelta
from bellhop.powertools import PowertoolsTelemetry
from bellhop.registry import App, Installation, find
from bellhop.secrets import SigningSecret
from bellhop.successes import Delivered
from deliver import app as function
from deliver.dependencies import DeliverDependencies, RetryPolicy
from deliver.http.guard import EndpointPolicy
from deliver.http.response import SendFailure
from deliver.http.sockets import tls_context
from deliver.http.transport import Transport
from tests.support.endpoint import TIMEOUT, counters, packed, record, retries
from tests.support.fakes import SECRET, Recorder, app, delivery, queue_message
from tests.support.servers import Behaviour, Server, responds_with, serve

OLD = "cd" * 32
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

ENVIRONMENT = {
    "RETRIES_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/123456789012/work",
    "TRANSITIONS_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/123456789012/transitions",
    "RETRIES_QUEUE_ARN": "arn:aws:sqs:eu-west-1:123456789012:work",
    "SCHEDULE_GROUP": "retries",
    "SCHEDULE_ROLE_ARN": "arn:aws:iam::123456789012:role/schedules",
    "SCHEDULES_DEAD_LETTERS_ARN": "arn:aws:sqs:eu-west-1:123456789012:dead",
    "APPS_TABLE": App.Meta.table_name,
    "INSTALLATIONS_TABLE": Installation.Meta.table_name,
    "SECRETS_TABLE": SigningSecret.Meta.table_name,
    "OUTCOMES_TABLE": OutcomeDay.Meta.table_name,
    "ATTEMPTS_TABLE": DeliveryRecord.Meta.table_name,
    "DELIVERED_TABLE": Delivered.Meta.table_name,
    "CIRCUITS_TABLE": Circuit.Meta.table_name,
    "KEEP_DELIVERED_DAYS": "3",
    "CACHE_SECONDS": "60",
    "DEADLINE_SECONDS": "10",
    "LEASE_SECONDS": "90",
    "FRESH_SECONDS": "190",
    "RETRY_DELAYS_SECONDS": "5,60",
    "DELIVER_MAXIMUM_CONCURRENCY": "100",
    "RETRY_MAXIMUM_CONCURRENCY": "20",
    "PARKED_PER_APP": "1000",
    "REPLAY_PER_SECOND": "10",
    "EVENT_BUS": "default",
    "ALLOW_HTTP": "true",
    "ALLOW_PRIVATE_ADDRESSES": "true",
    "ALLOWED_PORTS": "any",
}


def fresh() -> Delivery:
    """A delivery that notify enqueued just now."""
    return delivery(enqueued_at=time.time())


@dataclass(frozen=True)
class Context:
    """An invocation with so much time left."""

    milliseconds: int = 60_000
    aws_request_id: str = "invocation"

    def get_remaining_time_in_millis(self) -> int:
        return self.milliseconds


@dataclass
class Posts:
    """A transport whose endpoints never respond; remembers how long each had."""

    seconds: list[float] = field(default_factory=list)

    def post(self, app_id: str, url: str, headers: Mapping[str, str], body: bytes, seconds: float) -> SendFailure:
        self.seconds.append(seconds)
        return TIMEOUT


def chosen(**changes: str) -> function.Settings:
    return settings.load(function.Settings, ENVIRONMENT | changes)


@pytest.fixture(autouse=True)
def environment(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Bellhop")
    monkeypatch.setenv(
        "POWERTOOLS_SERVICE_NAME", request.node.name
    )  # a name's logger keeps the stream of its test


@pytest.fixture
def telemetry(monkeypatch: pytest.MonkeyPatch) -> PowertoolsTelemetry:
    telemetry = PowertoolsTelemetry()
    monkeypatch.setattr(function, "_telemetry", lambda: telemetry)
    return telemetry


@pytest.fixture
def posting(
    deps: DeliverDependencies, telemetry: PowertoolsTelemetry, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """A function that posts for real, with a deadline of ten seconds."""
    transport = Transport(EndpointPolicy(http=True, private=True, ports=None), tls_context())
    handed = replace(deps, transport=transport, deadline=10.0)
    monkeypatch.setattr(function, "_dependencies", lambda: handed)
    yield
    transport.close()


@pytest.mark.parametrize(("milliseconds", "attempted"), [(20_000, True), (19_999, False)])
def test_an_attempt_starts_only_when_its_deadline_and_the_time_to_write_everything_are_left(
    posting: None, apps: dict[str, App], milliseconds: int, attempted: bool
) -> None:
    with serve(responds_with(OK)) as server:
        apps["pager"] = app(url=server.url)
        returned = function.handler({"Records": [queue_message(fresh(), "m1")]}, Context(milliseconds))
        assert server.accepted == int(attempted)
    assert returned == {"batchItemFailures": [] if attempted else [{"itemIdentifier": "m1"}]}


def test_an_attempt_has_the_deadline_that_was_chosen(
    deps: DeliverDependencies, telemetry: PowertoolsTelemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    posts = Posts()
    monkeypatch.setattr(function, "_dependencies", lambda: replace(deps, transport=posts, deadline=7.5))
    assert function.handler({"Records": [queue_message(fresh())]}, Context()) == {"batchItemFailures": []}
    assert posts.seconds == [7.5]


def test_what_was_counted_is_written_also_when_the_invocation_fails(
    posting: None, telemetry: PowertoolsTelemetry, capsys: pytest.CaptureFixture[str]
) -> None:
    telemetry.count("AttemptFailed")
    with pytest.raises(KeyError, match="Records"):
        function.handler({}, Context())
    assert "AttemptFailed" in capsys.readouterr().out


@pytest.fixture
def built(queue: str, capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """What the environment describes."""
    for built in (function._telemetry, function._dependencies):
        built.cache_clear()
    yield
    transport = function._dependencies().transport
    assert isinstance(transport, Transport)
    transport.close()
    for built in (function._telemetry, function._dependencies):
        built.cache_clear()


def seen_by(behave: Behaviour, requests: list[bytes]) -> Behaviour:
    def noted(connection: socket.socket, over: threading.Event) -> None:
        requests.append(connection.recv(65_536, socket.MSG_PEEK))
        behave(connection, over)

    return noted


def test_a_function_works_by_what_its_environment_says(built: None) -> None:
    deps = function._dependencies()
    assert (deps.deadline, deps.parking.limit) == (10.0, 1000)
    assert deps.policy == RetryPolicy(delays=(5, 60), lease=90, fresh=190)


def test_an_endpoint_that_broke_a_rule_of_http_had_a_line_of_its_own_in_the_log(
    built: None, caplog: pytest.LogCaptureFixture
) -> None:
    SigningSecret("pager", secret=SECRET).save()
    both = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    with serve(responds_with(both)) as server:
        app(url=server.url).save()
        assert function.handler({"Records": [queue_message(fresh())]}, Context()) == {"batchItemFailures": []}
    assert counters()["success"] == 1
    assert [line for line in caplog.records if line.name.startswith("urllib3")] == []


def test_a_function_built_from_its_environment_delivers_counts_and_logs(
    built: None, capsys: pytest.CaptureFixture[str]
) -> None:
    SigningSecret("pager", secret=SECRET).save()
    with serve(responds_with(OK)) as server:
        app(url=server.url).save()
        assert function.handler({"Records": [queue_message(fresh())]}, Context()) == {"batchItemFailures": []}
        assert server.accepted == 1
    assert counters()["success"] == 1
    assert [row["app"] for row in packed()] == ["pager"]
    line, metrics = map(json.loads, capsys.readouterr().out.splitlines())
    assert (line["message"], line["aws_request_id"]) == ("delivered", "invocation")
    assert metrics["DeliverySucceeded"] == [1.0]


def test_a_function_built_from_its_environment_schedules_the_retry_of_what_failed(built: None, queue: str) -> None:
    SigningSecret("pager", secret=SECRET).save()
    with serve(responds_with(OK.replace(b"200", b"500"))) as server:
        app(url=server.url).save()
        assert function.handler({"Records": [queue_message(fresh())]}, Context()) == {"batchItemFailures": []}
    assert record().state == "retrying"
    assert [json.loads(message["body"])["next_attempt"] for message in retries(queue)] == [2]


@pytest.mark.parametrize(("left", "signing"), [(3600, [SECRET, OLD]), (-1, [SECRET])])
def test_the_secret_before_signs_too_until_the_overlap_ends(built: None, left: int, signing: list[str]) -> None:
    requests: list[bytes] = []
    SigningSecret("pager", secret=SECRET, previous=OLD, previous_until=time.time() + left).save()
    with serve(seen_by(responds_with(OK), requests)) as server:
        app(url=server.url).save()
        function.handler({"Records": [queue_message(fresh())]}, Context())
    head, _, body = requests[0].decode().partition("\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:])
    assert len(headers["webhook-signature"].split(" ")) == len(signing)
    for secret in signing:
        assert Webhook(secret.encode()).verify(body, headers) == {"action": "created"}


@pytest.fixture
def down(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """DynamoDB responds to every call with a 500; each try is a connection."""
    monkeypatch.setattr(time, "sleep", lambda _: None)  # between the SDK's tries
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    oops = b"HTTP/1.1 500 Oops\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
    with serve(responds_with(oops)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.port}")
        aws_session.core.cache_clear()
        function._bind(chosen(), tables.connect(retries=0))
        yield server
        aws_session.core.cache_clear()


def test_a_batch_that_reads_its_apps_together_takes_no_second_try_of_the_time_to_read_each_alone(
    down: Server,
) -> None:
    telemetry = Recorder()
    function.build(chosen(), telemetry).prefetch.read(["pager", "chat"])
    assert telemetry.logged("apps not read together: each will be read alone") == [{"number": 6}]
    assert down.accepted == 1


def test_an_add_of_unknown_result_is_not_repeated_by_the_sdk_either(down: Server) -> None:
    with pytest.raises(UpdateError):
        outcomes.add(OutcomeDelta("pager", "acme", 1, date(2026, 11, 23), error=1), lambda _: None)
    assert down.accepted == 1


@pytest.mark.parametrize("model", [App, SigningSecret, DeliveryRecord, Circuit])
def test_every_other_table_is_asked_again_by_the_sdk(down: Server, model: type[Model]) -> None:
    with pytest.raises(GetError):
        find(model, "pager")
    assert down.accepted == 2


@pytest.mark.parametrize(
    ("ports", "allowed"),
    [("any", None), ("443", frozenset({443})), ("80,443,8443", frozenset({80, 443, 8443}))],
)
def test_the_ports_of_endpoints_are_any_or_those_that_are_listed(
    ports: str, allowed: frozenset[int] | None
) -> None:
    assert chosen(ALLOWED_PORTS=ports).endpoints.ports == allowed


@pytest.mark.parametrize(("http", "private"), [("true", "false"), ("false", "true")])
def test_http_and_private_addresses_are_allowed_each_by_its_own_setting(http: str, private: str) -> None:
    policy = chosen(ALLOW_HTTP=http, ALLOW_PRIVATE_ADDRESSES=private).endpoints
    assert (policy.http, policy.private) == (http == "true", private == "true")
