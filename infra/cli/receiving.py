"""What `bellhop receive` does with a webhook: it responds as it is told, or forwards it, and prints it."""

import itertools
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Protocol

from rich.console import Console
from rich.text import Text

from bellhop.text import printable
from infra.cli import forwarding
from infra.cli.forwarding import NotForwardedError
from infra.cli.terminal import line
from infra.local.webhook_server import PlannedResponse, Request

_OWN_HEADERS = {"host", "connection", "content-length", "accept-encoding"}  # each connection has its own
_PASSED_BACK = ("retry-after", "webhook-delivery")  # what Bellhop obeys


class Responses(Protocol):
    """Where the response to a verified webhook comes from."""

    def to(self, request: Request) -> PlannedResponse:
        """The response, and what is to be noted of it."""


class InTurn:
    """Responds with these statuses in turn, each after the same time."""

    def __init__(self, statuses: Sequence[int], delay: float) -> None:
        self._statuses = itertools.cycle(statuses)
        self._delay = delay
        self._lock = threading.Lock()

    def to(self, _: Request) -> PlannedResponse:
        """See Responses."""
        with self._lock:
            return PlannedResponse(next(self._statuses), self._delay)


@dataclass(frozen=True, slots=True)
class Forwarded:
    """Sends the same bytes and headers on to a URL, and responds with what comes back; 502 if nothing does."""

    url: str

    def to(self, request: Request) -> PlannedResponse:
        """See Responses."""
        headers = {name: value for name, value in request.headers.items() if name not in _OWN_HEADERS}
        try:
            found = forwarding.post(self.url, request.body, headers)
        except NotForwardedError as error:
            return PlannedResponse(HTTPStatus.BAD_GATEWAY, body=f"{self.url}: {error}".encode())
        passed_back = tuple((name, found.headers[name]) for name in _PASSED_BACK if name in found.headers)
        return PlannedResponse(found.status, headers=passed_back, body=found.body)


@dataclass
class Inbox:
    """Prints every request with its response. What does not verify, or lacks a token, gets 401."""

    responses: Responses
    console: Console
    as_json: bool
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def respond(self, request: Request) -> PlannedResponse:
        """See Responder."""
        good = request.verified and request.authorized is not False
        response = self.responses.to(request) if good else PlannedResponse(HTTPStatus.UNAUTHORIZED)
        with self._lock:
            if self.as_json:
                print(json.dumps(document(request, response)), flush=True)
            else:
                self._print(request, response)
        return response

    def token_asked(self, at: float, refusal: str | None) -> None:
        """See Witness."""
        when = datetime.fromtimestamp(at, UTC)
        with self._lock:
            if self.as_json:
                told = {"at": when.isoformat(timespec="milliseconds"), "access_token": refusal or "given"}
                print(json.dumps(told), flush=True)
            else:
                text = f"access token refused: {refusal}" if refusal else "access token given"
                line(self.console, f"{when:%H:%M:%S}  {text}", "red" if refusal else "green")

    def _print(self, request: Request, response: PlannedResponse) -> None:
        at = datetime.fromtimestamp(request.at, UTC)
        delay = f" after {response.delay:g} s" if response.delay else ""
        head = f"{at:%H:%M:%S}  {name(request)}  {request.webhook_id or '(no webhook-id)'}"
        line(self.console, f"{head}  -> {response.status}{delay}", "bold")
        line(self.console, f"    {verification(request)}", "green" if request.verified else "red")
        if request.authorized is not None:
            text = "the access token is valid" if request.authorized else "no access token that is valid"
            line(self.console, f"    {text}", "green" if request.authorized else "red")
        for text in pretty(request.body).splitlines():
            self.console.print(Text(f"    {printable(text)}"), soft_wrap=True)
        if response.status == HTTPStatus.BAD_GATEWAY and response.body:
            line(self.console, f"    {response.body.decode(errors='replace')}", "red")


def name(request: Request) -> str:
    """The event's name, such as `issue.created`."""
    body = _object(request.body)
    resource = body.get("resource") or request.headers.get("sentry-hook-resource", "?")
    return f"{resource}.{body.get('action', '?')}"


def verification(request: Request) -> str:
    """What verified, in words."""
    schemes = {"webhook-signature": request.standard, "Sentry-Hook-Signature": request.classic}
    wrong = [scheme for scheme, verified in schemes.items() if verified is False]
    if not wrong:
        return "the signature verifies" if request.classic is None else "both signatures verify"
    cause = "not of this secret and these bytes, or too old; after `bellhop rotate-secret`, start receive again"
    return f"{' and '.join(wrong)}: {cause}"


def pretty(body: bytes) -> str:
    """A body to be read: JSON indented, anything else as text."""
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except ValueError:
        return body.decode(errors="replace")


def document(request: Request, response: PlannedResponse) -> Mapping[str, object]:
    """A request and the status of its response as JSON; the body is text, as it came."""
    return {
        "at": datetime.fromtimestamp(request.at, UTC).isoformat(timespec="milliseconds"),
        "webhook_id": request.webhook_id,
        "event": name(request),
        "standard": request.standard,
        "classic": request.classic,
        "authorized": request.authorized,
        "status": response.status,
        "headers": dict(request.headers),
        "body": request.body.decode(errors="replace"),
    }


def _object(body: bytes) -> Mapping[str, object]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
