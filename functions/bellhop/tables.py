"""Binding the pynamodb models to a stack's tables, and conditional writes."""

from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError
from botocore.session import Session
from pynamodb.connection import Connection
from pynamodb.exceptions import PynamoDBException, TransactWriteError, UpdateError
from pynamodb.models import Model

from bellhop import aws


class _Connection(Connection):
    @property
    def session(self) -> Session:
        """The process's own session; pynamodb would make one for every connection."""
        return aws.core()


def connect(*, retries: int = 1) -> Connection:
    """A connection to DynamoDB. Unlike pynamodb's default, its calls fail within seconds."""
    return _Connection(
        connect_timeout_seconds=aws.CONNECT_SECONDS,
        read_timeout_seconds=aws.READ_SECONDS,
        max_retry_attempts=retries,
    )


def bind(connection: Connection, names: Mapping[type[Model], str]) -> None:
    """Let each model reach the table of that name over `connection`.

    The models share one connection, because each of pynamodb's own costs a client, a TLS handshake and its CPU.
    """
    shared = set[str]()
    for model, name in names.items():
        model.Meta.table_name = name
        table = model._get_connection()  # noqa: SLF001 - pynamodb offers no public way to share one
        if name not in shared:  # two models may be of one table
            connection.add_meta_table(table.get_meta_table())
            shared.add(name)
        table.connection = connection


def change(item: Model, actions: list[Any], condition: Any) -> bool:
    """Update an item if the condition holds; False, and nothing changed, when it does not.

    Raises:
        UpdateError: the table did not respond, or refused.
    """
    try:
        item.update(actions=actions, condition=condition)
    except UpdateError as error:
        if lost_condition(error):
            return False
        raise
    return True


def lost_condition(error: PynamoDBException) -> bool:
    """Whether a write, or a transaction, failed because a condition did not hold, rather than for a fault."""
    if isinstance(error, TransactWriteError):
        return any(reason and reason.code == "ConditionalCheckFailed" for reason in error.cancellation_reasons)
    return _response_code(error) == "ConditionalCheckFailedException"


def throttled(error: PynamoDBException) -> bool:
    """Whether DynamoDB refused the call before it did anything, so that it is safe to repeat."""
    return _response_code(error) in _THROTTLES


def _response_code(error: PynamoDBException) -> str | None:
    # pynamodb's own property raises AttributeError where there was no response.
    return error.cause_response_code if isinstance(error.cause, ClientError) else None


_THROTTLES = frozenset({"ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded"})
