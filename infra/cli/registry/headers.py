"""An app's own headers: what they may be beyond the schema, and how they are shown without their values."""

from collections.abc import Mapping
from typing import Any

from deliver.attempt.signing import denied
from infra.cli.registry.document import Document, Path

MAX_BYTES = 4096  # names and values together: many servers refuse more than 8 KiB, with Bellhop's own headers
MASK = "****"

_ALWAYS_REPLACED = {"user-agent", "accept"}  # not denied by deliver, but never sent as an app has them


def read(
    fields: Mapping[str, Any], path: Path, document: Document, environ: Mapping[str, str]
) -> dict[str, str] | None:
    """The headers, with the values that `environ` has; None when there are none.

    No message repeats a value, since it may be a secret.
    """
    found: dict[str, str] = {}
    for name, value in fields.items():
        place = (*path, name)
        text = _value(value, place, document, environ)
        reason = _objection(name, found)
        if reason:
            document.report(place, reason)
        elif text is not None and not _can_be_sent(text):
            document.report(
                place, "has a value that is not printable ASCII, or begins or ends with a space; encode it"
            )
        elif text is not None:
            found[name] = text
    size = sum(len(name) + len(text) for name, text in found.items())
    if size > MAX_BYTES:
        document.report(path, f"has {size} bytes of names and values; at most {MAX_BYTES} are sent")
    return found or None


def masked(headers: Mapping[str, str] | None) -> dict[str, str] | None:
    """The headers with every value hidden."""
    return None if headers is None else dict.fromkeys(headers, MASK)


def changed(old: Mapping[str, str] | None, new: Mapping[str, str] | None) -> list[str]:
    """The names whose value differs."""
    before, after = old or {}, new or {}
    return [name for name in after if name in before and before[name] != after[name]]


def difference(old: Mapping[str, str] | None, new: Mapping[str, str] | None) -> str:
    """What a plan shows of a change: which headers are added, removed or changed, never their values.

    Where none is, their place changes.
    """
    before, after = old or {}, new or {}
    added = [f"+{name}: {MASK}" for name in after if name not in before]
    removed = [f"-{name}" for name in before if name not in after]
    shown = [*added, *removed, *(f"{name}: {MASK} changed" for name in changed(old, new))]
    return ", ".join(shown) or "moved beside the signing secret, which only deliver reads"


def _value(value: Any, path: Path, document: Document, environ: Mapping[str, str]) -> str | None:
    if not isinstance(value, dict):
        return None if value is None else str(value)
    name = value.get("env")
    if name is None:
        return None  # the schema refused it
    if not environ.get(name):
        document.report(path, f"names {name}, which is not set or empty; export it")
        return None
    return environ[name]


def _objection(name: str, found: Mapping[str, str]) -> str | None:
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


def _can_be_sent(text: str) -> bool:
    return text.isascii() and text.isprintable() and text == text.strip()
