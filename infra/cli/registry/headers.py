"""An app's own headers: what they may be beyond the schema, and how they are shown without their values."""

from collections.abc import Mapping
from typing import Any

from deliver.attempt.signing import denied
from infra.cli.registry.document import Document, Path
from infra.cli.registry.model import Reference

MAX_BYTES = 4096  # names and values together: many servers refuse more than 8 KiB, with Bellhop's own headers
MAX_HEADERS = 20
MASK = "****"

_ALWAYS_REPLACED = {"user-agent", "accept"}  # not denied by deliver, but never sent as an app has them

Value = str | Reference | None  # UNSET: the stored one stays; None: none


def read(
    fields: Mapping[str, Any], path: Path, document: Document, environ: Mapping[str, str]
) -> dict[str, Value]:
    """The headers that a file names, with the values that `environ` has.

    No message repeats a value, nor the name of a variable, in whose place a value may stand.
    """
    found: dict[str, Value] = {}
    for name, written in fields.items():
        place = (*path, name)
        text = value(written, environ)
        reason = _objection(name, found)
        if reason:
            document.report(place, reason)
        elif isinstance(text, str) and not can_be_sent(text):
            document.report(
                place, "has a value that is not printable ASCII, or begins or ends with a space; encode it"
            )
        else:
            found[name] = text
    return found


def merge(stored: Mapping[str, str] | None, named: Mapping[str, Value] | None) -> dict[str, str] | None:
    """The stored headers with those that a file names laid over them; None without any.

    A header that a file does not name stays, and None removes it: RFC 7396 does the same. To HTTP, upper and lower
    case are the same.
    """
    if named is None:
        return None
    before = {name.lower(): value for name, value in (stored or {}).items()}
    written = {name.lower() for name in named}
    merged = {name: value for name, value in (stored or {}).items() if name.lower() not in written}
    for name, value in named.items():
        kept = before.get(name.lower()) if value is Reference.UNSET else value
        if isinstance(kept, str):
            merged[name] = kept
    return merged or None


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


def masked(headers: Mapping[str, str] | None) -> dict[str, str] | None:
    """The headers with every value hidden."""
    return None if headers is None else dict.fromkeys(headers, MASK)


def changed(old: Mapping[str, str] | None, new: Mapping[str, str] | None) -> list[str]:
    """The names whose value differs."""
    before, after = old or {}, new or {}
    return [name for name in after if name in before and before[name] != after[name]]


def removed(old: Mapping[str, str] | None, new: Mapping[str, str] | None) -> list[str]:
    """The names that are gone."""
    return [name for name in old or {} if name not in (new or {})]


def difference(old: Mapping[str, str] | None, new: Mapping[str, str] | None) -> str:
    """What a plan shows of a change: which headers are added, removed or changed, never their values.

    Where none is, their place changes.
    """
    before, after = old or {}, new or {}
    added = [f"+{name}: {MASK}" for name in after if name not in before]
    gone = [f"-{name}" for name in removed(old, new)]
    shown = [*added, *gone, *(f"{name}: {MASK} changed" for name in changed(old, new))]
    return ", ".join(shown) or "moved beside the signing secret, which only deliver reads"


def value(written: Any, environ: Mapping[str, str]) -> Value:
    """The value that a file writes, or refers to by {env: NAME}."""
    if not isinstance(written, dict):
        return None if written is None else str(written)
    name = written.get("env")  # None where the schema refused what is there
    return (environ.get(name) or Reference.UNSET) if name else None


def can_be_sent(text: str) -> bool:
    """Whether a header can have it as its value."""
    return text.isascii() and text.isprintable() and text == text.strip()


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
