"""An app's own headers in the registry file: what they may be, and how they are shown without their values."""

import re
from collections.abc import Mapping

from deliver.attempt.signing import denied
from infra.console.yaml_nodes import Value

MAX_HEADERS = 20
MAX_BYTES = 4096  # names and values together: many servers refuse more than 8 KiB, ours included
MASK = "****"

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a token, RFC 9110 section 5.6.2
_OURS = {"user-agent", "accept"}  # not denied, but ours always replaces them


def read(value: Value, environ: Mapping[str, str]) -> dict[str, str] | None:
    """The headers of a mapping; None for an empty one. A value `{env: NAME}` comes from `environ`.

    What is refused is never repeated where it may be a secret.
    """
    found: dict[str, str] = {}
    for name, item in value.fields().items():
        text = _text(item, environ)
        if _name_is_good(name, found, item) and text is not None and _value_is_good(text, item):
            found[name] = text
    if len(found) > MAX_HEADERS:
        value.refuse(f"has {len(found)} headers; at most {MAX_HEADERS} are sent")
    size = sum(len(name) + len(text) for name, text in found.items())
    if size > MAX_BYTES:
        value.refuse(f"has {size} bytes of names and values; at most {MAX_BYTES} are sent")
    return found or None


def masked(headers: Mapping[str, str] | None) -> dict[str, str] | None:
    """The headers with every value hidden."""
    return None if headers is None else dict.fromkeys(headers, MASK)


def changed(old: Mapping[str, str] | None, new: Mapping[str, str] | None) -> list[str]:
    """The names whose value is another than before."""
    before, after = old or {}, new or {}
    return [name for name in after if name in before and before[name] != after[name]]


def difference(old: Mapping[str, str] | None, new: Mapping[str, str] | None) -> str:
    """What a plan says of a change: which headers come, go or change, never their values."""
    before, after = old or {}, new or {}
    added = [f"+{name}: {MASK}" for name in after if name not in before]
    removed = [f"-{name}" for name in before if name not in after]
    return ", ".join([*added, *removed, *(f"{name}: {MASK} changed" for name in changed(old, new))])


def _text(item: Value, environ: Mapping[str, str]) -> str | None:
    if not item.is_mapping:
        return item.text()
    fields = item.fields(("env",))
    name = fields["env"].text() if "env" in fields else None
    if name is None:
        item.refuse("names no variable; write {env: NAME}")
    elif not environ.get(name):
        item.refuse(f"names {name}, which is not set or empty; export it")
    else:
        return environ[name]
    return None


def _name_is_good(name: str, found: Mapping[str, str], item: Value) -> bool:
    reason = _objection(name)
    if reason is None and name.lower() in map(str.lower, found):
        reason = "is written twice: upper and lower case are the same to HTTP; keep one"
    if reason:
        item.refuse(reason)
    return reason is None


def _objection(name: str) -> str | None:
    lower = name.lower()
    if not _NAME.fullmatch(name):
        return "is no header name; use letters, digits and -"
    if lower.startswith(("webhook-", "sentry-hook-")) or lower == "request-id":
        return "is denied: it identifies or signs the webhook, so only Bellhop sets it; use another name"
    if lower.startswith("content-"):
        return "is denied: it describes the body, which is always JSON; drop it"
    if denied(name) or lower in _OURS:
        return "is denied: it belongs to the connection, which is Bellhop's; drop it"
    return None


def _value_is_good(text: str, item: Value) -> bool:
    if text.isascii() and text.isprintable() and text == text.strip():
        return True
    item.refuse("has a value that is not printable ASCII, or begins or ends with a space; encode it")
    return False
