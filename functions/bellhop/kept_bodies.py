"""The bodies of what a batch delivered at once: compressed together, in parts that each fit into an item.

Where nothing forbids it, what is known without a body is left out of it, and its digits are taken out of it. That
makes a pack a fifth smaller.
"""

import bz2
import itertools
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bellhop import digits, known_text
from bellhop.deliveries import Delivery
from bellhop.known_text import KnownText, names_in

PART_BYTES = 390_000  # an item has 400 KB at most, with its key
# bz2 makes the smallest packs of all that Python has, and takes a function a third of a second for a mebibyte: too
# long for the largest batches. Above this, zlib at its quickest takes a ninth of that.
QUICK_BYTES = 256 * 1024

_NAMES = ("organization_id", "installation_id", "project_id")  # the rest is in the rows of the log

_TAKEN_APART = b"\x01"  # what such a pack begins with; bz2 and zlib begin otherwise
_NAMES_END, _BODY_END = b"\x05", b"\x06"
_MARKS = digits.MARKS + known_text.MARKS + _NAMES_END + _BODY_END


class IncompleteError(Exception):
    """A part is missing: DynamoDB deletes what has expired item by item."""


def pack(deliveries: Sequence[Delivery], hour: str) -> list[bytes]:
    """The bodies in that order, and whose they are, in one part or several; written in that hour."""
    whole = b"".join(each.body for each in deliveries)
    if len(whole) <= QUICK_BYTES and len(whole.translate(None, _MARKS)) == len(whole):  # as JSON always is
        return [_taken_apart(deliveries, hour)]
    names = [{name: getattr(each, name) for name in _NAMES} | {"bytes": len(each.body)} for each in deliveries]
    packed = _compressed(json.dumps(names, separators=(",", ":")).encode() + b"\n" + whole)
    return [packed[start : start + PART_BYTES] for start in range(0, len(packed), PART_BYTES)]


def unpack(parts: Iterable[bytes], known: Mapping[int, KnownText]) -> dict[int, tuple[dict[str, Any], bytes]]:
    """The names and the bodies of those of which something is known, by their places in that order.

    Raises:
        IncompleteError: a part has expired.
    """
    remaining = iter(parts)
    first = next(remaining, b"")
    if first.startswith(_TAKEN_APART):
        return _put_together(first[1:], known)
    head, _, bodies = _decompressed(itertools.chain([first], remaining)).partition(b"\n")
    names = json.loads(head)
    ends = list(itertools.accumulate(each["bytes"] for each in names))
    return {
        number: ({name: names[number].get(name) for name in _NAMES}, bodies[end - names[number]["bytes"] : end])
        for number, end in enumerate(ends)
        if number in known
    }


def _taken_apart(deliveries: Sequence[Delivery], hour: str) -> bytes:
    text = _BODY_END.join(_short(each, hour) for each in deliveries)
    marked, packed_digits = digits.take_out(text)
    return _TAKEN_APART + bz2.compress(marked) + packed_digits


def _short(delivery: Delivery, hour: str) -> bytes:
    """The body without what is known; before it whose it is, unless it says so."""
    short = KnownText(delivery.event, delivery.event_id, hour).shorten(delivery.body)
    names = (delivery.organization_id, delivery.installation_id, delivery.project_id)
    if names == names_in(delivery.body):
        return short
    return json.dumps(names, separators=(",", ":")).encode() + _NAMES_END + short


def _put_together(packed: bytes, known: Mapping[int, KnownText]) -> dict[int, tuple[dict[str, Any], bytes]]:
    stream = bz2.BZ2Decompressor()
    marked = stream.decompress(packed)
    if not stream.eof:
        raise IncompleteError
    shorts = digits.put_back(marked, stream.unused_data).split(_BODY_END)
    found = {}
    for number, text in known.items():
        named, _, short = shorts[number].rpartition(_NAMES_END)
        body = text.restore(short)
        names = json.loads(named) if named else names_in(body)
        found[number] = (dict(zip(_NAMES, names or (), strict=True)), body)
    return found


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
