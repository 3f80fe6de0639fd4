"""Of a record's newest attempt whose response is longer than what its row keeps, the whole of it.

It stands beside the rows, compressed. A record whose responses are short has none, and costs nothing for it. Each
long response takes the place of the last.
"""

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bellhop.attempts import Attempt, DeliveryRecord

ROW_BYTES = 1024  # of a response, in an attempt's row
ROOM_BYTES = 240_000  # of an item, for the delivery's body and this, beside as many rows as there can be


@dataclass(frozen=True, slots=True)
class LongResponse:
    """A response's text and headers as far as they are kept. `cut`: the text was longer."""

    text: str
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False


def fitting(attempt: "Attempt | None", body: bytes | None) -> bytes | None:
    """What a record keeps of an attempt's long response, beside the body if it has it itself; None for nothing."""
    if attempt is None or attempt.long is None:
        return None
    long = {"text": attempt.long.text, "headers": dict(attempt.long.headers), "cut": attempt.long.cut}
    packed = zlib.compress(json.dumps({"request_id": attempt.request_id} | long, ensure_ascii=False).encode())
    return packed if len(body or b"") + len(packed) <= ROOM_BYTES else None


def rows(record: "DeliveryRecord") -> list[dict[str, Any]]:
    """The attempts of a record, each with what is kept of its response; `cut` where that was longer."""
    long = _read(record.long_response) if record.long_response else {}
    whole = {name: long[name] for name in ("headers", "cut") if long.get(name)}
    return [
        {name: value for name, value in row.items() if name != "cut"} | {"response": long["text"]} | whole
        if row["request_id"] == long.get("request_id")
        else dict(row)
        for row in record.attempts
    ]


def _read(packed: bytes) -> dict[str, Any]:
    try:
        found = json.loads(zlib.decompress(packed))
    except (zlib.error, ValueError):  # damaged: the rows have the first part of it
        return {}
    return found if isinstance(found, dict) and "text" in found else {}
