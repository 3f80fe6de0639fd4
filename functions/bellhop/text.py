"""Text that others wrote, made safe for a header, a mail or a terminal: bounded and without hidden tricks."""

import re
import unicodedata
from itertools import takewhile

# Zero-width joiners: without them emoji families fall apart, and Persian and Indic words are misspelled.
_JOINERS = "\u200c\u200d"
_RIGHT_TO_LEFT = frozenset({"R", "AL", "AN"})
# What mail clients make links of. A dot that is between digits alone belongs to a number and stays. Joiners, which
# nobody sees, may stand beside a dot. The wide forms of the signs, which browsers read like them, count too.
_LINKABLE = re.compile(
    r"""
      (?<=[\w+.-]) (?<!(?<![\w+.-])\d) (?<!(?<![\w+.-])\d\d) [:\uff1a] (?=\S)  # scheme:anything, but not 12:30
    | [:\uff1a] (?=//)  # h2://anything
    | (?<!\\) \\\\ (?=\w)  # \\server, which Outlook links
    | (?<=\S) [@\uff20] (?=\S)  # name@domain
    | (?<=[^\W\d_]) [.\u3002\uff0e\uff61] (?=[\u200c\u200d]*\w)  # www.anything
    | (?<=[^\s.]) [.\u3002\uff0e\uff61] (?=[\u200c\u200d]*[^\W\d_])  # anything.domain
    | (?<=\d) [.] (?=\d+[.]\d+[.]\d)  # 192.0.2.1
    """,
    re.VERBOSE,
)


def one_line(text: object, limit: int) -> str:
    """`text` on one line of at most `limit` characters, without control, bidi or other invisible characters."""
    return cut(" ".join("".join(map(_sanitize, str(text))).split()), limit)


def first_line(text: object) -> str:
    """The first line of `text` with anything visible on it, otherwise unchanged; empty if there is none."""
    return next((line.strip() for line in str(text).splitlines() if one_line(line, 1)), "")


def printable(text: object) -> str:
    """`text` for a terminal or a log: each control, invisible or direction-changing character as its escape."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def cut(text: str, limit: int) -> str:
    """`text` cut to `limit` code points, ending in an ellipsis; an emoji or an accented letter stays whole."""
    if len(text) <= limit:
        return text
    end = limit - 1
    while end and _inside(text, end):
        end -= 1
    return text[: end or limit - 1].rstrip() + "…"  # nothing but marks: they may be split


def bidi_isolate(text: str) -> str:
    """`text` for a sentence in plain text: isolated if it runs from right to left, so as not to reorder it."""
    if any(unicodedata.bidirectional(c) in _RIGHT_TO_LEFT for c in text):
        return f"\u2068{text}\u2069"
    return text


def unlinked(text: str) -> str:
    """`text` written so that no mail client makes a link of it, in plain text, in HTML and in a subject.

    The signs that make a link stand in brackets, such as https[:]//evil[.]example. Invisible characters, which
    leave the text as it looks, are skipped by some clients.
    """
    return _LINKABLE.sub(r"[\g<0>]", text)


def _sanitize(character: str) -> str:
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
