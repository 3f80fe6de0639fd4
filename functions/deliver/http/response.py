"""The outcome of a POST: a response, or a send failure with its reason."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

KEPT_BYTES = 16_384  # of a response's body, for the log


@dataclass(frozen=True, slots=True)
class Response:
    """A response: its status, headers (names compare without case) and the first KEPT_BYTES of its body.

    `cut`: the body was longer.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    cut: bool = False

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES


TIMEOUT = "timeout"  # no response came within the deadline
INVALID_HEADER = "invalid_header"  # one of the app's own headers cannot be sent: its configuration's fault
INVALID_URL = "invalid_url"  # the app's URL cannot be posted to: its configuration's fault
TOKEN_ERROR = "token_error"  # noqa: S105 - no access token, so nothing was posted: the token endpoint's fault


@dataclass(frozen=True, slots=True)
class SendFailure:
    """No response came. `refused` says that our guard did not let the request go out."""

    # timeout, dns_error, connection_error, tls_error, invalid_response, address_not_allowed, invalid_header,
    # invalid_url: faults.py has the table; token_error: attempt/oauth2.py
    kind: str
    detail: str
    refused: bool = False
