"""How large an item is by DynamoDB's count."""

from collections.abc import Mapping
from typing import Any

Item = Mapping[str, Mapping[str, Any]]


def item_bytes(item: Item) -> int:
    """The size that DynamoDB bills: names and values, as its documentation counts them.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
    """
    return sum(len(name.encode()) + _value_bytes(value) for name, value in item.items())


def _value_bytes(value: Mapping[str, Any]) -> int:
    kind, content = next(iter(value.items()))
    if kind == "S":
        return len(content.encode())
    if kind == "N":
        return (len(content) + 1) // 2 + 1
    if kind == "B":
        return len(content)
    if kind == "L":
        return 3 + sum(1 + _value_bytes(each) for each in content)
    if kind == "M":
        return 3 + len(content) + item_bytes(content)
    return 1 if kind in {"BOOL", "NULL"} else sum(len(each) for each in content)
