"""The policies of infra/policies: an operator can do everything with theirs, and it allows nothing else."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError

from bellhop import aws, deliveries
from bellhop.deliveries import Retry, delivery_id
from infra.cli import following
from infra.cli.errors import denied_action
from infra.local.receiver import busy_once, ok, receiver
from tests.e2e.conftest import Tenant, eventually
from tests.e2e.disabled_app import disable_app
from tests.support.fakes import SECRET
from tests.support.identities import credentials, listed, policy
from tests.unit.cli.cli_runner import bellhop

pytestmark = pytest.mark.stack

PREFIXES = {"sesv2": "ses"}
TRANSACTION = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem"}
TRANSACTION |= {"ConditionCheck": "ConditionCheckItem"}
ALWAYS_ALLOWED = {"sts:GetCallerIdentity"}
ONLY_WITH_A_TOPIC = {
    "sns:ListSubscriptionsByTopic",
    "cloudwatch:SetAlarmState",
}  # tests/e2e/test_doctor.py has one
ONLY_ON_AWS = {"servicequotas:ListServiceQuotas"}  # tests/unit/cli/doctor/test_storage.py has it


@contextmanager
def recorded_actions(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:
    """The actions of IAM that this process needs within the block."""
    seen, call = set[str](), vars(BaseClient)["_make_api_call"]

    def recording_call(client: Any, operation: str, arguments: dict[str, Any]) -> Any:
        service = client.meta.service_model.service_name
        seen.update(f"{PREFIXES.get(service, service)}:{name}" for name in _operations(operation, arguments))
        return call(client, operation, arguments)

    with monkeypatch.context() as patch:
        patch.setattr(BaseClient, "_make_api_call", recording_call)
        yield seen


def _operations(operation: str, arguments: dict[str, Any]) -> list[str]:
    """The operations that IAM is asked about, each write with its table."""
    if operation == "TransactWriteItems":
        parts = [part for item in arguments["TransactItems"] for part in item.items()]
        return [f"{TRANSACTION[kind]} {_logical(row['TableName'])}" for kind, row in parts]
    if operation in TRANSACTION.values():
        return [f"{operation} {_logical(arguments['TableName'])}"]
    return [operation.removesuffix("Batch")]  # IAM knows sqs:SendMessage only


def _logical(table: str) -> str:
    return table.split("-")[1]


def allowed(document: dict[str, Any]) -> set[str]:
    """The actions of a policy, each write with the tables that it is allowed on."""
    found = set[str]()
    for statement in document["Statement"]:
        tables = {_logical(arn.rpartition("/")[2]) for arn in listed(statement["Resource"]) if ":table/" in arn}
        for action in listed(statement["Action"]):
            is_write = action.removeprefix("dynamodb:") in TRANSACTION.values()
            found |= {f"{action} {table}" for table in tables} if is_write else {action}
    return found


def become(tenant: Tenant, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this process act with a policy from here on; the tenant's fixture ends it."""
    os.environ.update(credentials(tenant.stack, policy(name)))
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    aws.core.cache_clear()


REGISTRY = """
organizations:
  {org}-new: {{name: {name}, owners: [ada@acme.example]}}
apps:
  {app}-new:
    {{name: {name}, organization: {org}-new, url: "{url}", events: [issue], headers: {{X-Name: {name}}}}}
installations:
  - {{app: {app}-new, organization: {org}-new, projects: [{name}]}}
"""


def succeed(*arguments: object, stdin: str | None = None) -> str:
    result = bellhop(*arguments, stdin=stdin)
    assert result.exit_code == 0, (arguments, result.output)
    return str(result.stdout)


def test_an_operator_can_run_every_command_and_may_do_nothing_beyond_that(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    later, _ = tenant.app(busy_once(7200))  # first, since functions cache who has installed what
    hook, _, behaviour = disable_app(tenant)
    waiting = delivery_id(tenant.organization, "last", f"installation-{later.app_id}")
    eventually(lambda: scheduled(tenant, waiting), "its retry is scheduled")
    behaviour.status = 200
    sqs, url = tenant.stack.client("sqs"), tenant.stack.resource("RetriesDeadLetters")
    lost = deliveries.encode(Retry(waiting, later.app_id, 1))
    dead = sqs.send_message(QueueUrl=url, MessageBody=lost)["MessageId"]
    tenant.publish("{}")
    eventually(lambda: dead_letters(tenant), "a malformed event is a dead letter")

    become(tenant, "operator", monkeypatch)
    with recorded_actions(monkeypatch) as used:
        for name in ("New", "Renamed"):
            file = REGISTRY.format(org=tenant.organization, app=hook.app_id, url=hook.url, name=name)
            options = ("--yes", "--allow-http", "--allow-private-addresses", "--any-port")
            succeed("apply", "-", *options, stdin=file)
        assert "0 to update" in succeed("apply", "-", *options, stdin=succeed("export"))
        succeed("publish", "-", "--wait", "1s", stdin=json.dumps(tenant.event("by-hand")))
        for command in ("log", "app", "explain", "mail show", "ping", "enable", "replay", "rotate-secret"):
            succeed(*command.split(), hook.app_id)
        for command in ("apps", "policy", "status", "tail"):
            succeed(command)
        succeed("event", tenant.organization, "last")
        succeed("delivery", waiting)
        succeed("mail", "resend", hook.app_id, "00000001#disabled", "--to", tenant.owners[0], "--yes")
        succeed("explain", hook.app_id, "--dry-run")
        succeed("disable", hook.app_id, "--reason", "test", "--yes")
        succeed("resend", waiting)
        chosen = ("--app", later.app_id, "--since", "1h", "--outcome", "retrying", "--outcome", "delivered")
        job = json.loads(succeed("resend", *chosen, "--yes", "--json"))["job_id"]
        assert bellhop("resend", "--watch", job).exit_code in {0, 1}  # 1 where something was left
        succeed("status", "--json")
        succeed("replay", later.app_id, "--stop")
        assert dead in succeed("dead-letters", "list", "--queue", "Retries")
        succeed("dead-letters", "redrive", dead)
        succeed("delete", "app", f"{hook.app_id}-new", "--yes")
        succeed("delete", "organization", f"{tenant.organization}-new", "--yes")
        findings = json.loads(bellhop("doctor", "--json").stdout)["findings"]

    assert [finding["text"] for finding in findings if "you may not" in finding["text"]] == []
    assert (used - ALWAYS_ALLOWED) | ONLY_WITH_A_TOPIC | ONLY_ON_AWS == allowed(policy("operator"))


def scheduled(tenant: Tenant, delivery: str) -> list[str]:
    group = tenant.stack.outputs["ScheduleGroup"]
    found = tenant.stack.client("scheduler").list_schedules(GroupName=group, NamePrefix=delivery)
    return [schedule["Name"] for schedule in found["Schedules"]]


def dead_letters(tenant: Tenant) -> int:
    url, name = tenant.stack.resource("IssueEventsDeadLetters"), "ApproximateNumberOfMessages"
    found = tenant.stack.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=[name])
    return int(found["Attributes"][name])


def denied(call: Callable[..., object], **arguments: Any) -> bool:
    """Whether IAM refuses the call."""
    try:
        call(**arguments)
    except ClientError as error:
        return denied_action(error) is not None
    return False


def test_what_an_operator_has_no_command_for_is_denied(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    become(tenant, "operator", monkeypatch)
    table, queue = tenant.stack.outputs["OutcomesTable"], tenant.stack.outputs["DeliveriesQueueUrl"]
    dynamodb, sqs, functions = boto3.client("dynamodb"), boto3.client("sqs"), boto3.client("lambda")
    row = {"scope": {"S": "a"}, "generation_day": {"S": "b"}}
    assert denied(dynamodb.delete_table, TableName=table)
    assert denied(dynamodb.put_item, TableName=table, Item=row)
    assert denied(sqs.receive_message, QueueUrl=queue)
    assert denied(sqs.delete_message, QueueUrl=queue, ReceiptHandle="none")
    assert denied(sqs.purge_queue, QueueUrl=queue)
    assert denied(functions.invoke, FunctionName=tenant.stack.resource("DeliverFunction"), Payload="{}")
    assert denied(functions.list_functions)


def interrupt(_: float) -> None:
    raise KeyboardInterrupt


def test_a_developer_can_relay_and_may_read_no_secret(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    hook, _ = tenant.app(ok)
    tenant.publish(tenant.event("relayed"))
    eventually(lambda: json.loads(succeed("log", hook.app_id, "--json"))["attempts"], "its delivery is in the log")
    succeed("ping", hook.app_id)  # which has a record
    become(tenant, "developer", monkeypatch)
    monkeypatch.setenv("RELAY_SECRET", SECRET)
    monkeypatch.setattr(following, "time", SimpleNamespace(sleep=interrupt))
    options = ("--since", "1h", "--organization", tenant.organization, "--secret-env", "RELAY_SECRET")
    with receiver(ok, SECRET) as local, recorded_actions(monkeypatch) as used:
        succeed("relay", hook.app_id, "--to", local.url, *options)
    assert [each.verified for each in local.received] == [True, True]
    assert used - ALWAYS_ALLOWED == allowed(policy("developer"))
    assert denied(boto3.client("dynamodb").scan, TableName=tenant.stack.outputs["SecretsTable"])


def test_a_publisher_may_send_to_the_queue_of_issue_events_and_nowhere_else(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, endpoint = tenant.app(ok)
    become(tenant, "publisher", monkeypatch)
    sqs, event = boto3.client("sqs"), json.dumps(tenant.event("published"))
    queues = ("IssueEvents", "IssueEventsDeadLetters", "Deliveries", "Retries", "Transitions")
    urls = {name: tenant.stack.resource(name) for name in queues}
    sqs.send_message(QueueUrl=urls["IssueEvents"], MessageBody=event)
    eventually(lambda: endpoint.received, "the event arrives")
    others = queues[1:]
    assert [name for name in others if not denied(sqs.send_message, QueueUrl=urls[name], MessageBody=event)] == []
    assert denied(sqs.receive_message, QueueUrl=urls["IssueEvents"])
