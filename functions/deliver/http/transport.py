"""One HTTP POST that nothing an endpoint does can prolong: requests over sockets that know the deadline."""

import re
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from http.client import HTTPException
from importlib.metadata import version
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError, LocationParseError

from deliver.http import faults, hub
from deliver.http.adapter import Adapter
from deliver.http.connections import IdleConnections, KeepAlive, most_idle
from deliver.http.faults import InvalidHeaderError, InvalidUrlError
from deliver.http.guard import AddressNotAllowedError, EndpointPolicy, check_address, check_target
from deliver.http.resolver import Resolver
from deliver.http.response import KEPT_BYTES, Response, SendFailure
from deliver.http.sockets import Call, Socket, TlsContext, connect_first, current_call

DRAINED_BYTES = 65_536  # to read further than that would cost more than a new connection
LIFETIME_SECONDS = 60.0  # of a connection, where nothing else is said
DESCRIPTORS = 1024  # of a process on Lambda

# Always refused by the guard. Even if the guard were bypassed no packet would leave: TCP knows no broadcast.
REFUSED_HOST = "255.255.255.255"
PROOF_SECONDS = 8.0  # a start on Lambda has ten

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class GuardBypassedError(Exception):
    """Connections are made without asking the guard. Nothing may be posted like that."""


class Transport:
    """Posts webhooks over kept-alive connections to addresses the policy allows. Safe to share by threads.

    `lifetime`: the seconds after which a connection is made anew, so that its name is looked up again; by `clock`,
    which must go on while the function is frozen. `descriptors`: how many the process may have open; what the
    attempts leave of them is for idle connections.

    Raises:
        GuardBypassedError: the guard does not sit in the connect that urllib3 calls.
    """

    def __init__(
        self,
        policy: EndpointPolicy,
        context: TlsContext,
        lifetime: float = LIFETIME_SECONDS,
        clock: Callable[[], float] = time.time,
        descriptors: int = DESCRIPTORS,
    ) -> None:
        self._policy = policy
        self._resolver = Resolver(clock)
        self._idle = IdleConnections(KeepAlive(lifetime, clock), most_idle(descriptors))
        self._adapter = Adapter(self._connect, context, self._idle, clock)
        for scheme in (
            "http",
            "https",
        ):  # both: 0.6 ms; 2 ms in a new process, most of which the first POST would pay
            self._prove_guard(scheme)

    def post(
        self, app_id: str, url: str, headers: Mapping[str, str], body: bytes, seconds: float
    ) -> Response | SendFailure:
        """POST `body` for an app; whatever the endpoint does, this returns within about `seconds`.

        Policy: every exception is judged by the one table in faults.py, whatever its type. An endpoint can make
        the libraries raise what nobody thought of, and that must not keep the message.

        Raises:
            OurFaultError: something of ours is missing or broken; the endpoint is not to blame.
        """
        # An attempt that asks for an access token makes two POSTs, which share what TLS may take. Each greenlet
        # has a context of its own, so a call that is there was the same attempt's.
        before = current_call.get(None) if hub.runs() else None
        call = Call(time.monotonic() + seconds, app_id, tls_seconds=before.tls_seconds if before else 0.0)
        current_call.set(call)
        try:
            _check_headers(headers)
            return self._send(_prepare(url, headers, body), call)
        except Exception as error:  # noqa: BLE001 - see the policy above
            in_time = time.monotonic() < call.deadline
            return faults.judge(error, in_time=in_time, response_began=call.response_began)

    def close(self) -> None:
        """Close the kept-alive connections."""
        self._adapter.close()
        self._resolver.close()

    def _prove_guard(self, scheme: str) -> None:
        """Connect through the real adapter to an address that the guard always refuses."""
        current_call.set(Call(time.monotonic() + PROOF_SECONDS))
        try:
            self._adapter.send(_prepare(f"{scheme}://{REFUSED_HOST}/", {}, b""), stream=True, timeout=None)
        except AddressNotAllowedError:
            return
        except (OSError, HTTPError, HTTPException) as error:
            reason = faults.reason(error)
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
            except (OSError, HTTPError, HTTPException):
                # A kept-alive connection that the peer closed while it was idle tells nothing about the endpoint:
                # go on with the next. Each round drops one, so it ends with a new connection.
                if not call.reused or call.response_began:
                    raise
                call.remaining()
                call.reused = False

    def _connect(self, scheme: str, host: str, port: int) -> Socket:
        check_target(scheme, port, self._policy)
        try:
            return self._connect_to_name(host, port)
        except OSError as error:
            # Policy: the idle connections go first. Only where there were none is this our fault.
            if not faults.is_out_of_descriptors(error) or not self._idle.close_all():
                raise
        return self._connect_to_name(host, port)

    def _connect_to_name(self, host: str, port: int) -> Socket:
        addresses = self._resolver.addresses(host, port)
        for address in addresses:
            check_address(address[4][0], self._policy)  # all before any: one bad address refuses the name
        return connect_first(addresses)


def _check_headers(headers: Mapping[str, str]) -> None:
    """Refuse what HTTP cannot carry (RFC 9110 section 5.5): http.client would put the value into its message."""
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise InvalidHeaderError(f"the app's header {name[:80]!a} has a name that HTTP does not allow")
        if not _HEADER_VALUE.fullmatch(value):
            raise InvalidHeaderError(
                f"the app's header {name[:80]} has a line break, another control character or one beyond Latin-1"
            )


def _read(response: requests.Response, call: Call) -> Response:
    raw, body = response.raw, b""
    try:
        if not call.unframed:
            body = raw.read(DRAINED_BYTES, decode_content=False)
        if call.unframed or raw.read(1, decode_content=False):  # at the end, this gives the connection back
            raw.close()
    except (OSError, HTTPError, HTTPException, ValueError):
        # Policy: a body that ran into the deadline is a timeout. One that is cut short, or is not what its framing
        # says (a negative chunk size is a ValueError), lets the status stand: the receiver has decided.
        call.remaining()
        raw.close()
    call.remaining()
    return Response(response.status_code, response.headers, body[:KEPT_BYTES], len(body) > KEPT_BYTES)


@lru_cache(4096)  # the CPU of a POST without it to that with it (see adapter): 1.08 to 1.10
def _normal_url(url: str) -> str:
    request = requests.PreparedRequest()
    try:
        request.prepare_url(url, None)
        parts = urlsplit(str(request.url))
        sendable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except (requests.RequestException, LocationParseError, ValueError) as error:  # UnicodeError is a ValueError
        raise InvalidUrlError(f"the app's url cannot be posted to ({type(error).__name__})") from None
    if not sendable:
        raise InvalidUrlError("the app's url has no host, port or scheme that can be posted to; write https://...")
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
