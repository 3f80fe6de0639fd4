"""An app's own headers: what they may be beyond the schema."""

from collections.abc import Mapping
from typing import Any

from deliver.attempt.signing import denied
from infra.cli.registry import secret_values
from infra.cli.registry.document import Document, Path
from infra.cli.registry.model import Reference
from infra.cli.registry.secret_values import Value

MAX_BYTES = 4096  # names and values together: many servers refuse more than 8 KiB, with Bellhop's own headers
MAX_HEADERS = 20

_ALWAYS_REPLACED = {"user-agent", "accept"}  # not denied by deliver, but never sent as an app has them


def read(
    fields: Mapping[str, Any], path: Path, document: Document, environ: Mapping[str, str]
) -> dict[str, Value]:
    """The headers that a file names, with the values that `environ` has.

    No message repeats a value, nor the name of a variable, in whose place a value may stand.
    """
    found: dict[str, Value] = {}
    for name, written in fields.items():
        place = (*path, name)
        value = secret_values.read(written, environ)
        reason = _objection(name, found)
        if reason:
            document.report(place, reason)
        elif isinstance(value, str) and not secret_values.can_be_sent(value):
            document.report(
                place, "has a value that is not printable ASCII, or begins or ends with a space; encode it"
            )
        else:
            found[name] = value
    return found


def missing(stored: Mapping[str, str] | None, named: Mapping[str, Value] | None) -> list[str]:
    """The headers whose variable is not set, and which are not stored either."""
    known = {name.lower() for name in stored or {}}
    return [
        name for name, value in (named or {}).items() if value is Reference.UNSET and name.lower() not in known
    ]


def excess(headers: Mapping[str, str] | None) -> str | None:
    """What is wrong with the number or the size of an app's headers; None when nothing is."""
    size = sum(len(name) + len(text) for name, text in (headers or {}).items())
    if size > MAX_BYTES:
        return f"has {size:,} bytes of names and values; at most {MAX_BYTES:,} are sent"
    if headers and len(headers) > MAX_HEADERS:
        return f"has {len(headers)} headers with those that are stored; at most {MAX_HEADERS} are sent"
    return None


def _objection(name: str, found: Mapping[str, Value]) -> str | None:
    lower = name.lower()
    if lower.startswith(("webhook-", "sentry-hook-")) or lower == "request-id":
        return "is denied: it identifies or signs the webhook, so only Bellhop sets it; use another name"
    if lower.startswith("content-"):
        return "is denied: it describes the body, which is always JSON; drop it"
    if denied(name) or lower in _ALWAYS_REPLACED:
        return "is denied: it belongs to the connection, which is Bellhop's; drop it"
    if lower in map(str.lower, found):
        return "is written twice: upper and lower case are the same to HTTP; keep one"
    return None
