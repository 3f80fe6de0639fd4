"""An app's headers and OAuth2 credentials: their values as a file writes them, and as they may be shown. Pure.

They stand beside the app's signing secret, which only deliver and an operator read.
"""

from collections.abc import Mapping
from typing import Any

from infra.cli.registry.model import Reference

HEADERS, OAUTH2 = "headers", "oauth2"
FIELDS = (HEADERS, OAUTH2)  # of an app
CLIENT_SECRET = "client_secret"  # noqa: S105 - the one name of the credentials whose value is secret
MASK = "****"

Value = str | Reference | None  # UNSET: the stored one stays; None: none


def read(written: Any, environ: Mapping[str, str]) -> Value:
    """The value that a file writes, or refers to by {env: NAME}."""
    if not isinstance(written, dict):
        return None if written is None else str(written)
    name = written.get("env")  # None where the schema refused what is there
    return (environ.get(name) or Reference.UNSET) if name else None


def can_be_sent(text: str) -> bool:
    """Whether a header can have it as its value."""
    return text.isascii() and text.isprintable() and text == text.strip()


def merge(stored: Mapping[str, str] | None, named: Mapping[str, Value] | None) -> dict[str, str] | None:
    """The stored values with those that a file names laid over them; None without any.

    One that a file does not name stays, and None removes it: RFC 7396 does the same. To HTTP, upper and lower
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


def masked(field: str, values: Mapping[str, str] | None) -> dict[str, str] | None:
    """The values with those hidden that are secret: of headers all of them."""
    return None if values is None else {n: MASK if _is_secret(field, n) else v for n, v in values.items()}


def text(shown: Mapping[str, str]) -> str:
    """Masked values in a line."""
    return ", ".join(f"{name}: {value}" for name, value in shown.items())


def changed(old: Mapping[str, str] | None, new: Mapping[str, str] | None) -> list[str]:
    """The names whose value differs."""
    before, after = old or {}, new or {}
    return [name for name in after if name in before and before[name] != after[name]]


def removed(old: Mapping[str, str] | None, new: Mapping[str, str] | None) -> list[str]:
    """The names that are gone."""
    return [name for name in old or {} if name not in (new or {})]


def difference(field: str, old: Mapping[str, str] | None, new: Mapping[str, str] | None) -> str:
    """What a plan shows of a change: what is added, removed or changed, never a secret value.

    Where nothing is, the place of the headers changes.
    """
    before, after = old or {}, masked(field, new) or {}
    shown = [f"+{name}: {value}" for name, value in after.items() if name not in before]
    shown += [f"-{name}" for name in removed(old, new)]
    for name in changed(old, new):
        change = f"{MASK} changed" if _is_secret(field, name) else f"{before[name]} -> {after[name]}"
        shown.append(f"{name}: {change}")
    return ", ".join(shown) or "moved beside the signing secret, which only deliver reads"


def _is_secret(field: str, name: str) -> bool:
    return field == HEADERS or name == CLIENT_SECRET
