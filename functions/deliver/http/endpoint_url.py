"""Whether deliver would post to a URL, as far as that can be told without asking DNS. Pure."""

import socket
from ipaddress import ip_address

import requests
from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

from deliver.http.guard import AddressNotAllowedError, EndpointPolicy, check_address, check_target

_DEFAULT_PORTS = {"http": 80, "https": 443}


def problem(url: str, policy: EndpointPolicy) -> str | None:
    """What is wrong with `url` under `policy`, and what to do about it; None when nothing is wrong.

    The message goes on after the name of the field. It repeats nothing of a URL that contains a password.
    """
    if not url.isprintable() or any(c.isspace() or c == "\\" for c in url):
        return "contains white space, a backslash or a control character; percent-encode it"
    scheme = url.partition(":")[0].lower()
    if scheme not in _DEFAULT_PORTS:
        return f"has no scheme that can be posted to; write https://{'' if ':' in url else url}"
    try:
        parts = _parse(url)
    except (requests.RequestException, LocationParseError, UnicodeError):
        return "is not a URL with a host; write https://host/path"
    return _refusal(parts, policy)


def _parse(url: str) -> Url:
    # Prepared as a delivery is, so that both see the same host.
    request = requests.PreparedRequest()
    request.prepare_url(url, None)
    return parse_url(str(request.url))


def _refusal(parts: Url, policy: EndpointPolicy) -> str | None:
    if parts.auth is not None:
        return "contains a user or password; remove it: webhooks are authenticated by their signature"
    scheme, host = str(parts.scheme), str(parts.host or "").strip("[]").rstrip(".")
    if not host:
        return "has no host; write https://host/path"
    try:
        check_target(scheme, parts.port or _DEFAULT_PORTS[scheme], policy)
        address = _literal_address(host)
        if address:
            check_address(address, policy)
    except AddressNotAllowedError as error:
        return str(error)
    return None


def _literal_address(host: str) -> str | None:
    """The address that `host` spells out, also in old forms such as 127.1 or 0x7f000001; None for a name."""
    if host == "localhost" or host.endswith(".localhost"):  # RFC 6761 section 6.3
        return "127.0.0.1"
    try:
        return str(ip_address(host.partition("%")[0]))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except (OSError, UnicodeError):
        return None
