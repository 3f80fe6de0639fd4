from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliver.http.guard import AddressNotAllowedError, EndpointPolicy, check_address, check_target

PUBLIC = EndpointPolicy()
LOCAL = EndpointPolicy(http=True, private=True, ports=None)

V4_SPECIAL = [
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
    "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16",
    "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
]  # fmt: skip
V6_SPECIAL = [
    "::/128", "::1/128", "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64", "2001::/32", "2001:2::/48",
    "2001:10::/28", "2001:20::/28", "2001:db8::/32", "2620:4f:8000::/48", "3fff::/20", "5f00::/16",
    "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
]  # fmt: skip

v4 = st.ip_addresses(v=4)


def allowed(address: object, policy: EndpointPolicy = PUBLIC) -> bool:
    try:
        check_address(str(address), policy)
    except AddressNotAllowedError:
        return False
    return True


@given(st.sampled_from(V4_SPECIAL).flatmap(lambda n: st.ip_addresses(network=n)))
def test_every_special_purpose_ipv4_address_is_refused(address: IPv4Address) -> None:
    assert not allowed(address)


@given(st.sampled_from(V6_SPECIAL).flatmap(lambda n: st.ip_addresses(network=n)))
def test_every_special_purpose_ipv6_address_is_refused(address: IPv6Address) -> None:
    assert not allowed(address)


@given(v4)
def test_ipv4_outside_the_special_ranges_is_allowed(address: IPv4Address) -> None:
    assert allowed(address) == (not any(address in IPv4Network(n) for n in V4_SPECIAL))


@given(st.ip_addresses(v=6))
def test_ipv6_is_allowed_only_as_global_unicast_or_with_a_public_ipv4_inside(address: IPv6Address) -> None:
    forms = ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96")
    carries = any(address in IPv6Network(n) for n in forms)
    if allowed(address) and not carries:
        assert address in IPv6Network("2000::/3")


@pytest.mark.parametrize(
    "form",
    ["::ffff:{}", "::ffff:0:{}", "64:ff9b::{}", "::{}", "2606:4700::5efe:{}", "2606:4700::200:5efe:{}"],
)
@given(address=v4)
def test_an_ipv4_address_inside_an_ipv6_one_gets_the_verdict_of_the_ipv4_address(
    form: str, address: IPv4Address
) -> None:
    outer = ip_address(form.format(address))
    if outer not in IPv6Network("::/127"):
        assert allowed(outer) == allowed(address)


@given(v4)
def test_6to4_gets_the_verdict_of_its_ipv4_address(address: IPv4Address) -> None:
    number = int(address)
    assert allowed(f"2002:{number >> 16:x}:{number & 0xFFFF:x}::1") == allowed(address)


@pytest.mark.parametrize(
    "address",
    ["93.184.216.34", "1.1.1.1", "8.8.8.8", "2606:4700:4700::1111", "2a00:1450:4001::200e", "::ffff:8.8.8.8"],
)
def test_public_addresses_are_allowed(address: str) -> None:
    assert allowed(address)


@pytest.mark.parametrize("address", ["169.254.169.254", "169.254.170.2", "fd00:ec2::254", "fe80::1%eth0"])
def test_metadata_services_are_refused_even_where_private_addresses_are_allowed(address: str) -> None:
    assert not allowed(address, LOCAL)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "192.168.0.1", "::1", "fd12::1", "::ffff:127.0.0.1"])
def test_private_addresses_are_allowed_only_by_the_policy(address: str) -> None:
    assert allowed(address, LOCAL)
    assert not allowed(address)


@pytest.mark.parametrize(
    ("scheme", "port", "policy", "ok"),
    [
        ("https", 443, PUBLIC, True),
        ("https", 80, PUBLIC, True),
        ("https", 22, PUBLIC, False),
        ("https", 9001, PUBLIC, False),
        ("http", 80, PUBLIC, False),
        ("http", 9001, LOCAL, True),
        ("ftp", 443, LOCAL, False),
    ],
)
def test_scheme_and_port_follow_the_policy(scheme: str, port: int, policy: EndpointPolicy, ok: bool) -> None:
    if ok:
        check_target(scheme, port, policy)
    else:
        with pytest.raises(AddressNotAllowedError):
            check_target(scheme, port, policy)


@pytest.mark.parametrize(("ports", "allowed"), [("any", None), ("443", {443}), ("80,443,8443", {80, 443, 8443})])
def test_a_policy_is_read_from_the_stacks_parameters(ports: str, allowed: set[int] | None) -> None:
    policy = EndpointPolicy.from_parameters(allow_http=True, allow_private_addresses=False, allowed_ports=ports)
    assert policy == EndpointPolicy(http=True, private=False, ports=frozenset(allowed) if allowed else None)


def test_a_port_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="https"):
        EndpointPolicy.from_parameters(allow_http=True, allow_private_addresses=False, allowed_ports="80,https")
