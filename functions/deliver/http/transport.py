"""One HTTP POST that nothing an endpoint does can prolong: requests over sockets that know the deadline."""

import re
import socket
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from http.client import HTTPException
from importlib.metadata import version
from typing import Any

import requests
from urllib3.exceptions import HTTPError

from deliver.http import hub
from deliver.http.adapter import Adapter
from deliver.http.guard import AddressNotAllowedError, EndpointPolicy, check_address, check_target
from deliver.http.response import INVALID_HEADER, KEPT_BYTES, Response, SendFailure
from deliver.http.sockets import Call, TlsContext, connect_first, current_call

DRAINED_BYTES = 65_536  # to read further than that would cost more than a new connection

RESOLVERS = 32  # threads, made when they are needed: a look-up that hangs holds one until the system gives up

# Always refused by the guard. Even if the guard were bypassed no packet would leave: TCP knows no broadcast.
REFUSED_HOST = "255.255.255.255"
PROOF_SECONDS = 8.0  # a start on Lambda has ten


class ResolversBusyError(Exception):
    """Other names' look-ups hang, and this one never began. Our fault, not the endpoint's."""


class GuardBypassedError(Exception):
    """Connections are made without asking the guard. Nothing may be posted like that."""


class _DnsError(Exception):
    pass


_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")

_NOT_URLS = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
)


class Transport:
    """Posts webhooks over kept-alive connections to addresses the policy allows. Safe to share by threads.

    Raises:
        GuardBypassedError: the guard does not sit in the connect that urllib3 calls.
    """

    def __init__(self, policy: EndpointPolicy, context: TlsContext) -> None:
        self._policy = policy
        self._resolvers = ThreadPoolExecutor(RESOLVERS, "resolve")
        self._adapter = Adapter(self._connect, context)
        for scheme in (
            "http",
            "https",
        ):  # both: 0.6 ms; 2 ms in a new process, most of which the first POST would pay
            self._prove_guard(scheme)

    def post(self, url: str, headers: Mapping[str, str], body: bytes, seconds: float) -> Response | SendFailure:
        """POST `body`; whatever the endpoint does, this returns within about `seconds`.

        Raises:
            ResolversBusyError: the name's look-up never began.
        """
        name = unsendable(headers)
        if name is not None:
            # Without its value, which may be a secret.
            return SendFailure(INVALID_HEADER, f"the name or the value of the header {name!r:.80} cannot be sent")
        call = Call(time.monotonic() + seconds)
        current_call.set(call)
        try:
            request = _prepare(url, headers, body)
            return self._send(request, call)
        except AddressNotAllowedError as error:
            return SendFailure("address_not_allowed", str(error), refused=True)
        except _NOT_URLS as error:
            return SendFailure("address_not_allowed", str(error), refused=True)
        except (_DnsError, OSError, HTTPError, HTTPException) as error:
            return _failure(error, call)
        except ValueError as error:
            if not call.response_began:
                raise  # ours: no byte of the endpoint's was there to cause it
            return _failure(error, call)

    def close(self) -> None:
        """Close the kept-alive connections."""
        self._adapter.close()
        self._resolvers.shutdown(wait=False)

    def _prove_guard(self, scheme: str) -> None:
        """Connect through the real adapter to an address that the guard always refuses."""
        current_call.set(Call(time.monotonic() + PROOF_SECONDS))
        try:
            self._adapter.send(_prepare(f"{scheme}://{REFUSED_HOST}/", {}, b""), stream=True, timeout=None)
        except AddressNotAllowedError:
            return
        except (OSError, HTTPError) as error:
            reason = _reason(error)
        else:
            reason = "it connected"
        raise GuardBypassedError(
            f"{scheme} connections of urllib3 {version('urllib3')} do not ask the address guard ({reason}). "
            "Deploy the versions in functions/requirements.txt, or mend the classes in deliver/http/adapter.py."
        )

    def _send(self, request: requests.PreparedRequest, call: Call) -> Response:
        while True:
            try:
                return _read(self._adapter.send(request, stream=True, timeout=None), call)
            except (OSError, HTTPError):
                # A kept-alive connection that the peer closed while it was idle tells nothing about the endpoint:
                # go on with the next. Each round drops one, so it ends with a new connection.
                if not call.reused or call.response_began:
                    raise
                call.remaining()
                call.reused = False

    def _connect(self, scheme: str, host: str, port: int) -> socket.socket:
        check_target(scheme, port, self._policy)
        addresses = self._resolve(host, port)
        for address in addresses:
            check_address(address[4][0], self._policy)  # all before any: one bad address refuses the name
        return connect_first(addresses)

    def _resolve(self, host: str, port: int) -> list[Any]:
        lookup = self._resolvers.submit(socket.getaddrinfo, host, port, 0, socket.SOCK_STREAM)
        try:
            return hub.result(lookup, current_call.get().remaining())
        except TimeoutError:
            if lookup.cancel():
                raise ResolversBusyError(f"no resolver was free for {host}") from None
            raise
        except (socket.gaierror, UnicodeError) as error:
            raise _DnsError(str(error)) from error


def unsendable(headers: Mapping[str, str]) -> str | None:
    """The first header that HTTP cannot carry (RFC 9110 section 5), by its name; None when there is none."""
    return next((name for name, value in headers.items() if not _sendable(name, value)), None)


def _sendable(name: str, value: str) -> bool:
    return bool(_HEADER_NAME.fullmatch(name) and _HEADER_VALUE.fullmatch(value))


def _read(response: requests.Response, call: Call) -> Response:
    raw = response.raw
    try:
        body = raw.read(DRAINED_BYTES, decode_content=False)
        if raw.read(1, decode_content=False):  # at the end this gives the connection back to its pool
            raw.close()
    except (OSError, HTTPError, HTTPException, ValueError):
        # Policy: a body that ran into the deadline is a timeout. One that is cut short, or is not what its framing
        # says (a negative chunk size is a ValueError), lets the status stand: the receiver has decided.
        call.remaining()
        raw.close()
        body = b""
    call.remaining()
    return Response(response.status_code, response.headers, body[:KEPT_BYTES])


def _failure(error: Exception, call: Call) -> SendFailure:
    if time.monotonic() >= call.deadline or isinstance(error, TimeoutError):
        return SendFailure("timeout", "no complete response within the deadline")
    if isinstance(error, _DnsError):
        return SendFailure("dns_error", str(error))
    if isinstance(error, requests.exceptions.SSLError):
        return SendFailure("tls_error", _reason(error))
    if isinstance(error, requests.exceptions.Timeout):
        return SendFailure("timeout", "an address did not accept the connection in time")
    return SendFailure("invalid_response" if call.response_began else "connection_error", _reason(error))


def _reason(error: BaseException) -> str:
    # requests wraps urllib3's error, which wraps the socket's: the innermost tells what happened.
    while error.__context__ is not None:
        error = error.__context__
    return f"{type(error).__name__}: {error}"[:200]


@lru_cache(4096)  # the CPU of a POST without it to that with it (see adapter): 1.08 to 1.10
def _normal_url(url: str) -> str:
    request = requests.PreparedRequest()
    request.prepare_url(url, None)
    return str(request.url)


def _prepare(url: str, headers: Mapping[str, str], body: bytes) -> requests.PreparedRequest:
    # By hand: Request.prepare() looks for cookies, auth, files and hooks, which no webhook has; 1.34 to 1.38.
    request = requests.PreparedRequest()
    request.method = "POST"
    request.url = _normal_url(url)
    # A name once, in whatever case; as a plain dict, since requests' own is copied and gone through twice.
    named = {name.lower(): (name, value) for name, value in headers.items()}
    request.headers = dict(named.values()) | {"Content-Length": str(len(body))}  # type: ignore[assignment]
    request.body = body
    return request
