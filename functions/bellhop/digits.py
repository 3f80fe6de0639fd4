"""The digits of a text apart from it. Most are random: as one number they take less room than in the text."""

import re
import zlib

MARKS = b"\x01\x02\x03"  # each stands for so many digits; no text with one of them may be taken apart
_MARK = re.compile(rb"[\x01-\x03]")
_DIGITS = b"0123456789"
_OTHERS = bytes(set(range(256)) - set(_DIGITS))
_ONE_EACH = bytes.maketrans(_DIGITS, b"\x01" * len(_DIGITS))

_CHUNK = 154  # digits, which are just below 64 bytes
_NUMBERS, _REPEATED = b"n", b"r"  # how digits are packed


def take_out(text: bytes) -> tuple[bytes, bytes]:
    """The text with marks for its digits, and the digits, packed."""
    marked = text.translate(_ONE_EACH).replace(b"\x01\x01\x01", b"\x03").replace(b"\x01\x01", b"\x02")
    return marked, _pack(text.translate(None, _OTHERS))


def put_back(marked: bytes, packed: bytes) -> bytes:
    """The text that was taken apart."""
    digits, position = _unpack(packed, sum(map(ord, _MARK.findall(marked)))), 0

    def taken(mark: re.Match[bytes]) -> bytes:
        nonlocal position
        start, position = position, position + ord(mark[0])
        return digits[start:position]

    return _MARK.sub(taken, marked)


def _pack(digits: bytes) -> bytes:
    """As numbers, or compressed where they repeat themselves enough."""
    chunks = (digits[start : start + _CHUNK] for start in range(0, len(digits), _CHUNK))
    numbers = b"".join(int(chunk).to_bytes(_bytes_of(len(chunk)), "big") for chunk in chunks)
    repeated = zlib.compress(digits)
    return _REPEATED + repeated if len(repeated) < len(numbers) else _NUMBERS + numbers


def _unpack(packed: bytes, number: int) -> bytes:
    if packed.startswith(_REPEATED):
        return zlib.decompress(packed[1:])
    found, position = list[bytes](), 1
    for start in range(0, number, _CHUNK):
        size = min(_CHUNK, number - start)
        end = position + _bytes_of(size)
        found.append(b"%0*d" % (size, int.from_bytes(packed[position:end], "big")))
        position = end
    return b"".join(found)


def _bytes_of(digits: int) -> int:
    """Those that the largest number of so many digits takes."""
    return (int(10**digits - 1).bit_length() + 7) // 8
