"""bellhop relay: what arrives at a program on this machine, what is told of it, and that nothing else changes."""

import json
import random
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError, EndpointConnectionError
from pynamodb.exceptions import QueryError
from standardwebhooks import Webhook

from bellhop import attempts, large_bodies, resends
from bellhop.attempts import DELIVERED, EXHAUSTED, PARKED, RETRYING, Attempt, DeliveryRecord, NextState
from bellhop.index_keys import FURTHER_KEYS
from bellhop.large_bodies import LargeBody
from bellhop.registry import Installation
from bellhop.secrets import SigningSecret, public_key
from bellhop.successes import Delivered
from infra.cli import attempt_log, following, signing_secrets
from infra.cli.following import LOOKS, Following
from infra.local.receiver import Receiver, failing_first, ok, receiver
from tests.support.fakes import SECRET, delivery
from tests.support.key_pairs import KEY_PAIR
from tests.unit.cli.cli_runner import CloudFormation, bellhop, misused, refused
from tests.unit.cli.resendable import a_record, a_success, attempted, make_due, now, prepare
from tests.unit.cli.test_delivered import counted

MINUTE = timedelta(minutes=1)
OWN = "0123456789abcdef" * 4  # the app's own secret, which nobody who relays has to read

Step = Callable[[], object]


@pytest.fixture(autouse=True)
def app(cloudformation: CloudFormation) -> None:
    prepare(cloudformation)


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setenv("RELAY_SECRET", SECRET)
    with receiver(ok, SECRET) as local:
        yield local


class Relayed:
    """What a relay printed: its documents, and beside them what it said."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, to: str, *options: str, steps: list[Step] | None = None):
        left = list(steps or [])

        def sleep(_: float) -> None:
            if not left:
                raise KeyboardInterrupt
            left.pop(0)()

        with monkeypatch.context() as patch:
            patch.setattr(time, "sleep", sleep)
            result = bellhop("relay", "pager", "--to", to, "--since", "1h", "--json", *options)
        assert result.exit_code == 0, result.output
        self.documents = [json.loads(line) for line in result.stdout.splitlines()]
        self.said = result.stderr

    @property
    def ids(self) -> list[str]:
        return [each["delivery_id"] for each in self.documents]


SIGNED = ("--secret-env", "RELAY_SECRET")


def test_a_copy_of_each_delivery_arrives_with_its_bytes_and_id_and_verifies_by_both_signatures(
    endpoint: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = '{"action":"created","title":"G\u00fcn \\u00fc"}'.encode()
    a_success("msg_success", 9 * MINUTE, body=body)
    a_record("msg_failed", RETRYING, 8 * MINUTE, body=b'{"n":2}')
    a_record("msg_parked", PARKED, 7 * MINUTE, body=b'{"n":3}')
    relayed = Relayed(monkeypatch, endpoint.url, *SIGNED)
    assert relayed.ids == ["msg_success", "msg_failed", "msg_parked"]
    arrived = endpoint.received
    assert [(each.webhook_id, each.body) for each in arrived] == [
        ("msg_success", body),
        ("msg_failed", b'{"n":2}'),
        ("msg_parked", b'{"n":3}'),
    ]
    assert all(each.verified for each in arrived)
    assert len({each.headers["request-id"] for each in arrived}) == 3
    assert {each["status"] for each in relayed.documents} == {200}
    assert relayed.said.endswith("3 deliveries: 3 accepted.\n")


def test_a_large_body_that_stands_beside_its_record_is_relayed_and_one_that_is_gone_is_missed(
    endpoint: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = random.Random(1).randbytes(5000)
    for number in (1, 2):
        a_record(f"msg_{number}", RETRYING, number * MINUTE, body=body)
    LargeBody.get(str(large_bodies.key(DeliveryRecord.get("msg_2")))).delete()
    relayed = Relayed(monkeypatch, endpoint.url, *SIGNED, steps=[lambda: None] * (LOOKS - 1))
    assert [(each["delivery_id"], each["missed"]) for each in relayed.documents] == [
        ("msg_1", False),
        ("msg_2", True),  # looked for several times
    ]
    assert [(each.webhook_id, each.body) for each in endpoint.received] == [("msg_1", body)]


def test_copies_are_signed_by_a_secret_of_the_relays_own_which_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    SigningSecret("pager", secret=OWN).save()
    a_success("msg_1", MINUTE)
    with receiver(ok, OWN) as local:
        relayed = Relayed(monkeypatch, local.url)
        [arrived] = local.received
    shown = relayed.said.split()
    assert OWN not in relayed.said
    assert not arrived.standard
    Webhook(shown[shown.index("Webhooks") + 1]).verify(arrived.body, dict(arrived.headers))


def test_copies_are_signed_by_a_key_pair_where_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing_secrets, "generate", {"ed25519": KEY_PAIR}.__getitem__)
    a_success("msg_1", MINUTE)
    with receiver(ok, public_key(KEY_PAIR)) as local:
        relayed = Relayed(monkeypatch, local.url, "--signature", "ed25519")
        [arrived] = local.received
    assert arrived.verified
    assert "Copies are verified by this public key, made for this relay; the app's own is another" in relayed.said
    assert f"    Standard Webhooks  {public_key(KEY_PAIR)}\n" in relayed.said
    assert "whsk_" not in relayed.said


def test_a_relay_reads_no_secret_and_writes_nothing(endpoint: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    SigningSecret("pager", secret=OWN).save()
    a_success("msg_1", MINUTE)
    a_record("msg_2", EXHAUSTED, MINUTE)
    call, called = vars(BaseClient)["_make_api_call"], list[tuple[str, str]]()

    def noted(client: Any, operation: str, arguments: Any) -> Any:
        called.append((operation, json.dumps(arguments, default=str)))
        return call(client, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", noted)
    assert sorted(Relayed(monkeypatch, endpoint.url, *SIGNED).ids) == ["msg_1", "msg_2"]
    assert {operation for operation, _ in called} <= {"Query", "GetItem", "BatchGetItem", "Scan", "DescribeTable"}
    assert not [arguments for _, arguments in called if SigningSecret.Meta.table_name in arguments]


def test_a_retry_is_no_copy_more_and_a_resend_is_one(endpoint: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    a_record("msg_1", RETRYING, MINUTE)

    steps: list[Step] = [
        lambda: retry("msg_1"),
        lambda: make_due("msg_1"),
        lambda: attempted("msg_1"),
        lambda: None,
    ]
    relayed = Relayed(monkeypatch, endpoint.url, *SIGNED, steps=steps)
    assert relayed.ids == ["msg_1", "msg_1"]
    assert [each["resent"] for each in relayed.documents] == [False, True]


def test_a_resend_of_what_succeeded_at_once_made_two_copies(
    endpoint: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_success("msg_1", MINUTE)

    def resend() -> None:
        assert resends.open_delivered(delivery(delivery_id="msg_1"), 1, now() - MINUTE, now())
        make_due("msg_1")

    steps: list[Step] = [resend, lambda: attempted("msg_1"), lambda: None]
    relayed = Relayed(monkeypatch, endpoint.url, *SIGNED, steps=steps)
    assert [(each["delivery_id"], each["resent"]) for each in relayed.documents] == [
        ("msg_1", False),
        ("msg_1", True),
    ]


def retry(name: str) -> None:
    record = attempts.load(name)
    assert record
    number = int(record.attempts_made) + 1
    claimed = attempts.claim(name, number, "worker", now(), 30)
    assert claimed
    row = Attempt(number, now(), 1, "request-2", "http_200", 200)
    assert attempts.finish(claimed, NextState(DELIVERED, attempt=row), now())


def test_what_comes_while_it_relays_is_copied_once_and_what_was_before_is_not(
    endpoint: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_success("msg_old", 2 * timedelta(hours=1))
    steps: list[Step] = [lambda: a_success("msg_1", timedelta(0)), lambda: None, lambda: None]
    assert Relayed(monkeypatch, endpoint.url, *SIGNED, steps=steps).ids == ["msg_1"]
    assert len(endpoint.received) == 1


def test_an_endpoint_that_is_down_is_told_and_the_relay_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    a_success("msg_1", 3 * MINUTE)
    with receiver(ok, SECRET) as closed:
        pass
    relayed = Relayed(monkeypatch, closed.url, steps=[lambda: a_success("msg_2", timedelta(0)), lambda: None])
    assert [(each["status"], each["error"]) for each in relayed.documents] == [(None, "connection refused")] * 2
    assert relayed.said.endswith("2 deliveries: 2 without a response.\n")


def test_what_the_endpoint_refuses_is_told_with_the_first_line_of_its_response(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    a_success("msg_1", 3 * MINUTE)
    with receiver(failing_first(1), SECRET) as local:
        relayed = Relayed(monkeypatch, local.url)
    assert [each["status"] for each in relayed.documents] == [500]
    assert relayed.said.endswith("1 delivery: 1 not accepted.\n")


def test_what_was_missed_as_its_body_is_not_kept_is_told(
    endpoint: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_success("msg_1", MINUTE)
    drop_bodies()
    relayed = Relayed(monkeypatch, endpoint.url, *SIGNED, steps=[lambda: None] * (LOOKS - 1))
    assert [(each["delivery_id"], each["missed"], each["error"]) for each in relayed.documents] == [
        ("msg_1", True, "its body is not kept")
    ]
    assert relayed.said.endswith("1 delivery: 1 missed, as its body is not kept.\n")
    assert not endpoint.received


def drop_bodies() -> list[Delivered]:
    dropped = [item for item in Delivered.scan() if item.key.startswith("bodies#")]
    for item in dropped:
        item.delete()
    assert dropped
    return dropped


def test_a_body_that_is_written_a_moment_after_its_entry_was_missed(
    endpoint: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_success("msg_1", MINUTE)
    dropped = drop_bodies()
    steps: list[Step] = [lambda: None, lambda: [item.save() for item in dropped]]
    assert Relayed(monkeypatch, endpoint.url, *SIGNED, steps=steps).ids == ["msg_1"]
    assert len(endpoint.received) == 1


def test_a_stack_that_keeps_no_bodies_of_what_succeeds_is_told_of_at_the_start(
    endpoint: Receiver, monkeypatch: pytest.MonkeyPatch, cloudformation: CloudFormation
) -> None:
    cloudformation.parameters["KeepDeliveredDays"] = "0"
    a_success("msg_1", MINUTE)
    drop_bodies()
    relayed = Relayed(monkeypatch, endpoint.url, *SIGNED)
    assert "KeepDeliveredDays is 0" in relayed.said
    assert [each["missed"] for each in relayed.documents] == [True]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--event", "issue.resolved"], ["msg_2"]),
        (["--event", "ev3"], ["msg_3"]),
        (["--organization", "globex"], ["msg_3"]),
    ],
)
def test_only_what_is_wanted_is_copied(
    endpoint: Receiver, monkeypatch: pytest.MonkeyPatch, options: list[str], expected: list[str]
) -> None:
    Installation("globex", "in-globex", app_id="pager", events=["issue.created"]).save()
    a_record("msg_1", RETRYING, 3 * MINUTE)
    a_record("msg_2", RETRYING, 2 * MINUTE, event="issue.resolved")
    a_record("msg_3", RETRYING, MINUTE, event_id="ev3", organization_id="globex", installation_id="in-globex")
    assert Relayed(monkeypatch, endpoint.url, *SIGNED, *options).ids == expected


def test_a_network_that_fails_for_a_while_does_not_end_it(
    endpoint: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failures = Following.look, iter([True, True])

    def look(self: Following, at: Any) -> Any:
        if next(failures, False):
            raise QueryError("", EndpointConnectionError(endpoint_url="https://dynamodb"))
        return real(self, at)

    monkeypatch.setattr(Following, "look", look)
    a_success("msg_1", MINUTE)
    relayed = Relayed(monkeypatch, endpoint.url, *SIGNED, steps=[lambda: None] * 2)
    assert relayed.ids == ["msg_1"]
    assert relayed.said.count("it is looked again until AWS responds") == 1
    assert "AWS responds again" in relayed.said


def test_a_local_stack_that_has_ended_was_waited_for_for_ever(
    endpoint: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(self: Following, at: Any) -> Any:
        raise QueryError("", EndpointConnectionError(endpoint_url="http://127.0.0.1:4566"))

    monkeypatch.setattr(Following, "look", look)
    monkeypatch.setenv("BELLHOP_LOCAL", "yes")
    assert "the local stack has ended: type `make run`" in refused("relay", "pager", "--to", endpoint.url)


def test_what_aws_refuses_ends_it(endpoint: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    def look(self: Following, at: Any) -> Any:
        fault = {"Error": {"Code": "AccessDeniedException", "Message": "not authorized"}}
        raise QueryError("", ClientError(fault, "Query"))  # type: ignore[arg-type]

    monkeypatch.setattr(Following, "look", look)
    assert "use credentials that may call Query" in refused("relay", "pager", "--to", endpoint.url)


def test_more_than_is_read_at_a_time_is_told(endpoint: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt_log, "RECORDS", 2)
    for number in range(3):
        a_record(f"msg_{number}", RETRYING, MINUTE)
    relayed = Relayed(monkeypatch, endpoint.url, *SIGNED, steps=[lambda: None])
    assert relayed.said.count("not all of it is copied") == 1


def test_every_look_scanned_what_0_1_0_had_written(monkeypatch: pytest.MonkeyPatch) -> None:
    a_success("msg_1", MINUTE)
    made = Following({"pager": None}, now() - 2 * MINUTE, chain=timedelta(0))
    with counted(monkeypatch) as reads:
        assert len(made.look(now())) == 1
    assert "Scan" not in reads
    assert len(reads) <= 15 + FURTHER_KEYS


def test_many_bodies_are_read_a_part_at_each_look(endpoint: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "BODIES", 2)
    for number in range(5):
        a_success(f"msg_{number}", (9 - number) * MINUTE)
    relayed = Relayed(monkeypatch, endpoint.url, *SIGNED, steps=[lambda: None] * 2)
    assert relayed.ids == [f"msg_{number}" for number in range(5)]


def test_what_can_come_no_more_is_not_remembered() -> None:
    a_success("msg_1", MINUTE)
    made = Following({"pager": None}, now() - timedelta(hours=1))
    assert [entry.delivery_id for entry in made.look(now())] == ["msg_1"]
    assert len(made._seen) == 1
    assert made.look(now() + timedelta(hours=1)) == []
    assert not made._seen


def test_it_prints_a_line_for_each_that_fits_80_columns(
    endpoint: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "msg_" + "0123456789abcdef" * 2
    a_success(name, MINUTE)

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", interrupt)
    result = bellhop("relay", "pager", "--to", endpoint.url, "--since", "1h", *SIGNED)
    [line] = result.stdout.splitlines()
    assert line[8:].startswith(f"  issue.created  {name}  -> 200  ")
    assert len(line) <= 80


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--to", "localhost:3000"], "--to 'localhost:3000' is no URL: write http://localhost:3000/webhooks"),
        (["--to", "http://[::1/"], "is no URL"),
        (["--to", "http://localhost", "--secret-env", "NOT_SET"], "--secret-env: the variable NOT_SET is not set"),
        (["--to", "http://localhost", "--since", "soon"], "--since 'soon' is not a time"),
    ],
)
def test_what_cannot_work_is_refused_with_the_way_out(arguments: list[str], reason: str) -> None:
    assert reason in misused("relay", "pager", *arguments)


def test_an_app_that_there_is_not_is_named() -> None:
    elsewhere = refused("relay", "pager", "--to", "http://localhost", "--organization", "nowhere")
    assert "no organisation 'nowhere'" in elsewhere
    assert "did you mean pager?" in refused("relay", "pagr", "--to", "http://localhost")
