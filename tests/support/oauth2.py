"""A token endpoint and an endpoint that wants its tokens, on loopback, and a deliver function that posts there."""

import itertools
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qs

from deliver.attempt.signing import Keys
from deliver.dependencies import DeliverDependencies
from deliver.http.guard import EndpointPolicy
from deliver.http.response import Response, SendFailure
from tests.support.endpoint import Apps, Secrets, record, run
from tests.support.fakes import SECRET, app, delivery, queue_message
from tests.support.servers import Behaviour, Server, read_request, serve

OPEN = EndpointPolicy(http=True, private=True, ports=None)
CLIENT_SECRET = "client-secret-of-pager"
TOKEN = "token-number-1"  # the first that a Login gives


def http(status: int, body: bytes = b"", *headers: str) -> bytes:
    """A response."""
    lines = [f"HTTP/1.1 {status} Some", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def grant(token: str, **changes: Any) -> bytes:
    """The body of a response with a token; `...` as a value leaves a field out."""
    document = {"access_token": token, "token_type": "Bearer", "expires_in": 3600} | changes
    return json.dumps({name: value for name, value in document.items() if value is not ...}).encode()


def granted(token: str, **changes: Any) -> bytes:
    """A response with a token."""
    return http(200, grant(token, **changes))


@dataclass
class Request:
    """A request that came: its headers by their names in lower case, and its body."""

    headers: dict[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        return {name: value for name, [value] in parse_qs(self.body.decode()).items()}


def read(connection: socket.socket) -> Request | None:
    """The next request; None when the peer has closed."""
    data = read_request(connection)
    if not data:
        return None
    head, _, body = data.partition(b"\r\n\r\n")
    fields = (line.partition(": ") for line in head.decode().split("\r\n")[1:])
    return Request({name.lower(): value for name, _, value in fields}, body)


@dataclass
class Login:
    """Responds with `responses` in turn, the last one for ever; without any with a token of its own each time."""

    responses: list[bytes] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __call__(self, connection: socket.socket, over: threading.Event) -> None:
        while request := read(connection):
            with self._lock:
                self.requests.append(request)
                connection.sendall(self._response())

    def _response(self) -> bytes:
        if not self.responses:
            return granted(f"token-number-{next(self._numbers)}")
        return self.responses.pop(0) if len(self.responses) > 1 else self.responses[0]


@dataclass
class Guarded:
    """An endpoint that takes webhooks with a token, and responds with 401 to those that it `refuses`."""

    refuses: set[str] = field(default_factory=set)
    tokens: list[str] = field(default_factory=list)  # that came, one for each webhook
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, connection: socket.socket, over: threading.Event) -> None:
        while request := read(connection):
            token = request.headers.get("authorization", "").removeprefix("Bearer ")
            with self._lock:
                self.tokens.append(token)
            connection.sendall(http(401 if token in self.refuses else 204))


@contextmanager
def serving(login: Behaviour, endpoint: Behaviour) -> Iterator[tuple[Server, Server]]:
    """Both, until the block ends."""
    with serve(login) as token_server, serve(endpoint) as server:
        yield token_server, server


class Spoken:
    """A transport whose responses a test decides, by where the POST goes."""

    def __init__(self, respond: Callable[[str, Mapping[str, str]], Response | SendFailure]) -> None:
        self._respond = respond

    def post(
        self, app_id: str, url: str, headers: Mapping[str, str], body: bytes, seconds: float
    ) -> Response | SendFailure:
        return self._respond(url, headers)


def credentials(token_url: str, **changes: str) -> dict[str, str]:
    return {"token_url": token_url, "client_id": "pager", "client_secret": CLIENT_SECRET} | changes


def keys(token_url: str, **changes: str) -> Keys:
    return Keys(SECRET, oauth2=credentials(token_url, **changes))


def batch(number: int, app_id: str = "pager") -> list[dict[str, Any]]:
    made = (delivery(delivery_id=f"msg_{app_id}{n}", app_id=app_id) for n in range(number))
    return [queue_message(each, each.delivery_id) for each in made]


def row(delivery_id: str = "msg_pager0", attempt: int = -1) -> Mapping[str, Any]:
    return dict(record(delivery_id).attempts[attempt])


class Function:
    """A deliver function with one app whose endpoint is at `url`, and whose token endpoint at `token_url`."""

    def __init__(self, deps: DeliverDependencies, transport: Any, url: str, token_url: str) -> None:
        assert isinstance(deps.registry, Apps)
        self.apps = deps.registry.apps
        assert isinstance(self.apps, dict)
        self.apps["pager"] = app(url=url)
        self.transport, self.token_url = transport, token_url
        self.deps = replace(deps, secrets=Secrets(keys(token_url)))

    def run(self, *messages: dict[str, Any], **changes: Any) -> list[str]:
        return run(replace(self.deps, **changes), self.transport, *messages)
