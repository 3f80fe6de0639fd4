"""Whose fault an exception is, row by row."""

import errno
import os
import socket
import ssl
from http.client import BadStatusLine

import pytest
import requests
from urllib3.exceptions import ProtocolError

from deliver.http import faults
from deliver.http.faults import DnsError, InvalidHeaderError, InvalidUrlError, NoIpv6Error, OurFaultError
from deliver.http.guard import AddressNotAllowedError
from deliver.http.resolver import ResolverDownError, ResolversBusyError
from deliver.http.response import SendFailure

OURS = "ours"


def system(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def wrapped(error: Exception) -> Exception:
    """As urllib3 and requests hand a socket's error on."""
    try:
        try:
            try:
                raise error
            except Exception as inner:
                raise ProtocolError("Connection aborted.", inner) from inner
        except ProtocolError as middle:
            raise requests.ConnectionError(middle) from middle
    except requests.ConnectionError as outer:
        return outer


def whose(error: Exception, *, in_time: bool = True, response_began: bool = False) -> str:
    try:
        return faults.judge(error, in_time=in_time, response_began=response_began).kind
    except OurFaultError:
        return OURS


@pytest.mark.parametrize(
    ("error", "before", "after"),
    [
        # what this host is out of, or does not let us do
        (system(errno.EMFILE), OURS, OURS),
        (system(errno.ENFILE), OURS, OURS),
        (system(errno.ENOMEM), OURS, OURS),
        (system(errno.ENOBUFS), OURS, OURS),
        (system(errno.EADDRNOTAVAIL), OURS, OURS),
        (system(errno.EADDRINUSE), OURS, OURS),
        (system(errno.EPERM), OURS, OURS),
        (system(errno.EACCES), OURS, OURS),
        (system(errno.ENETDOWN), OURS, OURS),
        (system(errno.ENETUNREACH), OURS, OURS),
        (system(errno.EAFNOSUPPORT), OURS, OURS),
        (MemoryError(), OURS, OURS),
        (ResolversBusyError("no thread"), OURS, OURS),
        (ResolverDownError("no resolver"), OURS, OURS),
        # the endpoint
        (system(errno.ECONNREFUSED), "connection_error", "invalid_response"),
        (system(errno.ECONNRESET), "connection_error", "invalid_response"),
        (system(errno.EPIPE), "connection_error", "invalid_response"),
        (system(errno.EHOSTUNREACH), "connection_error", "invalid_response"),
        (NoIpv6Error("IPv6 only"), "connection_error", "invalid_response"),
        (system(errno.ETIMEDOUT), "timeout", "timeout"),
        (TimeoutError("the deadline has passed"), "timeout", "timeout"),
        (BadStatusLine("x"), "connection_error", "invalid_response"),
        (DnsError("no such name"), "dns_error", "dns_error"),
        (ssl.SSLError(1, "handshake failure"), "tls_error", "tls_error"),  # its 1 is not EPERM
        (ssl.SSLCertVerificationError(1, "expired"), "tls_error", "tls_error"),
        (ssl.SSLEOFError(8, "EOF"), "tls_error", "tls_error"),
        # what nobody thought of: the endpoint's once it has said anything
        (ValueError("negative count"), OURS, "invalid_response"),
        (RuntimeError("can't start new thread"), OURS, "invalid_response"),
        (KeyError("x"), OURS, "invalid_response"),
    ],
)
def test_whose_fault_an_exception_is(error: Exception, before: str, after: str) -> None:
    for raised in (error, wrapped(error)):
        if isinstance(error, ValueError | RuntimeError | KeyError) and raised is not error:
            continue  # urllib3 wraps none of these
        assert whose(raised) == before
        assert whose(raised, response_began=True) == after


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (AddressNotAllowedError("private"), SendFailure("address_not_allowed", "private", refused=True)),
        (InvalidHeaderError("X-A"), SendFailure("invalid_header", "X-A")),
        (InvalidUrlError("no host"), SendFailure("invalid_url", "no host")),
    ],
)
@pytest.mark.parametrize("in_time", [True, False])
def test_what_an_app_is_configured_with_is_named(error: Exception, expected: SendFailure, in_time: bool) -> None:
    assert faults.judge(error, in_time=in_time, response_began=False) == expected


def test_after_the_deadline_a_failure_of_the_endpoint_is_a_timeout_and_one_of_ours_stays_ours() -> None:
    assert whose(system(errno.ECONNRESET), in_time=False) == "timeout"
    assert whose(system(errno.EMFILE), in_time=False) == OURS


def test_a_send_failure_says_what_happened_innermost_and_no_more_than_a_line() -> None:
    failure = faults.judge(wrapped(OSError("x" * 500)), in_time=True, response_began=False)
    assert failure.detail.startswith("OSError: xxx")
    assert len(failure.detail) == faults.DETAIL_CHARACTERS


REFUSED, NO_PORTS, NO_IPV6 = system(errno.ECONNREFUSED), system(errno.EADDRNOTAVAIL), NoIpv6Error("IPv6 only")


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([REFUSED], REFUSED),
        ([NO_PORTS, REFUSED], NO_PORTS),  # the address that could not be tried might have accepted
        ([REFUSED, NO_PORTS], NO_PORTS),
        ([NO_IPV6, REFUSED], REFUSED),
        ([NO_IPV6, NO_PORTS], NO_PORTS),
        ([NO_IPV6], NO_IPV6),
    ],
)
def test_of_a_names_addresses_one_error_decides(errors: list[OSError], expected: OSError) -> None:
    assert faults.deciding(errors) is expected


def test_a_gaierror_has_no_number_that_could_be_taken_for_the_systems() -> None:
    numbers = [getattr(socket, name) for name in dir(socket) if name.startswith("EAI_")]
    assert all(number < 0 or number not in faults.OURS for number in numbers)
