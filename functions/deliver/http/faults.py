"""Whose fault it is that a request was not made, or that its response could not be read: one table.

    the endpoint's         a send failure in words that its author understands: retried, counted as a timeout
    the configuration's    a send failure too, about the app's own header, URL or address: see attempt/verdict.py
    ours                   OurFaultError: made again later, the retry budget is untouched, nothing is counted

No other exception leaves Transport.post. What is in no row is the endpoint's once a byte of its response came,
because nothing else is new then; before that it is ours.
"""

import errno
import ssl
from collections.abc import Iterator
from http.client import HTTPException

import requests
from urllib3.exceptions import HTTPError, ProtocolError

from deliver.http.guard import AddressNotAllowedError
from deliver.http.response import INVALID_HEADER, INVALID_URL, TIMEOUT, SendFailure

DETAIL_CHARACTERS = 200


class OurFaultError(Exception):
    """A fault of ours: no request was made, or its response could not be read, and no endpoint is to blame."""


class DnsError(Exception):
    """The endpoint's name has no address."""


class InvalidHeaderError(Exception):
    """One of the app's own headers cannot be sent. The message names it without its value, which may be secret."""


class InvalidUrlError(Exception):
    """The app's URL cannot be posted to. The message does not repeat it: it may contain a password."""


class BudgetExceededError(ProtocolError):
    """The endpoint sent more, or in more pieces, than a response needs. The message says of what."""


class NoIpv6Error(OSError):
    """There is no route to an IPv6 address from here, as in a network that has IPv4 alone."""


# What this host is out of, or does not let us do. An address that could not be tried for such a reason might have
# accepted, so it decides, whatever became of the name's other addresses.
OURS = frozenset(
    {
        errno.EMFILE,  # descriptors, of the process and
        errno.ENFILE,  # of the host
        errno.ENOMEM,
        errno.ENOBUFS,
        errno.EADDRNOTAVAIL,  # ports, or no address of ours to connect from
        errno.EADDRINUSE,
        errno.EPERM,  # a packet filter, or a security group
        errno.EACCES,
        errno.ENETDOWN,
        errno.ENETUNREACH,  # no route of ours; see Socket.finish_connect for a router's word
        errno.EAFNOSUPPORT,
    }
)

# The first row decides that has the type of a cause.
_CONFIGURATIONS: tuple[tuple[type[Exception], str, bool], ...] = (
    (AddressNotAllowedError, "address_not_allowed", True),
    (InvalidHeaderError, INVALID_HEADER, False),
    (InvalidUrlError, INVALID_URL, False),
)
_ENDPOINTS: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    ((BudgetExceededError,), "invalid_response"),
    ((TimeoutError, requests.exceptions.Timeout), TIMEOUT),
    ((DnsError,), "dns_error"),
    ((ssl.SSLError, ssl.CertificateError, requests.exceptions.SSLError), "tls_error"),
    ((OSError, HTTPError, HTTPException), "connection_error"),
)


def judge(error: Exception, *, in_time: bool, response_began: bool) -> SendFailure:
    """The send failure that an exception stands for. `in_time`: the deadline has not passed.

    Raises:
        OurFaultError: it is ours.
    """
    if isinstance(error, OurFaultError):
        raise error
    causes = list(_causes(error))
    for row, kind, refused in _CONFIGURATIONS:
        if isinstance(error, row):
            return SendFailure(kind, str(error), refused=refused)
    if any(is_ours(cause) for cause in causes):
        raise OurFaultError(reason(error)) from error
    if not in_time:
        return SendFailure(TIMEOUT, "no complete response within the deadline")
    found = next((kind for types, kind in _ENDPOINTS if any(isinstance(c, types) for c in causes)), None)
    if response_began and found in {"connection_error", None}:
        return SendFailure("invalid_response", reason(error))
    if found is None:
        raise OurFaultError(reason(error)) from error
    return SendFailure(found, reason(error))


def is_ours(error: BaseException) -> bool:
    """Whether one exception, without those that it wraps, says that something of ours is missing."""
    if isinstance(error, OurFaultError | MemoryError):
        return True
    # The number of a TLS error is OpenSSL's: its 1, for every failed handshake, would be EPERM.
    return isinstance(error, OSError) and not isinstance(error, ssl.SSLError) and error.errno in OURS


def is_out_of_descriptors(error: BaseException) -> bool:
    """Whether an exception says that this process, or this host, can open nothing more."""
    return isinstance(error, OSError) and error.errno in {errno.EMFILE, errno.ENFILE}


def deciding(errors: list[OSError]) -> OSError:
    """Of what became of each address of a name, the error that says whose fault it is.

    Where one address was IPv4, a missing route to IPv6 says nothing. A name that has IPv6 addresses only is the
    endpoint's fault then: no repair of ours would come within the time that its messages can come back.
    """
    reached = [error for error in errors if not isinstance(error, NoIpv6Error)]
    ours = [error for error in reached if is_ours(error)]
    return (ours or reached[::-1] or errors)[0]


def reason(error: BaseException) -> str:
    """What happened, in a line: requests wraps urllib3's error, which wraps the socket's; the innermost tells."""
    *_, innermost = _causes(error)
    return f"{type(innermost).__name__}: {innermost}"[:DETAIL_CHARACTERS]


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__context__
