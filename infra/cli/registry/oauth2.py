"""An app's OAuth2 client credentials in a registry file: what they may be beyond the schema."""

from collections.abc import Iterator, Mapping
from typing import Any

from infra.cli.registry import secret_values
from infra.cli.registry.document import Document, Path
from infra.cli.registry.model import Reference
from infra.cli.registry.secret_values import CLIENT_SECRET, Value

REQUIRED = ("token_url", "client_id", CLIENT_SECRET)
FIELDS = (*REQUIRED, "scope", "audience", "authentication")
SECRET_LENGTHS = range(8, 1025)  # characters; a shorter one could not be masked where it is repeated

_HEADER = "authorization"


def read(
    fields: Mapping[str, Any], path: Path, document: Document, environ: Mapping[str, str]
) -> dict[str, Value]:
    """The credentials that a file names, with the secret that `environ` has. No message repeats that."""
    found: dict[str, Value] = dict(fields)
    if CLIENT_SECRET in fields:
        secret = found[CLIENT_SECRET] = secret_values.read(fields[CLIENT_SECRET], environ)
        if isinstance(secret, str) and not (secret_values.can_be_sent(secret) and len(secret) in SECRET_LENGTHS):
            least, most = SECRET_LENGTHS[0], SECRET_LENGTHS[-1]
            document.report(
                (*path, CLIENT_SECRET),
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
    if named.get(CLIENT_SECRET) is Reference.UNSET and CLIENT_SECRET not in known:
        yield CLIENT_SECRET, "names a variable that is not set or empty, and no secret is stored; export it"
    if any(name.lower() == _HEADER for name in own or {}):
        yield "", "sends a token in the header Authorization, which the app has too; remove the header by null"
