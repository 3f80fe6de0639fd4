"""The issue event as text: what it must be before its schema is asked. Needs the standard library only."""

import json
import math
import re
from pathlib import Path
from typing import Any

from bellhop import json_text

MAX_EVENT_BYTES = 262_144
MAX_DEPTH = 64  # arrays and objects inside one another; far below what the parser of any Python version takes
MAX_INTEGER_DIGITS = 308  # a longer integer is beyond a double, and so infinite to most receivers
MAX_ID = 64  # characters; a longer id, of a malformed event, is cut in the log
NESTED = ("user", "issue", "data")  # the objects whose members are read one by one
SCHEMA_PATH = Path(__file__).parent / "schema" / "issue-event.json"


class MalformedEventError(Exception):
    """The event breaks the contract: `field` says where, `reason` says how.

    `names` are the event's ids, as far as they can be read, for the log.
    """

    def __init__(self, field: str, reason: str, names: dict[str, str] | None = None) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason
        self.names = names or {}


class Real(float):
    """A number with a fraction or an exponent. No id may be one: some receivers would read 42.0 as 42."""

    def is_integer(self) -> bool:
        return False


def decode(text: str) -> Any:
    """The value of `text`.

    Raises:
        MalformedEventError: it is no JSON, too deeply nested, too large, or has what cannot be passed on.
    """
    if len(text) > MAX_EVENT_BYTES:  # there are no fewer bytes than characters: it need not be parsed
        raise _too_large(len(text.encode(errors="surrogatepass")))
    document = _decode(text)
    _encodable(text, document)
    return document


def _decode(text: str) -> Any:
    if json_text.deeper_than(text, MAX_DEPTH):
        reason = f"is nested more than {MAX_DEPTH} deep; the schema needs only a few levels"
        raise MalformedEventError("body", reason)
    try:
        read_integer = _integer if _LONG_INTEGER.search(text) else None
        return json.loads(text, parse_constant=_constant, parse_float=_real, parse_int=read_integer)
    except ValueError as error:
        raise MalformedEventError("body", f"is not JSON: {error}") from None


# From the first digit on: a search that began at each would take the square of the digits.
_LONG_INTEGER = re.compile(rf"(?<![0-9])[0-9]{{{MAX_INTEGER_DIGITS + 1}}}")


def _constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _real(text: str) -> Real:
    number = Real(text)
    if math.isinf(number):
        raise ValueError(f"{text[:MAX_ID]} is beyond the numbers that receivers can read (IEEE 754 doubles)")
    return number


def _integer(text: str) -> int:
    if len(text.lstrip("-")) > MAX_INTEGER_DIGITS:
        raise ValueError(f"an integer has {len(text)} digits; receivers can read {MAX_INTEGER_DIGITS} at most")
    return int(text)


def texts(path: str, text: str, document: dict[str, Any]) -> dict[str, str]:
    """Each member of an object as it was written; a name that is there twice would be read in two ways.

    Raises:
        MalformedEventError: a name is there twice.
    """
    found: dict[str, str] = {}
    for member in json_text.members(text):
        if member.name in found:
            raise MalformedEventError(
                f"{path}{member.name}"[:200] or "body", "is there twice; write it once", names(document)
            )
        found[member.name] = member.value_text
    return found


def _encodable(text: str, document: Any) -> None:
    # A lone surrogate comes from a \ud8xx escape or a broken decoder. Both are rare, so look for an escape first.
    try:
        size = len(text.encode())
        if "\\u" in text:
            json.dumps(document, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise MalformedEventError(
            _unencodable_field(document), "has a character that UTF-8 cannot encode (a lone surrogate)"
        ) from None
    if size > MAX_EVENT_BYTES:
        raise _too_large(size)


def _too_large(size: int) -> MalformedEventError:
    return MalformedEventError("body", f"has {size} bytes; at most {MAX_EVENT_BYTES} are allowed")


def _unencodable_field(document: Any) -> str:
    for key, value in document.items() if isinstance(document, dict) else ():
        try:
            json.dumps({key: value}, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            return ascii(key).strip("'")
    return "body"


def names(document: Any) -> dict[str, str]:
    """The event's ids, as far as they can be read."""
    fields = document if isinstance(document, dict) else {}
    ids = {name: fields.get(name) for name in ("event_id", "organization_id")}
    return {name: value[:MAX_ID] for name, value in ids.items() if isinstance(value, str)}
