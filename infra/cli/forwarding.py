"""Posting a webhook to a program on this machine."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import requests
import urllib3
from requests.structures import CaseInsensitiveDict

from infra.cli.errors import UsageError

SECONDS = 30.0
MAX_BYTES = 65_536  # of the response that are read


class NotForwardedError(Exception):
    """No response came back; says why."""


@dataclass(frozen=True, slots=True)
class LocalResponse:
    """What came back; the names of `headers` in any case."""

    status: int
    headers: CaseInsensitiveDict[str]
    body: bytes


def read_url(option: str, url: str) -> str:
    """The URL that is given for `option`.

    Raises:
        UsageError: it is none.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise UsageError(f"{option} {url!r} is no URL: write http://localhost:3000/webhooks")
    return url


def post(url: str, body: bytes, headers: Mapping[str, str]) -> LocalResponse:
    """Post the body with these headers, follow no redirect, and read the beginning of the response.

    Raises:
        NotForwardedError: no response came back within SECONDS.
    """
    try:
        with requests.Session() as session:
            session.trust_env = False  # no proxy between this machine and itself
            found = session.post(url, body, headers=headers, timeout=SECONDS, allow_redirects=False, stream=True)
            return LocalResponse(found.status_code, found.headers, found.raw.read(MAX_BYTES) or b"")
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise NotForwardedError(_reason(error)) from None


def _reason(error: Exception) -> str:
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return f"no response within {SECONDS:g} s"
    if isinstance(error, requests.ConnectionError) and "refused" in str(error):
        return "connection refused"
    return str(error)
