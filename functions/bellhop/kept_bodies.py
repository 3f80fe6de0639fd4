"""The bodies of what a batch delivered at once: compressed together, in parts that each fit into an item."""

import bz2
import itertools
import json
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

from bellhop.deliveries import Delivery

PART_BYTES = 390_000  # an item has 400 KB at most, with its key
# bz2 makes the smallest packs of all that Python has, and takes a function a third of a second for a mebibyte: too
# long for the largest batches. Above this, zlib at its quickest takes a ninth of that.
QUICK_BYTES = 256 * 1024

_NAMES = ("organization_id", "installation_id", "project_id")  # the rest is in the rows of the log


class IncompleteError(Exception):
    """A part is missing: DynamoDB deletes what has expired item by item."""


def pack(deliveries: Sequence[Delivery]) -> list[bytes]:
    """The bodies in that order, and whose they are, in one part or several."""
    names = [{name: getattr(each, name) for name in _NAMES} | {"bytes": len(each.body)} for each in deliveries]
    head = json.dumps(names, separators=(",", ":")).encode()
    packed = _compressed(b"".join([head, b"\n", *(each.body for each in deliveries)]))
    return [packed[start : start + PART_BYTES] for start in range(0, len(packed), PART_BYTES)]


def unpack(parts: Iterable[bytes]) -> list[tuple[dict[str, Any], bytes]]:
    """The names and the body of each of them, in that order.

    Raises:
        IncompleteError: a part has expired.
    """
    head, _, bodies = _decompressed(parts).partition(b"\n")
    names = json.loads(head)
    ends = list(itertools.accumulate(each["bytes"] for each in names))
    return [
        ({name: each.get(name) for name in _NAMES}, bodies[end - each["bytes"] : end])
        for each, end in zip(names, ends, strict=True)
    ]


def _compressed(data: bytes) -> bytes:
    return bz2.compress(data) if len(data) <= QUICK_BYTES else zlib.compress(data, 1)


def _decompressed(parts: Iterable[bytes]) -> bytes:
    """What was compressed. No part is taken after the last one: each is read from the table when it is taken."""
    found, stream = list[bytes](), None
    for part in parts:
        stream = stream or (bz2.BZ2Decompressor() if part.startswith(b"BZh") else zlib.decompressobj())
        try:
            found.append(stream.decompress(part))
        except (OSError, zlib.error) as error:
            raise IncompleteError from error
        if stream.eof:
            return b"".join(found)
    raise IncompleteError
