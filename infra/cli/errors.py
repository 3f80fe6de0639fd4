"""What operators read when something cannot be done: a line that ends with what to do about it."""

import re
from typing import NoReturn

import typer
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    TokenRetrievalError,
)
from pynamodb.exceptions import PynamoDBException

from bellhop.newer import UnknownKindError
from bellhop.text import printable

_CREDENTIALS = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run `aws sso login`"
_HINTS: dict[type[BotoCoreError], str] = {
    NoCredentialsError: _CREDENTIALS,
    PartialCredentialsError: _CREDENTIALS,
    ProfileNotFound: _CREDENTIALS,
    TokenRetrievalError: _CREDENTIALS,
    NoRegionError: "set AWS_REGION",
    EndpointConnectionError: "check the network, AWS_REGION and AWS_ENDPOINT_URL",
}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "UnrecognizedClientException"}
_EXPIRED |= {"InvalidClientTokenId", "InvalidSignatureException"}
_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}
_DENIED |= {"AuthorizationError", "AuthorizationErrorException"}


class CommandError(Exception):
    """A mistake or a circumstance that the operator can do something about; each of `lines` says what."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


def fail(error: Exception) -> NoReturn:
    """Tell the operator what is wrong and exit with status 1; a bug of ours is raised again as it is."""
    lines = error.lines if isinstance(error, CommandError) else (explain(error),)
    for line in lines:
        if line is None:
            raise error
        typer.echo(f"error: {printable(line)}", err=True)
    raise typer.Exit(1) from None


def explain(error: Exception) -> str | None:
    """What to tell the operator about a fault of AWS or of the network; None for a bug of ours."""
    if isinstance(error, UnknownKindError):
        return f"{error}, of a newer version: use the command of that version"
    if isinstance(error, PynamoDBException):
        return _explain_cause(error)
    if isinstance(error, ClientError):
        return _explain_refusal(error)
    if isinstance(error, BotoCoreError):
        hint = next((hint for kind, hint in _HINTS.items() if isinstance(error, kind)), "try again")
        return f"{str(error).rstrip('.')}: {hint}"
    return None


def denied_action(error: ClientError) -> str | None:
    """What the caller may not do, by its name in IAM policies where AWS says it; None for other refusals."""
    fault = error.response["Error"]
    if fault.get("Code") not in _DENIED:
        return None
    named = re.search(r"not authorized to perform:? ([\w-]+:\w+)", fault.get("Message", ""))
    return named[1] if named else error.operation_name


def _explain_cause(error: PynamoDBException) -> str:
    if isinstance(error.cause, BotoCoreError | ClientError):
        return explain(error.cause) or str(error)
    return f"{error}: try again"


def _explain_refusal(error: ClientError) -> str:
    fault = error.response["Error"]
    code, message = fault.get("Code", ""), fault.get("Message", "")
    if code in _EXPIRED:
        return f"AWS refused the credentials ({code}): {_CREDENTIALS}"
    if code in _DENIED:
        return f"{message}: use credentials that may call {error.operation_name}"
    return f"AWS refused {error.operation_name}: {code}: {message}"
