"""Which addresses an endpoint may be at. An endpoint's URL is hostile input.

The lists are the IANA special-purpose registries, written out because `ipaddress` calls several of these
ranges global, and which ones depends on the Python release:
https://www.iana.org/assignments/iana-ipv4-special-registry/ and .../iana-ipv6-special-registry/
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Self

_PRIVATE_V4 = [IPv4Network(n) for n in ("10.0.0.0/8", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]
_SPECIAL_V4 = [
    IPv4Network(n)
    for n in (
        "0.0.0.0/8",
        "100.64.0.0/10",
        "169.254.0.0/16",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
]
_PRIVATE_V6 = [IPv6Network(n) for n in ("::1/128", "fc00::/7")]
_METADATA_V6 = IPv6Network("fd00:ec2::/32")
_UNICAST_V6 = IPv6Network("2000::/3")  # everything outside is reserved, local or multicast
_SPECIAL_V6 = [IPv6Network(n) for n in ("2001::/23", "2001:db8::/32", "2620:4f:8000::/48", "3fff::/20")]

# IPv6 forms that carry an IPv4 address, and by how many bits it stands from the right.
_EMBEDDED = [
    (IPv6Network("::ffff:0:0/96"), 0),  # IPv4-mapped
    (IPv6Network("::ffff:0:0:0/96"), 0),  # IPv4-translated (SIIT)
    (IPv6Network("::/96"), 0),  # IPv4-compatible
    (IPv6Network("64:ff9b::/96"), 0),  # NAT64
    (IPv6Network("2002::/16"), 80),  # 6to4
]
_ISATAP = (0x00005EFE, 0x02005EFE)


class AddressNotAllowedError(Exception):
    """The endpoint's name resolves to an address, or its URL has a port or scheme, that is not allowed."""


@dataclass(frozen=True, slots=True)
class EndpointPolicy:
    """What a deployment allows beyond https to public addresses; `ports` None is any port."""

    http: bool = False
    private: bool = False
    ports: frozenset[int] | None = frozenset({80, 443})

    @classmethod
    def from_parameters(cls, *, allow_http: bool, allow_private_addresses: bool, allowed_ports: str) -> Self:
        """The policy that the stack's parameters describe; `allowed_ports` is "any" or a list such as "80,443".

        Raises:
            ValueError: a port is not a number.
        """
        ports = None if allowed_ports == "any" else frozenset(map(int, allowed_ports.split(",")))
        return cls(allow_http, allow_private_addresses, ports)


def check_address(address: str, policy: EndpointPolicy) -> None:
    """Refuse `address` unless the policy allows it.

    Raises:
        AddressNotAllowedError: the address is special-purpose, or carries one that is.
    """
    if not _allowed(ip_address(address.partition("%")[0]), policy):
        raise AddressNotAllowedError(f"{address} is not a public address")


def check_target(scheme: str, port: int, policy: EndpointPolicy) -> None:
    """Refuse a scheme or port the policy does not allow.

    Raises:
        AddressNotAllowedError: see above.
    """
    if scheme != "https" and not (policy.http and scheme == "http"):
        raise AddressNotAllowedError(f"{scheme} is not allowed, use https")
    if policy.ports is not None and port not in policy.ports:
        raise AddressNotAllowedError(f"port {port} is not allowed, use 443")


def _allowed(address: IPv4Address | IPv6Address, policy: EndpointPolicy) -> bool:
    if isinstance(address, IPv4Address):
        return _allowed_v4(address, policy)
    if address in _METADATA_V6:
        return False
    if any(address in network for network in _PRIVATE_V6):
        return policy.private
    embedded = _embedded(address)
    if embedded is not None:
        return _allowed_v4(embedded, policy)
    return address in _UNICAST_V6 and not any(address in network for network in _SPECIAL_V6)


def _allowed_v4(address: IPv4Address, policy: EndpointPolicy) -> bool:
    if any(address in network for network in _PRIVATE_V4):
        return policy.private
    return not any(address in network for network in _SPECIAL_V4)


def _embedded(address: IPv6Address) -> IPv4Address | None:
    number = int(address)
    for network, shift in _EMBEDDED:
        if address in network:
            return IPv4Address(number >> shift & 0xFFFFFFFF)
    if number >> 32 & 0xFFFFFFFF in _ISATAP:
        return IPv4Address(number & 0xFFFFFFFF)
    return None
