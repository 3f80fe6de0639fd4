"""Binding the pynamodb models to a stack's tables, reads of several tables at once, and conditional writes."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from json import JSONDecodeError
from typing import Any, NamedTuple, TypeVar

from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session
from pynamodb.connection import Connection
from pynamodb.exceptions import (
    AttributeDeserializationError,
    GetError,
    PynamoDBException,
    TransactWriteError,
    UpdateError,
)
from pynamodb.models import Model
from pynamodb.pagination import ResultIterator
from pynamodb.transactions import TransactWrite

from bellhop import aws

# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
MOST_AT_ONCE = 100  # items

UNREADABLE = (AttributeDeserializationError, JSONDecodeError)  # what pynamodb raises of an item that is damaged

M = TypeVar("M", bound=Model)


class UnreadableError(Exception):
    """An item that its model cannot read: it was damaged, or something else wrote it. No value of it is told."""

    def __init__(self, model: type[Model], key: str | tuple[str, ...], cause: Exception) -> None:
        named = key if isinstance(key, str) else ", ".join(key)
        super().__init__(f"{named} in the table {model.Meta.table_name} cannot be read: {cause}")


class ItemKey(NamedTuple):
    """An item of a model; `sort_key` where its table has one."""

    model: type[Model]
    hash_key: str
    sort_key: str | None = None


class _Connection(Connection):
    @property
    def session(self) -> Session:
        """The process's own session; pynamodb would make one for every connection."""
        return aws.core()


def connect(*, retries: int = 1, connections: int = 10) -> Connection:
    """A client of DynamoDB with so many connections. Unlike pynamodb's default, its calls fail within seconds."""
    return _Connection(
        connect_timeout_seconds=aws.CONNECT_SECONDS,
        read_timeout_seconds=aws.READ_SECONDS,
        max_retry_attempts=retries,
        max_pool_connections=connections,
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


def read_at_once(keys: Collection[ItemKey], connection: Connection) -> dict[ItemKey, Model | None]:
    """Read items of several tables together, eventually consistent; None for one that is not there.

    What DynamoDB leaves unprocessed is not in the result, nor is a row that
    its model cannot read: whoever needs it reads it alone, and fails alone.

    Raises:
        GetError: DynamoDB did not respond, or refused.
    """
    found: dict[ItemKey, Model | None] = {}
    ordered = sorted(keys, key=lambda key: (key.model.Meta.table_name, key.hash_key))
    for start in range(0, len(ordered), MOST_AT_ONCE):
        found |= _read_page(ordered[start : start + MOST_AT_ONCE], connection)
    return found


def _read_page(keys: Sequence[ItemKey], connection: Connection) -> dict[ItemKey, Model | None]:
    requests: dict[str, dict[str, list[Any]]] = {}
    names: dict[ItemKey, dict[str, Any]] = {}
    for key in keys:
        table = key.model.Meta.table_name
        of_table = key.model._get_connection()  # noqa: SLF001 - as in bind()
        names[key] = of_table.get_meta_table().get_identifier_map(key.hash_key, key.sort_key)["Key"]
        requests.setdefault(table, {"Keys": []})["Keys"].append(names[key])
    try:
        response = connection.dispatch("BatchGetItem", {"RequestItems": requests})
    except (BotoCoreError, ClientError) as error:
        raise GetError(f"items not read: {error}", error) from error
    found: dict[ItemKey, Model | None] = {}
    for key, name in names.items():
        table = key.model.Meta.table_name
        if name in response.get("UnprocessedKeys", {}).get(table, {}).get("Keys", []):
            continue
        items = (item for item in response["Responses"].get(table, []) if name.items() <= item.items())
        with suppress(Exception):  # the record boundary: one app's row is not its neighbours'
            found[key] = next((key.model.from_raw_data(item) for item in items), None)
    return found


def from_item(model: type[M], item: dict[str, Any]) -> M:
    """An item as DynamoDB gave it.

    Raises:
        UnreadableError: it is damaged.
    """
    try:
        return model.from_raw_data(item)
    except UNREADABLE as error:
        raise UnreadableError(model, tuple(item[name]["S"] for name in _keys(model)), error) from error


def rows(found: ResultIterator[M], model: type[M]) -> Iterator[M]:
    """The rows of a query, read as they are taken. An attribute that cannot be read is as if it were missing.

    So one damaged row hides no other. Whoever needs all of it reads the item itself, and fails alone.
    """
    for page in found.page_iter:
        for item in page["Items"]:
            yield _readable(model, item)


def rows_or_keys(found: ResultIterator[M], model: type[M]) -> Iterator[M]:
    """The rows of a query, read as they are taken. One that cannot be read has its keys only."""
    for page in found.page_iter:
        for item in page["Items"]:
            try:
                yield model.from_raw_data(item)
            except UNREADABLE:
                yield model.from_raw_data({name: item[name] for name in _keys(model)})


def _keys(model: type[Model]) -> list[str]:
    return [each.attr_name for each in model.get_attributes().values() if each.is_hash_key or each.is_range_key]


def _readable(model: type[M], item: dict[str, Any]) -> M:
    try:
        return model.from_raw_data(item)
    except UNREADABLE:
        return model.from_raw_data({name: item[name] for name in item if _is_readable(model, {name: item[name]})})


def _is_readable(model: type[Model], part: dict[str, Any]) -> bool:
    try:
        model.from_raw_data(part)
    except UNREADABLE:
        return False
    return True


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


def change_unseen(item: Model, actions: list[Any], condition: Any = None) -> bool:
    """As `change`, but nothing of the item comes back: for who must not see all of it, or has it.

    Raises:
        UpdateError: the table did not respond, or refused.
    """
    keys = item._get_hash_range_key_serialized_values()  # noqa: SLF001 - Model.update has the whole item returned
    table = item._get_connection()  # noqa: SLF001
    try:
        table.update_item(*keys, actions=actions, condition=condition, return_values="NONE")
    except UpdateError as error:
        if lost_condition(error):
            return False
        raise
    return True


@dataclass(frozen=True, slots=True)
class ItemUpdate:
    """An update of one item that is made only together with others."""

    item: Model
    actions: list[Any] = field(repr=False)  # may hold what is secret
    condition: Any = field(repr=False)

    def join(self, transaction: TransactWrite) -> None:
        """Make it a part of a transaction."""
        transaction.update(self.item, actions=self.actions, condition=self.condition)


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
