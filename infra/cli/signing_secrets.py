"""Signing secrets as people exchange them: raw, and in the form of Standard Webhooks."""

import base64
import binascii
import secrets
from collections.abc import Mapping

from bellhop.secrets import MAX_BYTES, MIN_BYTES
from infra.cli.errors import UsageError

PREFIX = "whsec_"


class SecretRefusedError(Exception):
    """The text cannot be a signing secret here. The message never repeats it."""


def generate() -> str:
    """A new secret: 64 hex characters, whose ASCII bytes are the key."""
    return secrets.token_hex(32)


def standard_form(secret: str) -> str:
    """`whsec_` and the base64 of the key, as the libraries of Standard Webhooks take it."""
    return PREFIX + base64.b64encode(secret.encode("ascii")).decode()


def read(text: str) -> str:
    """The secret in `text`, which may be in either form.

    Raises:
        SecretRefusedError: it is not text of 24 to 64 printable ASCII characters.
    """
    secret = _decode(text.removeprefix(PREFIX)) if text.startswith(PREFIX) else text
    if not secret.isascii() or not secret.isprintable() or secret != secret.strip():
        raise SecretRefusedError("is not printable ASCII, or begins or ends with a space")
    if not MIN_BYTES <= len(secret) <= MAX_BYTES:
        raise SecretRefusedError(f"has {len(secret)} characters; {MIN_BYTES} to {MAX_BYTES} are needed")
    return secret


def read_variable(option: str, variable: str, environ: Mapping[str, str]) -> str:
    """The secret in the environment variable that is given for `option`.

    Raises:
        UsageError: it is not set, or has no secret.
    """
    if variable not in environ:
        raise UsageError(f"{option}: the variable {variable} is not set")
    try:
        return read(environ[variable])
    except SecretRefusedError as error:
        raise UsageError(f"{option}: the value of {variable} {error}") from None


def _decode(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode("ascii")
    except binascii.Error:
        raise SecretRefusedError(f"begins with {PREFIX} but is not base64 after it") from None
    except UnicodeDecodeError:
        raise SecretRefusedError(
            "decodes to bytes that are not ASCII, which the classic header cannot use as its key; "
            "remove the line and a new secret is made"
        ) from None
