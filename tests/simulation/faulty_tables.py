"""Tables whose calls fail, whose indexes lag behind, and whose counters' changes are a stream."""

from collections.abc import Callable
from typing import Any

from tests.simulation.faults import refuse
from tests.simulation.history import NOTED
from tests.support.expressions import Item
from tests.support.memory_dynamodb import MemoryDynamoDB, Table

_READS = {"GetItem", "Query", "BatchGetItem"}
LAG_SECONDS = 2.0  # for which an eventually consistent read may still see what was before


class FaultyTables(MemoryDynamoDB):
    """`fault` makes each call, or fails it; `lags` says whether a read is behind; `now` is in seconds.

    `changed` gets what an update of the outcome counters left; `noted` is called when what the history notes may
    have changed. `down` is a table that does not respond.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fault: Callable[[str, Callable[[], Any]], Any] = lambda name, act: act()
        self.lags: Callable[[], bool] = lambda: False
        self.now: Callable[[], float] = lambda: 0.0
        self.changed: Callable[[Item], None] = lambda item: None
        self.noted: Callable[[], None] = lambda: None
        self.down: Callable[[], str | None] = lambda: None
        self._before: dict[tuple[str, Any], tuple[float, Item | None]] = {}

    def _make_api_call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        if operation == "Scan":  # only the tests scan
            return super()._make_api_call(operation, request)
        if operation == "BatchGetItem" and self.down() in request["RequestItems"]:
            return self._without(str(self.down()), request)
        asked = [*request.get("RequestItems", ())] if operation == "BatchWriteItem" else ["several"]
        table = str(request.get("TableName") or asked[0])
        taken: dict[str, Any] = self.fault(f"{operation} {table}", lambda: self._made(operation, table, request))
        return taken

    def _made(self, operation: str, table: str, request: dict[str, Any]) -> dict[str, Any]:
        eventual = not request.get("ConsistentRead") and operation in {"GetItem", "Query"}
        if eventual and self.lags():
            return self._behind(operation, table, request)
        self._remember(operation, request)
        made = super()._make_api_call(operation, request)
        if operation == "UpdateItem" and table == "outcomes":
            self.changed(made["Attributes"])
        if table in NOTED and operation not in _READS:
            self.noted()
        return made

    def _without(self, down: str, request: dict[str, Any]) -> dict[str, Any]:
        """What DynamoDB does while one of several tables does not respond: its keys are unprocessed."""
        wanted = dict(request["RequestItems"])
        unprocessed = {down: wanted.pop(down)}
        if not wanted:
            refuse("BatchGetItem")
        taken: dict[str, Any] = super()._make_api_call("BatchGetItem", request | {"RequestItems": wanted})
        return taken | {"UnprocessedKeys": unprocessed}

    def _remember(self, operation: str, request: dict[str, Any]) -> None:
        steps = [each for action in request.get("TransactItems", ()) for each in action.values()]
        if operation in {"PutItem", "UpdateItem", "DeleteItem"}:
            steps = [request]
        for each in steps:
            table = self.tables[each["TableName"]]
            key = table.key(each.get("Key") or each["Item"])
            self._before[each["TableName"], key] = (self.now(), table.items.get(key))

    def _behind(self, operation: str, name: str, request: dict[str, Any]) -> dict[str, Any]:
        """The read, of the table as it was a moment ago."""
        table = self.tables[name]
        items = dict(table.items)
        for (of, key), (written, before) in self._before.items():
            if of == name and self.now() - written <= LAG_SECONDS:
                if before is None:
                    items.pop(key, None)
                else:
                    items[key] = before
        self.tables[name] = Table(table.keys, table.indexes, items)
        try:
            return super()._make_api_call(operation, request)
        finally:
            self.tables[name] = table
