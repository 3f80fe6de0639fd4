"""A token endpoint for an endpoint on this machine: it gives access tokens to one client, and knows them again."""

import base64
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote_plus

PATH = "/token"
SECONDS = 120  # for which a token is valid: short, so that one sees that another is asked for

Headers = Mapping[str, str]  # with names in lower case


class Witness(Protocol):
    """Who is told what was asked for."""

    def token_asked(self, at: float, refusal: str | None) -> None:
        """A token was given, or refused for that reason; `at` is in Unix seconds."""


@dataclass
class TokenEndpoint:
    """Client credentials of RFC 6749 section 4.4; the client authenticates in either way."""

    client_id: str
    client_secret: str = field(default_factory=lambda: secrets.token_hex(20), repr=False)
    now: Callable[[], float] = time.time
    witness: Witness | None = None
    _valid_until: dict[str, float] = field(default_factory=dict, repr=False)

    def registration(self, url: str) -> dict[str, str]:
        """Its `oauth2` in a registry file, where it is beside the endpoint at `url`."""
        token_url = url.rstrip("/") + PATH
        return {"token_url": token_url, "client_id": self.client_id, "client_secret": self.client_secret}

    def respond(self, headers: Headers, body: bytes) -> tuple[int, bytes]:
        """The status and the body of the response to a request for a token."""
        status, found = self._response(headers, body)
        if self.witness:
            self.witness.token_asked(self.now(), found.get("error"))
        return status, json.dumps(found).encode()

    def _response(self, headers: Headers, body: bytes) -> tuple[int, dict[str, Any]]:
        form = {name: values[0] for name, values in parse_qs(body.decode(errors="replace")).items()}
        if form.get("grant_type") != "client_credentials":
            return HTTPStatus.BAD_REQUEST, {"error": "unsupported_grant_type"}
        client = _basic(headers) or (form.get("client_id", ""), form.get("client_secret", ""))
        if client != (self.client_id, self.client_secret):
            return HTTPStatus.UNAUTHORIZED, {"error": "invalid_client"}
        token = secrets.token_urlsafe(24)
        self._valid_until[token] = self.now() + SECONDS
        return HTTPStatus.OK, {"access_token": token, "token_type": "Bearer", "expires_in": SECONDS}

    def accepts(self, headers: Headers) -> bool:
        """Whether a webhook has a token that is valid."""
        kind, _, token = headers.get("authorization", "").partition(" ")
        return kind.lower() == "bearer" and self._valid_until.get(token, 0.0) > self.now()


def _basic(headers: Headers) -> tuple[str, str] | None:
    kind, _, credentials = headers.get("authorization", "").partition(" ")
    if kind.lower() != "basic":
        return None
    try:
        name, _, secret = base64.b64decode(credentials).decode().partition(":")
    except ValueError:
        return "", ""
    return unquote_plus(name), unquote_plus(secret)
