"""Damaging stored items, as a faulty restore or a hand on the console can."""

from typing import Any

from pynamodb.models import Model

MAP = {"M": {"x": {"S": "damaged"}}}  # no attribute of a model is one, but where mails are


def damage(
    model: type[Model], key: str | tuple[str, str], attribute: str, value: dict[str, Any] | None = None
) -> None:
    """Give an attribute of an item a value that no model reads, or the raw `value`."""
    connection = model._get_connection()
    names = connection.get_meta_table().get_identifier_map(*([key] if isinstance(key, str) else key))["Key"]
    connection.connection.dispatch(
        "UpdateItem",
        {
            "TableName": model.Meta.table_name,
            "Key": names,
            "UpdateExpression": "SET #damaged = :value",
            "ExpressionAttributeNames": {"#damaged": attribute},
            "ExpressionAttributeValues": {":value": value or MAP},
        },
    )
