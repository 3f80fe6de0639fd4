"""An app's OAuth2 client credentials in a registry file, and how they are shown without the client's secret."""

from collections.abc import Iterator, Mapping
from typing import Any

from infra.cli.registry import headers
from infra.cli.registry.document import Document, Path
from infra.cli.registry.headers import MASK, Value
from infra.cli.registry.model import Reference

SECRET = "client_secret"  # noqa: S105 - the name of the field
REQUIRED = ("token_url", "client_id", SECRET)
FIELDS = (*REQUIRED, "scope", "audience", "authentication")
SECRET_LENGTHS = range(8, 1025)  # characters; a shorter one could not be masked where it is repeated

_HEADER = "authorization"


def read(
    fields: Mapping[str, Any], path: Path, document: Document, environ: Mapping[str, str]
) -> dict[str, Value]:
    """The credentials that a file names, with the secret that `environ` has. No message repeats that."""
    found: dict[str, Value] = dict(fields)
    if SECRET in fields:
        secret = found[SECRET] = headers.value(fields[SECRET], environ)
        if isinstance(secret, str) and not (headers.can_be_sent(secret) and len(secret) in SECRET_LENGTHS):
            least, most = SECRET_LENGTHS[0], SECRET_LENGTHS[-1]
            document.report(
                (*path, SECRET),
                f"is not {least} to {most:,} characters of printable ASCII without a space at its ends; "
                "have another one made where the token endpoint is",
            )
    return found


def problems(
    stored: Mapping[str, str] | None, named: Mapping[str, Value], own: Mapping[str, str] | None
) -> Iterator[tuple[str, str]]:
    """What is wrong with the credentials that a file names, beside what is stored and the app's `own` headers.

    Each with the field that it is about, "" for all of them.
    """
    known = stored or {}
    for name in REQUIRED:
        if name not in named and name not in known:
            yield "", f"has no `{name}`; add it"
    if named.get(SECRET) is Reference.UNSET and SECRET not in known:
        yield SECRET, "names a variable that is not set or empty, and no secret is stored; export it"
    if any(name.lower() == _HEADER for name in own or {}):
        yield "", "sends a token in the header Authorization, which the app has too; remove the header by null"


def masked(credentials: Mapping[str, str] | None) -> dict[str, str] | None:
    """The credentials with the secret hidden."""
    return None if credentials is None else {n: MASK if n == SECRET else v for n, v in credentials.items()}


def text(credentials: Mapping[str, str]) -> str:
    """The credentials in a line, with the secret hidden."""
    return ", ".join(f"{name}: {value}" for name, value in (masked(credentials) or {}).items())


def difference(old: Mapping[str, str] | None, new: Mapping[str, str] | None) -> str:
    """What a plan shows of a change, without the secret."""
    before, after = old or {}, new or {}
    changed = {name: f"{before[name]} -> {after[name]}" for name in headers.changed(old, new)}
    if SECRET in changed:
        changed[SECRET] = f"{MASK} changed"
    added = {name: value for name, value in after.items() if name not in before}
    shown = [f"+{text({name: value})}" for name, value in added.items()]
    shown += [f"-{name}" for name in headers.removed(old, new)]
    return ", ".join([*shown, *(f"{name}: {change}" for name, change in changed.items())])
