"""What operators read when something cannot be done: a line that ends with what to do about it."""

import os
import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import NoReturn

import typer
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    HTTPClientError,
    InvalidRegionError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    TokenRetrievalError,
)
from botocore.parsers import ResponseParserError
from pynamodb.exceptions import AttributeDeserializationError, PynamoDBException

from bellhop.newer import UnknownKindError
from bellhop.tables import UnreadableError
from bellhop.text import printable
from infra.cli.options import naming_stack
from infra.cli.text import fitted
from infra.local import running

INTERRUPTED = 130  # the exit status of what Ctrl-C ended, as of a shell

_CREDENTIALS = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run `aws sso login`"
_LOCAL = "for the stack of `make run` add --stack local"
_REGION = f"set AWS_DEFAULT_REGION to a region such as eu-west-1; {_LOCAL}"  # boto3 does not read AWS_REGION
_ENDPOINT = "check the network, AWS_DEFAULT_REGION and AWS_ENDPOINT_URL"
_HINTS: dict[type[BotoCoreError], str] = {
    NoCredentialsError: f"{_CREDENTIALS}; {_LOCAL}",
    PartialCredentialsError: _CREDENTIALS,
    ProfileNotFound: _CREDENTIALS,
    TokenRetrievalError: _CREDENTIALS,
    NoRegionError: _REGION,
    InvalidRegionError: _REGION,
    EndpointConnectionError: _ENDPOINT,
    HTTPClientError: _ENDPOINT,
    ParamValidationError: "correct the value",
}
# How the ValueError for a URL that is none begins: botocore's, and that of urllib.
_INVALID_ENDPOINT = ("Invalid endpoint", "Invalid IPv6 URL")
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "UnrecognizedClientException"}
_EXPIRED |= {"InvalidClientTokenId", "InvalidSignatureException"}
_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}
_DENIED |= {"AuthorizationError", "AuthorizationErrorException"}


class CommandError(Exception):
    """A mistake or a circumstance that the operator can do something about; each of `lines` says what."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


class UsageError(CommandError):
    """What was typed cannot be meant: an option's value, or options that contradict one another."""


def unknown(what: str, name: str, known: Sequence[str], command: str) -> CommandError:
    """Nothing of that name is there: which of those that are may be meant, and the command that lists them."""
    close = get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return CommandError(f"no {what} {printable(name)!r}: {hint}`{command}` lists them")


def fail(error: Exception, option: str = "") -> NoReturn:
    """Tell the operator what is wrong and exit; a bug of ours is raised again as it is.

    `option` names the stack in the commands that the operator is told to type. The status is 2 for what was typed
    wrong, as where Typer finds it, and otherwise 1.
    """
    lines = error.lines if isinstance(error, CommandError) else (explain(error),)
    for line in lines:
        if line is None:
            raise error
        say(f"error: {printable(naming_stack(line, option))}")
    raise typer.Exit(2 if isinstance(error, UsageError) else 1) from None


def say(text: str) -> None:
    """Tell the operator beside what the command prints; on a terminal no word is broken."""
    typer.echo(fitted(text), err=True)


def explain(error: Exception) -> str | None:
    """What to tell the operator about a fault of AWS or of the network; None for a bug of ours."""
    if isinstance(error, UnknownKindError):
        return f"{error}, of a newer version: use the command of that version"
    if isinstance(error, UnreadableError | AttributeDeserializationError):
        return f"a stored item is damaged: {error}: correct it, or delete it"
    if isinstance(error, PynamoDBException):
        return _explain_cause(error)
    if isinstance(error, ClientError):
        return _explain_refusal(error)
    if isinstance(error, BotoCoreError):
        return _explain_fault(error)
    return _explain_endpoint(error)


def _explain_fault(error: BotoCoreError) -> str:
    if has_ended(error):
        return "the local stack has ended: type `make run` in another terminal"
    hint = next((hint for kind, hint in _HINTS.items() if isinstance(error, kind)), "try again")
    return f"{' '.join(str(error).split()).rstrip('.')}: {hint}"


def has_ended(error: Exception | None) -> bool:
    """Whether a call failed because the local stack, which this process uses, has ended."""
    return isinstance(error, EndpointConnectionError) and running.is_used(os.environ)


def _explain_endpoint(error: Exception) -> str | None:
    """What to tell about an address that is none of AWS's."""
    if isinstance(error, ResponseParserError):
        return "what responds there is not AWS: correct AWS_ENDPOINT_URL, or unset it"
    if isinstance(error, ValueError) and str(error).startswith(_INVALID_ENDPOINT):
        return f"{error}: correct AWS_ENDPOINT_URL, a URL such as http://127.0.0.1:4566, and AWS_DEFAULT_REGION"
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
