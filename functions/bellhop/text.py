"""Text that others wrote, made fit for a header, a line of text or a cell: one line, bounded, without tricks."""

import re
import unicodedata
from itertools import takewhile

# Joiners: without them emoji families fall apart, and Persian and Indic words are spelled wrongly.
_JOINERS = "\u200c\u200d"
_RIGHT_TO_LEFT = frozenset({"R", "AL", "AN"})
_LINKABLE = re.compile(r"(?<=\w)(?=[.@]\w|://)")


def one_line(text: object, limit: int) -> str:
    """`text` on one line of at most `limit` characters, without control, bidi or other invisible characters."""
    return cut(" ".join("".join(map(_harmless, str(text))).split()), limit)


def first_line(text: object, limit: int) -> str:
    """The first line of `text` that says anything, as `one_line` makes it; empty when none does."""
    return next(filter(None, (one_line(line, limit) for line in str(text).splitlines())), "")


def cut(text: str, limit: int) -> str:
    """At most `limit` code points, ending in an ellipsis, no character of several code points split."""
    if len(text) <= limit:
        return text
    end = limit - 1
    while end and _inside(text, end):
        end -= 1
    return text[: end or limit - 1].rstrip() + "…"  # nothing but marks: splitting them harms nobody


def apart(text: str) -> str:
    """`text` for plain text: isolated when it runs from right to left, so that it cannot reorder its sentence."""
    if any(unicodedata.bidirectional(c) in _RIGHT_TO_LEFT for c in text):
        return f"\u2068{text}\u2069"
    return text


def unlinked(text: str) -> str:
    """`text` for HTML, so that mail clients make no links of it: whoever answers must not point our readers."""
    return _LINKABLE.sub("\u200b", text)


def _harmless(character: str) -> str:
    category = unicodedata.category(character)
    if category in {"Cc", "Zl", "Zp", "Zs"}:
        return " "
    if category == "Cf" and character not in _JOINERS:  # bidi overrides, tags, soft hyphens, ...
        return ""
    if category == "Cs" or ord(character) & 0xFFFE == 0xFFFE:  # noqa: PLR2004 - noncharacters: U+FFFE, U+FFFF, ...
        return "\ufffd"
    return character


def _inside(text: str, end: int) -> bool:
    before, after = text[end - 1], text[end]
    if _regional(before) and _regional(after):  # a flag is two of them
        return len([*takewhile(_regional, reversed(text[:end]))]) % 2 == 1
    joined = unicodedata.category(after).startswith("M") or "\U0001f3fb" <= after <= "\U0001f3ff"
    return joined or after in _JOINERS or before == "\u200d"


def _regional(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"
