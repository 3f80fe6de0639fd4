"""URLs and mail addresses of any kind: each is taken or refused with a reason, and no password is repeated."""

from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from deliver.attempt.network import site
from deliver.http import endpoint_url
from deliver.http.guard import AddressNotAllowedError, EndpointPolicy, check_address
from health.mail import address
from health.mail.address import AddressError

PASSWORD = "hunter2hunter2"
POLICY = EndpointPolicy()
SCHEMES = st.sampled_from(["https://", "https://", "http://", "HTTPS://", "https:", "//", "ftp://", ""])
USERS = st.sampled_from(["", "", "", f"user:{PASSWORD}@", f":{PASSWORD}@", "user@", "@", f"a%40b:{PASSWORD}@"])
NAMES = [
    "hooks.example",
    "localhost",
    "a.localhost",
    "münchen.example",
    "xn--mnchen-3ya.example",
    "。",
    "①",
    "a..b",
]
NUMBERS = ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "169.254.169.254", "8.8.8.8"]
BRACKETS = ["[::1]", "[::ffff:127.0.0.1]", "[fe80::1%25eth0]", "[fd00:ec2::254]", "[2002:7f00:1::]"]
HOSTS = st.one_of(
    st.sampled_from(NAMES + NUMBERS + BRACKETS),
    st.ip_addresses().map(lambda each: f"[{each}]" if each.version == 6 else str(each)),
    st.text(max_size=12),
)
PORTS = st.sampled_from(["", "", ":443", ":80", ":0", ":65536", ":-1", ":x", ":", ":443:443"])
PATHS = st.sampled_from(["", "/", "/in?a=b#c", "\\@evil.example", "/%zz", "?@host"]) | st.text(max_size=12)
URLS = st.tuples(SCHEMES, USERS, HOSTS, PORTS, PATHS).map("".join) | st.text(max_size=40)
LOCALS = st.sampled_from(["ada", "a.b+c", "", "a b", "ä", "a" * 65, '"a"', "a\r\nBcc: x"]) | st.text(max_size=9)
DOMAINS = st.sampled_from(["acme.example", "münchen.example", "", "a", "1.2", "a..b", "x" * 300, "a.\u200b"])
MAILS = st.tuples(LOCALS, st.sampled_from(["@", "@", "", "@@"]), DOMAINS | st.text(max_size=10)).map("".join)


@given(url=URLS)
def test_a_url_is_taken_or_refused_and_its_password_is_never_repeated(url: str) -> None:
    problem = endpoint_url.problem(url, POLICY)
    assert problem is None or problem.strip()
    assert PASSWORD not in str(problem)
    assert PASSWORD not in site(url)


@given(number=st.ip_addresses(v=4))
def test_an_address_is_judged_alike_in_every_way_to_write_it(number: object) -> None:
    text = str(number)
    value = int(ip_address(text))
    ways = (text, str(value), hex(value), f"[::ffff:{text}]")
    judged = {endpoint_url.problem(f"https://{way}/", POLICY) is None for way in ways}
    try:
        check_address(text, POLICY)
        allowed = True
    except AddressNotAllowedError:
        allowed = False
    assert judged == {allowed}


@given(text=MAILS)
def test_a_mail_address_is_ascii_on_one_line_or_refused(text: str) -> None:
    try:
        encoded = address.encode(text)
    except AddressError:
        return
    assert encoded.isascii()
    assert encoded.isprintable()
    assert " " not in encoded
    assert len(encoded) <= address.LONGEST
    assert address.same(text, encoded)


@given(one=MAILS, other=MAILS)
def test_whether_two_addresses_are_the_same_is_the_same_from_both_sides(one: str, other: str) -> None:
    assert address.same(one, other) == address.same(other, one)
