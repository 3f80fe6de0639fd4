"""The tables that each function's role may read and write, as IAM decides."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError

from infra.local.stack import Stack

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

pytestmark = pytest.mark.stack

TABLES = [
    "Organizations", "Apps", "Installations", "Audit", "Secrets", "Outcomes", "Attempts", "Delivered", "Successes",
    "Circuits",
]  # fmt: skip
LOST_CONDITION = {"ConditionalCheckFailedException", "TransactionCanceledException"}


def dynamodb_as(stack: Stack, role: str) -> "DynamoDBClient":
    """A client with the rights of a role."""
    arn = stack.client("iam").get_role(RoleName=stack.resource(role))["Role"]["Arn"]
    credentials = stack.client("sts").assume_role(RoleArn=arn, RoleSessionName="integration")["Credentials"]
    session = boto3.Session(
        credentials["AccessKeyId"],
        credentials["SecretAccessKey"],
        credentials["SessionToken"],
        stack.session.region_name,
    )
    return session.client("dynamodb", endpoint_url=stack.endpoint)


def missing_key(stack: Stack, table: str) -> dict[str, Any]:
    """The key of a row that does not exist."""
    keys = stack.client("dynamodb").describe_table(TableName=stack.resource(table))["Table"]["KeySchema"]
    return {key["AttributeName"]: {"S": "nobody"} for key in keys}


def allowed(call: Callable[..., object], **arguments: Any) -> bool:
    """Whether IAM allows the call."""
    try:
        call(**arguments)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        assert code in {"AccessDeniedException", *LOST_CONDITION}
        return code in LOST_CONDITION
    return True


@pytest.mark.parametrize(
    ("role", "reads", "puts"),
    [
        ("NotifyRole", {"Organizations", "Apps", "Installations"}, set()),
        ("DeliverRole", {"Apps", "Installations", "Secrets", "Attempts", "Circuits"}, {"Attempts", "Successes"}),
        ("HealthRole", {"Organizations", "Apps", "Installations", "Audit", "Attempts", "Circuits"}, {"Audit"}),
    ],
)
def test_a_function_reads_and_puts_only_rows_of_the_tables_it_needs(
    stack: Stack, role: str, reads: set[str], puts: set[str]
) -> None:
    tables = dynamodb_as(stack, role)
    rows = {table: missing_key(stack, table) for table in TABLES}
    names = {table: stack.resource(table) for table in TABLES}
    assert {t for t in TABLES if allowed(tables.get_item, TableName=names[t], Key=rows[t])} == reads
    never = {"ConditionExpression": "attribute_exists(nothing)"}  # so that an allowed put changes nothing
    assert {t for t in TABLES if allowed(tables.put_item, TableName=names[t], Item=rows[t], **never)} == puts


def test_health_changes_an_app_only_within_a_transaction(stack: Stack) -> None:
    health = dynamodb_as(stack, "HealthRole")
    change: dict[str, Any] = {
        "TableName": stack.resource("Apps"),
        "Key": missing_key(stack, "Apps"),
        "UpdateExpression": "SET #s = :s",
        "ConditionExpression": "attribute_exists(generation)",  # so that an allowed update changes nothing
        "ExpressionAttributeNames": {"#s": "state"},
        "ExpressionAttributeValues": {":s": {"S": "disabled"}},
    }
    assert not allowed(health.update_item, **change)
    assert allowed(health.transact_write_items, TransactItems=[{"Update": change}])
