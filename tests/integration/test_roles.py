"""What each function's role reaches, as IAM decides it."""

from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from infra.local.stack import Stack

pytestmark = pytest.mark.stack

TABLES = [
    "Organizations", "Apps", "Installations", "Audit", "Secrets", "Outcomes", "Attempts", "Successes", "Circuits",
]  # fmt: skip


def as_role(stack: Stack, role: str, service: str) -> Any:
    """A client with the rights of a role."""
    arn = stack.client("iam").get_role(RoleName=stack.resource(role))["Role"]["Arn"]
    got = stack.client("sts").assume_role(RoleArn=arn, RoleSessionName="integration")["Credentials"]
    session = boto3.Session(
        got["AccessKeyId"], got["SecretAccessKey"], got["SessionToken"], stack.session.region_name
    )
    return session.client(service, endpoint_url=stack.endpoint)


def nobody(stack: Stack, table: str) -> dict[str, Any]:
    """The key of a row that is not there."""
    keys = stack.client("dynamodb").describe_table(TableName=stack.resource(table))["Table"]["KeySchema"]
    return {key["AttributeName"]: {"S": "nobody"} for key in keys}


def allowed(call: Any, **arguments: Any) -> bool:
    try:
        call(**arguments)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        assert code in {"AccessDeniedException", "ConditionalCheckFailedException"}
        return code == "ConditionalCheckFailedException"
    return True


@pytest.mark.parametrize(
    ("role", "reads", "puts"),
    [
        ("NotifyRole", {"Organizations", "Apps"}, set()),
        ("DeliverRole", {"Apps", "Secrets", "Attempts", "Circuits"}, {"Attempts", "Successes"}),
        ("HealthRole", {"Organizations", "Apps", "Audit", "Attempts", "Circuits"}, {"Audit"}),
    ],
)
def test_a_function_reads_and_puts_only_rows_of_the_tables_it_needs(
    stack: Stack, role: str, reads: set[str], puts: set[str]
) -> None:
    tables = as_role(stack, role, "dynamodb")
    rows = {table: nobody(stack, table) for table in TABLES}
    names = {table: stack.resource(table) for table in TABLES}
    assert {t for t in TABLES if allowed(tables.get_item, TableName=names[t], Key=rows[t])} == reads
    never = {"ConditionExpression": "attribute_exists(nothing)"}  # what is allowed changes nothing
    assert {t for t in TABLES if allowed(tables.put_item, TableName=names[t], Item=rows[t], **never)} == puts
