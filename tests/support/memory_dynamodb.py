"""DynamoDB in memory: the operations that Bellhop's tables use, and no others.

Simulations have it in the place of a pynamodb connection's client; other tests that use tables have the calls of
every client come to it. It is some fifty times faster than moto. What it means by a request is compared with moto
and dynalite: tests/unit/support does so on random requests, `pytest --tables moto` and `--tables dynalite` on all
that the tests ask for. What it does not know, it refuses.
"""

import operator
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, NoReturn

import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from pynamodb.models import Model

from bellhop.tables import _Connection
from tests.support.expressions import Item, apply, equal, holds, plain, required
from tests.support.item_size import item_bytes

# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
ITEM_BYTES, PAGE_BYTES = 400 * 1024, 1024 * 1024
READ_AT_ONCE, WRITTEN_AT_ONCE = 100, 25


@dataclass
class Index:
    """The keys of an index, and which attributes it has beside them and the table's; None: all."""

    keys: tuple[str, str | None]
    projected: frozenset[str] | None


@dataclass
class Table:
    """The keys of a table (hash and range, None where there is none), its indexes, and its items."""

    keys: tuple[str, str | None]
    indexes: dict[str, Index]
    items: dict[tuple[Any, Any], Item] = field(default_factory=dict)

    def key(self, item: Item) -> tuple[Any, Any]:
        """What an item is found by."""
        return tuple(None if name is None else plain(item[name]) for name in self.keys)  # type: ignore[return-value]


class MemoryDynamoDB:
    """The client."""

    def __init__(self) -> None:
        self.tables: dict[str, Table] = {}

    def take_calls(self, patch: pytest.MonkeyPatch) -> None:
        """Have all clients send it their calls to DynamoDB."""
        call = vars(BaseClient)["_make_api_call"]

        def taken_call(client: Any, operation: str, request: dict[str, Any]) -> Any:
            # As moto does, it leaves alone what goes to an endpoint of the test's own.
            if client.meta.service_model.service_name == "dynamodb" and "amazonaws" in client.meta.endpoint_url:
                return self._make_api_call(operation, copied(request))
            return call(client, operation, request)

        patch.setattr(BaseClient, "_make_api_call", taken_call)

    def clear(self) -> None:
        """Delete every item of every table."""
        for table in self.tables.values():
            table.items.clear()

    def add(self, model: type[Model]) -> None:
        """Have the table of a model."""
        attributes = model.get_attributes().values()
        indexes = {
            index.Meta.index_name: Index(
                _model_keys(index.Meta.attributes.values()), _projected(index.Meta.projection)
            )
            for index in (model._indexes or {}).values()
        }
        self.tables[model.Meta.table_name] = Table(_model_keys(attributes), indexes)

    def _make_api_call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        handlers: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "GetItem": self._get,
            "BatchGetItem": self._batch_get,
            "PutItem": self._put,
            "BatchWriteItem": self._write_batch,
            "UpdateItem": self._update,
            "DeleteItem": self._delete,
            "Query": self._query,
            "Scan": self._scan,
            "TransactWriteItems": self._transact,
            "ListTables": lambda _: {"TableNames": sorted(self.tables)},
            "DescribeTable": self._describe,
            "CreateTable": self._create,
            "DeleteTable": self._forget,
        }
        response: dict[str, Any] = copied(handlers[operation](request))
        return response

    def _table(self, request: dict[str, Any], operation: str) -> Table:
        try:
            return self.tables[request["TableName"]]
        except KeyError:
            _refuse("ResourceNotFoundException", "Requested resource not found", operation)

    def _describe(self, request: dict[str, Any]) -> dict[str, Any]:
        table = self._table(request, "DescribeTable")
        indexes = [{"KeySchema": _schema(index.keys)} for index in table.indexes.values()]
        named = {"TableName": request["TableName"], "TableStatus": "ACTIVE"}
        return {"Table": named | {"KeySchema": _schema(table.keys), "GlobalSecondaryIndexes": indexes}}

    def _create(self, request: dict[str, Any]) -> dict[str, Any]:
        indexes = {}
        for index in request.get("GlobalSecondaryIndexes", []):
            shown = index["Projection"]
            projected = None if shown["ProjectionType"] == "ALL" else frozenset(shown.get("NonKeyAttributes", ()))
            indexes[index["IndexName"]] = Index(_keys(index["KeySchema"]), projected)
        self.tables[request["TableName"]] = Table(_keys(request["KeySchema"]), indexes)
        return {"TableDescription": {"TableName": request["TableName"], "TableStatus": "ACTIVE"}}

    def _forget(self, request: dict[str, Any]) -> dict[str, Any]:
        self._table(request, "DeleteTable")
        del self.tables[request["TableName"]]
        return {"TableDescription": {"TableName": request["TableName"], "TableStatus": "DELETING"}}

    def _get(self, request: dict[str, Any]) -> dict[str, Any]:
        table = self._table(request, "GetItem")
        item = table.items.get(table.key(request["Key"]))
        return {} if item is None else {"Item": _shown(request, item)}

    def _batch_get(self, request: dict[str, Any]) -> dict[str, Any]:
        keys = [(table, key) for table, asked in request["RequestItems"].items() for key in asked["Keys"]]
        _check_batch(keys, READ_AT_ONCE, "BatchGetItem")
        found = {
            table: [self._get(of_table | {"TableName": table, "Key": key}).get("Item") for key in of_table["Keys"]]
            for table, of_table in request["RequestItems"].items()
        }
        there = {table: [item for item in items if item] for table, items in found.items()}
        return {"Responses": there, "UnprocessedKeys": {}}

    def _put(self, request: dict[str, Any]) -> dict[str, Any]:
        table = self._table(request, "PutItem")
        self._check(table, request, request["Item"], "PutItem")
        _check_item(table, request["Item"], "PutItem")
        table.items[table.key(request["Item"])] = request["Item"]
        return {}

    def _write_batch(self, request: dict[str, Any]) -> dict[str, Any]:
        written = [
            (name, self._table({"TableName": name}, "BatchWriteItem").key(content.get("Key") or content["Item"]))
            for name, writes in request["RequestItems"].items()
            for write in writes
            for content in write.values()
        ]
        _check_batch(written, WRITTEN_AT_ONCE, "BatchWriteItem")
        for name, writes in request["RequestItems"].items():
            for write in writes:
                [(kind, content)] = write.items()
                done = {"PutRequest": self._put, "DeleteRequest": self._delete}[kind]
                done({"TableName": name} | content)
        return {"UnprocessedItems": {}}

    def _update(self, request: dict[str, Any]) -> dict[str, Any]:
        table = self._table(request, "UpdateItem")
        before = self._check(table, request, request["Key"], "UpdateItem")
        item = copied(before) if before else dict(request["Key"])
        apply(request, item, before or {})
        _check_item(table, item, "UpdateItem")
        table.items[table.key(request["Key"])] = item
        return {"Attributes": item} if request.get("ReturnValues", "NONE") != "NONE" else {}

    def _delete(self, request: dict[str, Any]) -> dict[str, Any]:
        table = self._table(request, "DeleteItem")
        self._check(table, request, request["Key"], "DeleteItem")
        table.items.pop(table.key(request["Key"]), None)
        return {}

    def _query(self, request: dict[str, Any]) -> dict[str, Any]:
        table = self._table(request, "Query")
        index = table.indexes[request["IndexName"]] if "IndexName" in request else None
        if index and request.get("ConsistentRead"):
            _refuse(
                "ValidationException", "Consistent reads are not supported on global secondary indexes", "Query"
            )
        hash_key, range_key = index.keys if index else table.keys
        of_key = required(hash_key, request)  # compared first, as most items are of other keys
        present = (
            i
            for i in table.items.values()
            if equal(i.get(hash_key), of_key) and (range_key is None or range_key in i)
        )
        found = [i for i in present if holds(request["KeyConditionExpression"], request, i)]
        found.sort(key=lambda item: _place(table, range_key, item))
        if not request.get("ScanIndexForward", True):
            found.reverse()
        if "ExclusiveStartKey" in request:  # what stood there may have moved since
            start, later = request["ExclusiveStartKey"], request.get("ScanIndexForward", True)
            compare = operator.gt if later else operator.lt
            found = [
                item for item in found if compare(_place(table, range_key, item), _place(table, range_key, start))
            ]
        return self._page(table, request, found)

    def _scan(self, request: dict[str, Any]) -> dict[str, Any]:
        table = self._table(request, "Scan")
        found = [*table.items.values()]
        if "ExclusiveStartKey" in request:
            start = table.key(request["ExclusiveStartKey"])
            found = found[[table.key(item) for item in found].index(start) + 1 :]
        return self._page(table, request, found)

    def _page(self, table: Table, request: dict[str, Any], found: list[Item]) -> dict[str, Any]:
        index = table.indexes[request["IndexName"]] if "IndexName" in request else None
        if index and index.projected is not None:
            shown = index.projected | {name for name in (*table.keys, *index.keys) if name}
            found = [{name: value for name, value in item.items() if name in shown} for item in found]
        page = found[: min(request.get("Limit", len(found)), _fitting(found))]
        paged: dict[str, Any] = {}
        if len(page) < len(found):
            keys = (*table.keys, *(index.keys if index else ()))
            paged["LastEvaluatedKey"] = {name: page[-1][name] for name in keys if name}
        scanned = len(page)
        if "FilterExpression" in request:
            page = [item for item in page if holds(request["FilterExpression"], request, item)]
        return paged | {"Items": page, "Count": len(page), "ScannedCount": scanned}

    def _transact(self, request: dict[str, Any]) -> dict[str, Any]:
        steps = [(kind, each) for action in request["TransactItems"] for kind, each in action.items()]
        reasons = []
        for _, each in steps:
            table = self._table(each, "TransactWriteItems")
            item = table.items.get(table.key(each.get("Key") or each["Item"]))
            failed = not holds(each.get("ConditionExpression"), each, item or {})
            reasons.append({"Code": "ConditionalCheckFailed" if failed else "None"})
        if any(reason["Code"] != "None" for reason in reasons):
            codes = ", ".join(reason["Code"] for reason in reasons)
            message = f"Transaction cancelled, please refer cancellation reasons for specific reasons [{codes}]"
            _refuse("TransactionCanceledException", message, "TransactWriteItems", CancellationReasons=reasons)
        done = {"Put": self._put, "Update": self._update, "Delete": self._delete}
        for kind, each in steps:
            if kind != "ConditionCheck":
                done[kind](each)
        return {}

    def _check(self, table: Table, request: dict[str, Any], key: Item, operation: str) -> Item | None:
        """The item as it is, if the request's condition holds for it."""
        item = table.items.get(table.key(key))
        if not holds(request.get("ConditionExpression"), request, item or {}):
            _refuse("ConditionalCheckFailedException", "The conditional request failed", operation)
        return item


class MemoryConnection(_Connection):
    """A pynamodb connection to it."""

    def __init__(self, client: Any) -> None:
        super().__init__()
        self.memory = client

    @property
    def client(self) -> Any:
        """Where the requests go."""
        return self.memory


def copied(value: Any) -> Any:
    """A copy of what JSON can have, in a tenth of the time that `copy.deepcopy` takes."""
    if isinstance(value, dict):
        return {name: copied(each) for name, each in value.items()}
    return [copied(each) for each in value] if isinstance(value, list) else value


def _refuse(code: str, message: str, operation: str, **more: Any) -> NoReturn:
    raise ClientError({"Error": {"Code": code, "Message": message}} | more, operation)  # type: ignore[arg-type]


def _check_batch(keys: Collection[Any], most: int, operation: str) -> None:
    if not 0 < len(keys) <= most:
        _refuse("ValidationException", f"A batch of {len(keys)} items: there may be 1 to {most}", operation)
    if len({repr(key) for key in keys}) < len(keys):
        _refuse("ValidationException", "Provided list of item keys contains duplicates", operation)


def _check_item(table: Table, item: Item, operation: str) -> None:
    # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
    every_index = [index.keys for index in table.indexes.values()]
    for name in {name for keys in (table.keys, *every_index) for name in keys if name and name in item}:
        if item[name] == {"S": ""}:
            _refuse("ValidationException", f"The key attribute {name} is an empty string", operation)
    if item_bytes(item) > ITEM_BYTES:
        _refuse("ValidationException", "Item size has exceeded the maximum allowed size", operation)


def _shown(request: dict[str, Any], item: Item) -> Item:
    if "ProjectionExpression" not in request:
        return item
    names = [name.strip() for name in request["ProjectionExpression"].split(",")]
    wanted = {request.get("ExpressionAttributeNames", {}).get(name, name) for name in names}
    return {name: value for name, value in item.items() if name in wanted}


def _fitting(found: Collection[Item]) -> int:
    """How many of these items a page can have; one is always there."""
    size = 0
    for number, item in enumerate(found):
        size += item_bytes(item)
        if size > PAGE_BYTES:
            return max(number, 1)
    return len(found)


def _schema(keys: tuple[str, str | None]) -> list[dict[str, str]]:
    return [{"AttributeName": n, "KeyType": kind} for n, kind in zip(keys, ("HASH", "RANGE"), strict=True) if n]


def _keys(schema: Iterable[dict[str, str]]) -> tuple[str, str | None]:
    named = {key["KeyType"]: key["AttributeName"] for key in schema}
    return named["HASH"], named.get("RANGE")


def _model_keys(attributes: Iterable[Any]) -> tuple[str, str | None]:
    named = [*attributes]
    [hash_key] = [each.attr_name for each in named if each.is_hash_key]
    return hash_key, next((each.attr_name for each in named if each.is_range_key), None)


def _projected(projection: Any) -> frozenset[str] | None:
    return None if projection.projection_type == "ALL" else frozenset(projection.non_key_attributes or ())


def _place(table: Table, range_key: str | None, item: Item) -> tuple[Any, tuple[Any, Any]]:
    """Where an item stands among those of its key."""
    return (plain(item[range_key]) if range_key else 0, table.key(item))
