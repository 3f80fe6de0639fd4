"""Counts the billed units of a process's AWS calls, from the calls themselves."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import botocore

from tests.bench import prices
from tests.support.item_size import Item, item_bytes


class Meter:
    """Billed units of every call of every botocore client that is created after it.

    DynamoDB's units are computed from the sizes of the items, because those that an embedded AWS reports need not
    be true. They are recorded too, as `reported`. What an index had of an item is known if this process wrote it.
    """

    def __init__(self, schemas: Mapping[str, dict[str, Any]]) -> None:
        self._schemas = schemas  # the properties of each table, as the template has them
        self.units: defaultdict[str, float] = defaultdict(float)
        self.calls: Counter[str] = Counter()
        self.written: defaultdict[str, float] = defaultdict(float)  # write units by table and operation
        self.failures: list[Item] = []  # counter rows with a failure, which the stream's filter passes on
        self._seen: dict[str, Item] = {}  # items of tables with indexes, as they were written last
        botocore.register_initializer(self._watch)

    def take(self) -> dict[str, Any]:
        """Everything since the last call."""
        taken = {
            "units": dict(self.units),
            "calls": dict(self.calls),
            "written": dict(self.written),
            "failures": self.failures,
        }
        self.units, self.calls, self.written, self.failures = defaultdict(float), Counter(), defaultdict(float), []
        return taken

    def _watch(self, session: Any) -> None:
        session.register("before-parameter-build", _remember)
        session.register("after-call", self._count)

    def _count(self, model: Any, parsed: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        service, asked = model.service_model.service_name, context.get("bench_asked", {})
        self.calls[f"{service}.{model.name}"] += 1
        if service == "sqs":
            self.units["sqs_requests"] += prices.sqs_requests(_payload(asked))
        elif service == "scheduler":
            self.units["schedules"] += model.name == "CreateSchedule"
        elif service == "dynamodb":
            self._count_dynamodb(model.name, asked, parsed)

    def _count_dynamodb(self, operation: str, asked: dict[str, Any], parsed: dict[str, Any]) -> None:
        reported = parsed.get("ConsumedCapacity") or {}
        capacity = reported if isinstance(reported, list) else [reported]
        self.units["reported"] += sum(float(each.get("CapacityUnits", 0)) for each in capacity)
        count: Callable[..., None] | None = _COUNTED.get(operation)
        if count is None:
            raise RuntimeError(f"the meter does not know what {operation} costs")
        count(self, asked, parsed)

    def _put(self, asked: dict[str, Any], _: dict[str, Any], times: int = 1) -> None:
        self._write(asked["TableName"], "put", times * self._item_units(asked["TableName"], asked["Item"]))

    def _update(self, asked: dict[str, Any], parsed: dict[str, Any]) -> None:
        item = parsed.get("Attributes") or {}  # nothing where a condition was not met, which costs as much
        written = self._item_units(asked["TableName"], item) if item else 1
        self._write(asked["TableName"], "update", written)
        if item.get("has_failure", {}).get("BOOL"):
            self.failures.append(item)

    def _put_all(self, asked: dict[str, Any], _: dict[str, Any]) -> None:
        for table, writes in asked["RequestItems"].items():
            for item in (write["PutRequest"]["Item"] for write in writes):
                self._write(table, _LOGGED.get(item["key"]["S"].partition("#")[0], "put"), _units(item))

    def _delete(self, asked: dict[str, Any], _: dict[str, Any]) -> None:
        self._write(asked["TableName"], "delete", self._item_units(asked["TableName"], asked["Key"]))

    def _transact(self, asked: dict[str, Any], parsed: dict[str, Any]) -> None:
        for action in asked["TransactItems"]:
            put = action.get("Put")
            if put:
                self._put(put, parsed, times=2)
            else:
                self._write("a transaction", "update", 2)  # an update in a transaction returns nothing to measure

    def _write(self, table: str, operation: str, units: int) -> None:
        self.units["write_units"] += units
        self.written[f"{table} {operation}"] += units

    def _get(self, asked: dict[str, Any], parsed: dict[str, Any]) -> None:
        self._read([parsed.get("Item") or {}], asked)

    def _batch_get(self, asked: dict[str, Any], parsed: dict[str, Any]) -> None:
        for table, of_table in asked["RequestItems"].items():
            found = parsed["Responses"].get(table, [])
            for item in [*found, *[{}] * (len(of_table["Keys"]) - len(found))]:  # each is rounded up on its own
                self._read([item], of_table)

    def _query(self, asked: dict[str, Any], parsed: dict[str, Any]) -> None:
        self._read(parsed.get("Items", []), asked)

    def _read(self, items: list[Item], asked: dict[str, Any]) -> None:
        size = sum(map(item_bytes, items))
        self.units["read_units"] += prices.read_units(size, consistent=asked.get("ConsistentRead", False))

    def _item_units(self, table: str, item: Item) -> int:
        schema = self._schemas.get(table, {})
        indexes = schema.get("GlobalSecondaryIndexes", [])
        if not indexes:
            return _units(item)
        key = f"{table} {[item[name] for name in _key_names(schema)]}"
        before, self._seen[key] = self._seen.get(key, {}), item
        return _units(item) + sum(entry_units(index, before, item) for index in indexes)


_COUNTED: dict[str, Callable[..., None]] = {
    "PutItem": Meter._put,
    "BatchWriteItem": Meter._put_all,
    "UpdateItem": Meter._update,
    "DeleteItem": Meter._delete,
    "TransactWriteItems": Meter._transact,
    "GetItem": Meter._get,
    "BatchGetItem": Meter._batch_get,
    "Query": Meter._query,
}


# What the log of successes has beside its packs, by what their keys begin with.
_LOGGED = {"app": "list", "bodies": "bodies"}


def _key_names(schema: dict[str, Any]) -> list[str]:
    return [each["AttributeName"] for each in schema["KeySchema"]]


def entry_units(index: dict[str, Any], before: Item, after: Item) -> int:
    """What it takes to have an index follow an item. An entry whose key changes is deleted and written anew."""
    old, new = _entry(index, before), _entry(index, after)
    if old == new:
        return 0
    if old and new and all(old[name] == new[name] for name in _key_names(index)):
        return max(_units(old), _units(new))
    return sum(_units(entry) for entry in (old, new) if entry)


def _entry(index: dict[str, Any], item: Item) -> Item:
    """What an index has of an item; empty where the item is not in it."""
    keys, projection = _key_names(index), index["Projection"]
    if not set(keys) <= set(item):
        return {}
    included = {*keys, *projection.get("NonKeyAttributes", [])}
    return {n: v for n, v in item.items() if projection["ProjectionType"] == "ALL" or n in included}


def _units(item: Item) -> int:
    return prices.write_units(item_bytes(item))


def _payload(asked: dict[str, Any]) -> int:
    entries = asked.get("Entries", [asked])
    return sum(len(entry.get("MessageBody", "").encode()) for entry in entries)


def _remember(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
    context["bench_asked"] = params
