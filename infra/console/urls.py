"""Whether deliver would post to an endpoint's URL, as far as that can be told without asking DNS."""

import socket
from ipaddress import ip_address

import requests
from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

from deliver.http.guard import AddressNotAllowedError, EndpointPolicy, check_address, check_target

_PORTS = {"http": 80, "https": 443}


def problem(url: str, policy: EndpointPolicy) -> str | None:
    """What is wrong with `url` under `policy`, and the way out; None when nothing is.

    The message repeats nothing of a URL that holds a password.
    """
    if not url.isprintable() or any(c.isspace() or c == "\\" for c in url):
        return "holds white space, a backslash or a control character; percent-encode it"
    scheme = url.partition(":")[0].lower()
    if scheme not in _PORTS:
        return f"has no scheme that can be posted to; write https://{'' if ':' in url else url}"
    try:
        parts = _parse(url)
    except (requests.RequestException, LocationParseError, UnicodeError):
        return "is not a URL with a host; write https://host/path"
    return _refusal(parts, policy)


def _parse(url: str) -> Url:
    # The same preparation as a delivery's, so that both see the same host.
    request = requests.PreparedRequest()
    request.prepare_url(url, None)
    return parse_url(str(request.url))


def _refusal(parts: Url, policy: EndpointPolicy) -> str | None:
    if parts.auth is not None:
        return "holds a user or password; remove it: webhooks are authenticated by their signature"
    scheme, host = str(parts.scheme), str(parts.host or "").strip("[]").rstrip(".")
    if not host:
        return "has no host; write https://host/path"
    try:
        check_target(scheme, parts.port or _PORTS[scheme], policy)
        address = _literal(host)
        if address:
            check_address(address, policy)
    except AddressNotAllowedError as error:
        return f"{error}{_local_hint(policy)}"
    return None


def _local_hint(policy: EndpointPolicy) -> str:
    if policy.http and policy.private and policy.ports is None:
        return ""
    return " (a local stack may allow it: --allow-http, --allow-private-addresses, --any-port)"


def _literal(host: str) -> str | None:
    """The address that `host` is written as, also in the old forms such as 127.1 or 0x7f000001."""
    if host == "localhost" or host.endswith(".localhost"):
        return "127.0.0.1"
    try:
        return str(ip_address(host.partition("%")[0]))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except (OSError, UnicodeError):
        return None
