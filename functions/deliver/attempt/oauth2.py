"""OAuth2 client credentials: how an access token is asked for, and what the response means. Pure.

Sources: RFC 6749, sections 2.3.1 (how a client authenticates), 4.4 (the grant), 5 (the response), and RFC 6750
section 2.1 (which characters a bearer token has).
"""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self
from urllib.parse import quote_plus, urlencode

from bellhop import json_text
from bellhop.text import one_line
from deliver.attempt.masking import Mask
from deliver.attempt.signing import USER_AGENT, Keys
from deliver.http.response import TOKEN_ERROR, Response, SendFailure

BASIC, BODY = AUTHENTICATIONS = ("basic", "body")

# Shorter ones anybody can guess, and to mask them would spoil every text. Servers refuse headers beyond 8 KiB.
TOKEN_LENGTHS = range(8, 7_169)
DEFAULT_SECONDS = 300.0  # for which a token is used where its response does not say
MOST_SECONDS = 3600.0  # so that what was changed at the token endpoint is noticed within an hour
EARLY_SECONDS = 30.0  # before its end from which a token is not used: a request is on its way, clocks differ

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_SECONDS = re.compile(r"[0-9]{1,10}")
_DEEPEST = 8
_SHOWN = 200  # characters of a response


@dataclass(frozen=True, slots=True)
class Client:
    """As whom, and where, a token is asked for: the fields of `oauth2` in a registry file."""

    token_url: str
    client_id: str
    client_secret: str = field(repr=False)
    scope: str | None = None
    audience: str | None = None
    authentication: str | None = None  # None: BASIC

    @classmethod
    def of(cls, stored: Mapping[str, str]) -> Self:
        """The client that was stored. What a newer version stored beside it is ignored."""
        return cls(**{each.name: stored[each.name] for each in fields(cls) if each.name in stored})

    @property
    def secrets(self) -> tuple[str, ...]:
        """What nobody may see, in each form in which it is sent."""
        return self.client_secret, quote_plus(self.client_secret), self._credentials

    @property
    def headers(self) -> dict[str, str]:
        """Those of the request for a token."""
        sent = {
            "Content-Type": "application/x-www-form-urlencoded",
            "User-Agent": USER_AGENT,
            "Accept": "application/json",
            "Accept-Encoding": "identity",
        }
        return sent if self.authentication == BODY else sent | {"Authorization": f"Basic {self._credentials}"}

    @property
    def body(self) -> bytes:
        """That of the request for a token."""
        form = {"grant_type": "client_credentials", "scope": self.scope, "audience": self.audience}
        if self.authentication == BODY:
            form |= {"client_id": self.client_id, "client_secret": self.client_secret}
        return urlencode({name: value for name, value in form.items() if value}).encode()

    @property
    def _credentials(self) -> str:
        return base64.b64encode(f"{quote_plus(self.client_id)}:{quote_plus(self.client_secret)}".encode()).decode()


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token, and for how many seconds after it was asked for it may be used; 0: for what waits for it only."""

    value: str = field(repr=False)
    seconds: float


class _UnusableError(Exception):
    """A response has no token that can be used. The message repeats nothing of it."""


def read(outcome: Response | SendFailure, client: Client) -> AccessToken | SendFailure:
    """The token that a response has, or why there is none: the response is hostile.

    Of a response that refuses, the first characters are told, without what is secret of the client. Of one that
    accepts none are, since a token may be among them.
    """
    if isinstance(outcome, SendFailure):
        return failure(f"{outcome.kind}: {outcome.detail}", refused=outcome.refused)
    if not outcome.ok:
        mask = Mask(Keys("", hidden=client.secrets))
        text = mask.hide(outcome.body.decode("utf-8", "replace"), cut=outcome.cut)
        return failure(f"http_{outcome.status}: {one_line(text, _SHOWN) or 'without a body'}")
    try:
        return _token(outcome)
    except _UnusableError as error:
        return failure(f"its response {error}")


def failure(reason: str, *, refused: bool = False) -> SendFailure:
    """The send failure of an attempt that got no token. `refused`: our guard did not let it be asked for."""
    return SendFailure(TOKEN_ERROR, f"token endpoint: {reason}", refused)


def _token(response: Response) -> AccessToken:
    document = _document(response)
    kind, value = document.get("token_type"), document.get("access_token")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise _UnusableError("has another token_type than Bearer, or none")
    if not isinstance(value, str):
        raise _UnusableError("has no access_token that is a text")
    if len(value) not in TOKEN_LENGTHS:
        least, most = TOKEN_LENGTHS[0], TOKEN_LENGTHS[-1]
        raise _UnusableError(f"has an access_token of {len(value):,} characters; {least} to {most:,} can be sent")
    if not _TOKEN.fullmatch(value):
        raise _UnusableError("has an access_token with characters that no bearer token has (RFC 6750 section 2.1)")
    lifetime = _lifetime(document.get("expires_in"))
    return AccessToken(value, lifetime - min(EARLY_SECONDS, lifetime / 2))


def _document(response: Response) -> dict[str, Any]:
    if response.cut:
        raise _UnusableError(f"is longer than {len(response.body):,} bytes")
    try:
        text = response.body.decode()
        document = None if json_text.deeper_than(text, _DEEPEST) else json.loads(text, parse_constant=_refuse)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise _UnusableError("is no JSON object")
    return document


def _refuse(constant: str) -> None:
    raise ValueError(constant)  # NaN, Infinity: they are no JSON


def _lifetime(said: object) -> float:
    """For how many seconds a token is valid. Some servers write the number as a text."""
    if isinstance(said, str) and _SECONDS.fullmatch(said):
        said = int(said)
    if isinstance(said, bool) or not isinstance(said, int | float):
        return DEFAULT_SECONDS
    return float(min(max(said, 0), MOST_SECONDS))
