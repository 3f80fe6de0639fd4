"""What an operator gets to read when something cannot be done: one line that ends with the way out."""

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


class ConsoleError(Exception):
    """A mistake or a circumstance the operator can do something about; each of `lines` says what."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


def explain(error: Exception) -> str | None:
    """What to tell the operator about a fault of AWS or of the way there; None for a bug of ours."""
    if isinstance(error, PynamoDBException):
        return _explain_cause(error)
    if isinstance(error, ClientError):
        return _explain_answer(error)
    if isinstance(error, BotoCoreError):
        hint = next((hint for kind, hint in _HINTS.items() if isinstance(error, kind)), "try again")
        return f"{str(error).rstrip('.')}: {hint}"
    return None


def _explain_cause(error: PynamoDBException) -> str:
    if isinstance(error.cause, BotoCoreError | ClientError):
        return explain(error.cause) or str(error)
    return f"{error}: try again"


def _explain_answer(error: ClientError) -> str:
    fault = error.response["Error"]
    code, message = fault.get("Code", ""), fault.get("Message", "")
    if code in _EXPIRED:
        return f"AWS refused the credentials ({code}): {_CREDENTIALS}"
    if code in _DENIED:
        return f"{message}: use credentials that may {error.operation_name}"
    return f"AWS refused {error.operation_name}: {code}: {message}"
