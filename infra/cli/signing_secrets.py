"""Signing secrets as people exchange them: raw, and in the forms of Standard Webhooks."""

import base64
import binascii
import secrets
from collections.abc import Callable, Mapping

from bellhop.secrets import (
    ED25519,
    HMAC,
    MAX_BYTES,
    MIN_BYTES,
    PRIVATE_PREFIX,
    PUBLIC_PREFIX,
    SEED_BYTES,
    SIGNATURES,
)
from health.mail.wording import counted
from infra.cli.errors import UsageError

PREFIX = "whsec_"


class SecretRefusedError(Exception):
    """The text cannot be a signing secret here. The message never repeats it."""


def generate(signature: str = HMAC) -> str:
    """A new secret: 64 hex characters, whose ASCII bytes are the key, or for ED25519 a key pair."""
    return _key_pair(secrets.token_bytes(SEED_BYTES)) if signature == ED25519 else secrets.token_hex(32)


def standard_form(secret: str) -> str:
    """`whsec_` and the base64 of the key, as the libraries of Standard Webhooks take it."""
    return PREFIX + base64.b64encode(secret.encode("ascii")).decode()


def read(text: str) -> str:
    """The secret in `text`, which may be in any form.

    Raises:
        SecretRefusedError: it is neither text of 24 to 64 printable ASCII characters nor a private key.
    """
    if text.startswith(PRIVATE_PREFIX):
        return _private_key(text)
    if text.startswith(PUBLIC_PREFIX):
        raise SecretRefusedError("is a public key, which signs nothing; the private key begins with whsk_")
    secret = _decode(text) if text.startswith(PREFIX) else text
    if not secret.isascii() or not secret.isprintable() or secret != secret.strip():
        raise SecretRefusedError("is not printable ASCII, or begins or ends with a space")
    if not MIN_BYTES <= len(secret) <= MAX_BYTES:
        raise SecretRefusedError(f"has {counted(len(secret), 'character')}; {MIN_BYTES} to {MAX_BYTES} are needed")
    return secret


def read_key(text: str) -> str:
    """What verifies webhooks: a secret, or as it is the public key of one for ED25519. Raises like `read`."""
    if not text.startswith(PUBLIC_PREFIX):
        return read(text)
    if len(_bytes(text, PUBLIC_PREFIX)) != SEED_BYTES:
        raise SecretRefusedError(
            f"is no public key: after {PUBLIC_PREFIX}, {SEED_BYTES} bytes in base64 are needed"
        )
    return text


def read_signature(option: str, text: str) -> str:
    """How to sign, as typed.

    Raises:
        UsageError: it is unknown.
    """
    if text not in SIGNATURES:
        raise UsageError(f"{option} {text!r} is none of {', '.join(SIGNATURES)}")
    return text


def read_variable(
    option: str, variable: str, environ: Mapping[str, str], reading: Callable[[str], str] = read
) -> str:
    """The secret in the environment variable that is given for `option`.

    Raises:
        UsageError: it is not set, or has no secret.
    """
    if variable not in environ:
        raise UsageError(f"{option}: the variable {variable} is not set")
    try:
        return reading(environ[variable])
    except SecretRefusedError as error:
        raise UsageError(f"{option}: the value of {variable} {error}") from None


def _decode(text: str) -> str:
    try:
        return _bytes(text, PREFIX).decode("ascii")
    except UnicodeDecodeError:
        raise SecretRefusedError(
            "decodes to bytes that are not ASCII, which the classic header cannot use as its key; "
            "remove the line and a new secret is made"
        ) from None


def _private_key(text: str) -> str:
    found = _bytes(text, PRIVATE_PREFIX)
    if len(found) not in {SEED_BYTES, 2 * SEED_BYTES}:
        raise SecretRefusedError(
            f"has {len(found)} bytes after {PRIVATE_PREFIX}; an Ed25519 key has 32, or 64 with its public key"
        )
    secret = _key_pair(found[:SEED_BYTES])
    if len(found) > SEED_BYTES and _bytes(secret, PRIVATE_PREFIX) != found:
        raise SecretRefusedError("has a public key in its second half that is not of the first one")
    return secret


def _key_pair(seed: bytes) -> str:
    from nacl.signing import SigningKey  # noqa: PLC0415 - few commands need it

    return PRIVATE_PREFIX + base64.b64encode(seed + bytes(SigningKey(seed).verify_key)).decode()


def _bytes(text: str, prefix: str) -> bytes:
    try:
        return base64.b64decode(text.removeprefix(prefix), validate=True)
    except binascii.Error:
        raise SecretRefusedError(f"begins with {prefix} but is not base64 after it") from None
