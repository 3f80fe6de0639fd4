"""DynamoDB in memory for simulations: the operations and expressions that Bellhop's tables use, and no others.

It stands where a pynamodb connection has its client, so the models' own requests are what it works on. It is some
fifty times faster than an emulator, and a second opinion on what the expressions mean: tests/unit/support compares
both on random requests. What it does not know, it refuses.
"""

import copy
import operator
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from typing import Any

from botocore.exceptions import ClientError
from pynamodb.models import Model

from bellhop.tables import _Connection

Value = dict[str, Any]  # as DynamoDB writes it: {"S": "text"}
Item = dict[str, Value]
TOKEN = re.compile(r"\s*([#:]?\w+|<>|<=|>=|[=<>()\[\],.+-])")


@dataclass
class Table:
    """The keys of a table and its indexes (hash and range, None where there is none), and its items."""

    keys: tuple[str, str | None]
    indexes: dict[str, tuple[str, str | None]]
    items: dict[tuple[Any, Any], Item] = field(default_factory=dict)

    def key(self, item: Item) -> tuple[Any, Any]:
        """What an item is found by."""
        return tuple(None if name is None else _plain(item[name]) for name in self.keys)  # type: ignore[return-value]


class MemoryDynamoDB:
    """The client."""

    def __init__(self) -> None:
        self.tables: dict[str, Table] = {}

    def add(self, model: type[Model]) -> None:
        """Have the table of a model."""
        attributes = model.get_attributes().values()
        keys = (_named(attributes, "is_hash_key"), _named(attributes, "is_range_key"))
        assert keys[0]
        indexes = {}
        for index in (model._indexes or {}).values():
            of_index = index.Meta.attributes.values()
            indexes[index.Meta.index_name] = (_named(of_index, "is_hash_key"), _named(of_index, "is_range_key"))
        self.tables[model.Meta.table_name] = Table(keys, indexes)  # type: ignore[arg-type]

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
        }
        return copy.deepcopy(handlers[operation](request))

    def _get(self, request: dict[str, Any]) -> dict[str, Any]:
        table = self.tables[request["TableName"]]
        item = table.items.get(table.key(request["Key"]))
        return {} if item is None else {"Item": item}

    def _batch_get(self, request: dict[str, Any]) -> dict[str, Any]:
        found = {
            table: [self._get({"TableName": table, "Key": key}).get("Item") for key in of_table["Keys"]]
            for table, of_table in request["RequestItems"].items()
        }
        return {"Responses": {table: [item for item in items if item] for table, items in found.items()}}

    def _put(self, request: dict[str, Any]) -> dict[str, Any]:
        table = self.tables[request["TableName"]]
        self._check(table, request, request["Item"])
        table.items[table.key(request["Item"])] = request["Item"]
        return {}

    def _write_batch(self, request: dict[str, Any]) -> dict[str, Any]:
        for name, writes in request["RequestItems"].items():
            for write in writes:
                [(kind, content)] = write.items()
                done = {"PutRequest": self._put, "DeleteRequest": self._delete}[kind]
                done({"TableName": name} | content)
        return {"UnprocessedItems": {}}

    def _update(self, request: dict[str, Any]) -> dict[str, Any]:
        table = self.tables[request["TableName"]]
        before = self._check(table, request, request["Key"])
        item = copy.deepcopy(before) if before else dict(request["Key"])
        _apply(request, item, before or {})
        table.items[table.key(request["Key"])] = item
        return {"Attributes": item}

    def _delete(self, request: dict[str, Any]) -> dict[str, Any]:
        table = self.tables[request["TableName"]]
        self._check(table, request, request["Key"])
        table.items.pop(table.key(request["Key"]), None)
        return {}

    def _query(self, request: dict[str, Any]) -> dict[str, Any]:
        table = self.tables[request["TableName"]]
        hash_key, range_key = table.indexes[request["IndexName"]] if "IndexName" in request else table.keys
        present = (i for i in table.items.values() if hash_key in i and (range_key is None or range_key in i))
        found = [i for i in present if _holds(request["KeyConditionExpression"], request, i)]
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
        table = self.tables[request["TableName"]]
        found = [*table.items.values()]
        if "ExclusiveStartKey" in request:
            start = table.key(request["ExclusiveStartKey"])
            found = found[[table.key(item) for item in found].index(start) + 1 :]
        return self._page(table, request, found)

    def _page(self, table: Table, request: dict[str, Any], found: list[Item]) -> dict[str, Any]:
        page = found[: request.get("Limit", len(found))]
        paged: dict[str, Any] = {}
        if len(page) < len(found):
            paged["LastEvaluatedKey"] = {n: page[-1][n] for n in _all_keys(table, request) if n in page[-1]}
        if "FilterExpression" in request:
            page = [item for item in page if _holds(request["FilterExpression"], request, item)]
        return paged | {"Items": page, "Count": len(page), "ScannedCount": len(page)}

    def _transact(self, request: dict[str, Any]) -> dict[str, Any]:
        steps = [(kind, each) for action in request["TransactItems"] for kind, each in action.items()]
        reasons = []
        for _, each in steps:
            table = self.tables[each["TableName"]]
            item = table.items.get(table.key(each.get("Key") or each["Item"]))
            failed = not _holds(each.get("ConditionExpression"), each, item or {})
            reasons.append({"Code": "ConditionalCheckFailed" if failed else "None"})
        if any(reason["Code"] != "None" for reason in reasons):
            error = {"Error": {"Code": "TransactionCanceledException"}, "CancellationReasons": reasons}
            raise ClientError(error, "TransactWriteItems")  # type: ignore[arg-type]
        done = {"Put": self._put, "Update": self._update, "Delete": self._delete}
        for kind, each in steps:
            if kind != "ConditionCheck":
                done[kind](each)
        return {}

    def _check(self, table: Table, request: dict[str, Any], key: Item) -> Item | None:
        """The item as it is, if the request's condition holds for it."""
        item = table.items.get(table.key(key))
        if not _holds(request.get("ConditionExpression"), request, item or {}):
            error: Any = {"Error": {"Code": "ConditionalCheckFailedException"}}
            raise ClientError(error, "UpdateItem")
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


def _named(attributes: Iterable[Any], flag: str) -> str | None:
    return next((each.attr_name for each in attributes if getattr(each, flag)), None)


def _place(table: Table, range_key: str | None, item: Item) -> tuple[Any, tuple[Any, Any]]:
    """Where an item stands among those of its key."""
    return (_plain(item[range_key]) if range_key else 0, table.key(item))


def _all_keys(table: Table, request: dict[str, Any]) -> list[str]:
    of_index = table.indexes[request["IndexName"]] if "IndexName" in request else ()
    return [name for name in (*table.keys, *of_index) if name]


def _plain(value: Value) -> Any:
    """A value that can be compared: text, a number, bytes, ..."""
    [(kind, content)] = value.items()
    if kind == "N":
        return Decimal(content)
    if kind in {"SS", "NS", "BS"}:
        return frozenset(content)
    if kind == "M":
        return {name: _plain(each) for name, each in content.items()}
    return [_plain(each) for each in content] if kind == "L" else content


# ---- Expressions: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.html


@cache
def _tokens(expression: str) -> tuple[str, ...]:
    found, end = [], 0
    while expression[end:].strip():
        match = TOKEN.match(expression, end)
        assert match, expression[end:]
        found.append(match[1])
        end = match.end()
    return tuple(found)


def _holds(expression: str | None, request: dict[str, Any], item: Item) -> bool:
    if not expression:
        return True
    reader = _Reader(_tokens(expression), request, item)
    result = reader.either()
    assert reader.done(), expression
    return result


@dataclass
class _Reader:
    """Reads an expression from left to right, and says what it means for an item."""

    tokens: Sequence[str]
    request: dict[str, Any]
    item: Item
    at: int = 0

    def done(self) -> bool:
        return self.at == len(self.tokens)

    def peek(self) -> str:
        return "" if self.done() else self.tokens[self.at]

    def take(self, *expected: str) -> str:
        token = self.peek()
        assert not expected or token.upper() in expected, (token, expected)
        self.at += 1
        return token

    def either(self) -> bool:
        result = self.both()
        while self.peek().upper() == "OR":
            self.take()
            result |= self.both()
        return result

    def both(self) -> bool:
        result = self.negated()
        while self.peek().upper() == "AND":
            self.take()
            result &= self.negated()
        return result

    def negated(self) -> bool:
        if self.peek().upper() == "NOT":
            self.take()
            return not self.negated()
        if self.peek() == "(":
            self.take()
            result = self.either()
            self.take(")")
            return result
        return self.function() if self.peek() in _FUNCTIONS else self.comparison()

    def function(self) -> bool:
        name = self.take()
        arguments = self.listed()
        return _FUNCTIONS[name](*arguments)

    def listed(self) -> list[Any]:
        self.take("(")
        found = [self.operand()]
        while self.peek() == ",":
            self.take()
            found.append(self.operand())
        self.take(")")
        return found

    def comparison(self) -> bool:
        left, sign = self.operand(), self.take().upper()
        if sign == "IN":
            return any(_compare("=", left, each) for each in self.listed())
        if sign == "BETWEEN":
            low = self.operand()
            self.take("AND")
            high = self.operand()
            return _compare(">=", left, low) and _compare("<=", left, high)
        return _compare(sign, left, self.operand())

    def operand(self) -> Value | None:
        token = self.take()
        if token == "list_append":
            first, second = self.listed()
            return {"L": first["L"] + second["L"]}
        if token == "if_not_exists":
            return next((value for value in self.listed() if value is not None), None)
        if token.startswith(":"):
            value: Value = self.request["ExpressionAttributeValues"][token]
            return value
        found: Value | None = {"M": self.item}
        for name in self.path(token):
            found = found["M"].get(name) if found and "M" in found else None
        return found

    def path(self, token: str) -> list[str]:
        """The names on the way to an attribute, which may be within a map."""
        names = [self.name(token)]
        while self.peek() == ".":
            self.take()
            names.append(self.name(self.take()))
        assert self.peek() != "[", "paths into lists are not known here"
        return names

    def name(self, token: str) -> str:
        return str(self.request["ExpressionAttributeNames"][token]) if token.startswith("#") else token


def _compare(sign: str, left: Value | None, right: Value | None) -> bool:
    if left is None or right is None or left.keys() != right.keys():
        return sign == "<>" and left is not right
    return bool(_OPERATORS[sign](_plain(left), _plain(right)))


_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _contains(container: Value | None, part: Value) -> bool:
    if container is None:
        return False
    return _plain(part) in _plain(container)


_FUNCTIONS: dict[str, Callable[..., bool]] = {
    "attribute_exists": lambda value: value is not None,
    "attribute_not_exists": lambda value: value is None,
    "begins_with": lambda value, start: value is not None and str(_plain(value)).startswith(_plain(start)),
    "contains": _contains,
}


def _apply(request: dict[str, Any], item: Item, before: Item) -> None:
    """Do what an update says: every operand is read as it was before."""
    reader, kind = _Reader(_tokens(request["UpdateExpression"]), request, before), ""
    while not reader.done():
        if reader.peek() == ",":
            reader.take()
        elif reader.peek().upper() in {"SET", "REMOVE", "ADD", "DELETE"}:
            kind = reader.take().upper()
        *way, name = reader.path(reader.take())
        inside = item
        for each in way:
            inside = inside[each]["M"]
        if kind == "SET":
            reader.take("=")
            inside[name] = _assigned(reader)
        elif kind == "REMOVE":
            inside.pop(name, None)
        else:
            _change_in_place(kind, inside, name, reader.operand() or {})


def _assigned(reader: _Reader) -> Value:
    value = _term(reader)
    while reader.peek() in {"+", "-"}:
        sign = 1 if reader.take() == "+" else -1
        value = {"N": str(_plain(value) + sign * _plain(_term(reader)))}
    return value


def _term(reader: _Reader) -> Value:
    value = reader.operand()
    if value is None:
        raise ClientError({"Error": {"Code": "ValidationException"}}, "UpdateItem")
    return value


def _change_in_place(kind: str, item: Item, name: str, value: Value) -> None:
    [(of, content)] = value.items()
    if of == "N":
        item[name] = {"N": str(_plain(item.get(name, {"N": "0"})) + _plain(value))}
        return
    had = set(item.get(name, {of: []})[of])
    has = had | set(content) if kind == "ADD" else had - set(content)
    if has:
        item[name] = {of: sorted(has)}
    else:
        item.pop(name, None)
