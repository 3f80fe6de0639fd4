"""The units that DynamoDB bills for the calls to one table, counted from its items; its indexes are left out."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest

from bellhop.tables import _Connection
from tests.bench import prices
from tests.support.item_size import Item, item_bytes


@dataclass
class TableUnits:
    """What is written and read by the models' calls to a table, in units, with the number of these calls."""

    table: str
    written: int = 0
    read: float = 0.0
    calls: Counter[str] = field(default_factory=Counter)

    def watch(self, patch: pytest.MonkeyPatch) -> None:
        """Count from now on."""
        dispatch = _Connection.dispatch

        def counting(connection: Any, operation: str, request: dict[str, Any]) -> Any:
            if request.get("TableName") != self.table:
                return dispatch(connection, operation, request)
            self.calls[operation] += 1
            before, consistent = self._item(request), request.get("ConsistentRead", False)
            try:
                return dispatch(connection, operation, request)
            finally:
                self._count(operation, before, self._item(request), consistent=consistent)

        patch.setattr(_Connection, "dispatch", counting)

    def _count(self, operation: str, before: Item, after: Item, *, consistent: bool) -> None:
        if operation in {"PutItem", "UpdateItem"}:  # billed by the larger, also where a condition is not met
            self.written += prices.write_units(max(item_bytes(before), item_bytes(after)))
        elif operation == "GetItem":
            self.read += prices.read_units(item_bytes(after), consistent=consistent)

    def _item(self, request: dict[str, Any]) -> Item:
        named = request.get("Key") or {"delivery_id": request["Item"]["delivery_id"]}
        found: Item = boto3.client("dynamodb").get_item(TableName=self.table, Key=named).get("Item", {})
        return found
